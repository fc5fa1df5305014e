//! What many tests do: open conversations, send, page through histories, look behind the scenes.

use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull::OrderedConfig, stream::Stream};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Node, PATIENCE, Rest, User, World, Ws};

/// Settings of nodes under load: what paces callers is off.
pub const UNPACED: &[(&str, &str)] = &[
    ("RATE_LIMIT_MESSAGES_PER_SECOND", "0"),
    ("RATE_LIMIT_SIGNALS_PER_SECOND", "0"),
    ("RATE_LIMIT_REQUESTS_PER_SECOND", "0"),
    ("RATE_LIMIT_CONNECTS_PER_SECOND", "0"),
    ("MAX_QUEUED_FRAMES", "0"),
];

/// A message as it is compared: its place and its id.
pub type Place = (u64, Uuid);

/// A row of the table of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub seq: u64,
    pub id: Uuid,
    pub counter: i64,
    pub content: String,
    pub deleted: bool,
}

/// An event of the log.
#[derive(Debug, Clone)]
pub struct Logged {
    pub seq: u64,
    pub kind: String,
    pub conversation: Uuid,
    /// Null when it is not JSON.
    pub data: Value,
}

/// What `look` finds, asked again until it finds something.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    loop {
        ticks.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} does not come true");
    }
}

/// Waits until a node wants no traffic, for this reason.
pub async fn not_ready_because(node: &Node, why: &str) {
    let rest = Rest::new(&node.url, None);
    eventually(&format!("not ready: {why}"), async || {
        let answer = rest.get("//readyz").await;
        let reasons = answer.body["reasons"].as_array()?.contains(&why.into());
        (answer.status == 503 && reasons).then_some(())
    })
    .await;
}

/// Waits until a node wants traffic.
pub async fn ready(node: &Node) {
    let rest = Rest::new(&node.url, None);
    eventually("ready", async || (rest.get("//readyz").await.status == 200).then_some(())).await;
}

/// Opens a group of `rest`'s user and the others.
pub async fn open_group(rest: &Rest, others: &[User]) -> Uuid {
    let ids: Vec<Uuid> = others.iter().map(|user| user.id).collect();
    let body = json!({"type": "group", "title": "Test", "participantIds": ids});
    id_of(&rest.post("/conversations", body).await.expect(201))
}

/// Opens a direct conversation with `other`.
pub async fn open_direct(rest: &Rest, other: &User) -> Uuid {
    let body = json!({"type": "direct", "participantIds": [other.id]});
    let answer = rest.post("/conversations", body).await;
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    id_of(&answer.body)
}

/// The `id` of an object.
#[track_caller]
pub fn id_of(object: &Value) -> Uuid {
    uuid_of(&object["id"])
}

#[track_caller]
pub fn uuid_of(value: &Value) -> Uuid {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no id: {value}"))
}

/// Place and id of a message.
#[track_caller]
pub fn place_of(message: &Value) -> Place {
    let seq = message["seq"].as_u64().unwrap_or_else(|| panic!("no seq: {message}"));
    (seq, id_of(message))
}

/// The whole history, oldest first, paged backwards as a client that scrolls up does.
pub async fn history(rest: &Rest, conversation: Uuid, limit: u32) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    loop {
        let before = found.last().map_or(String::new(), |m| format!("&before={}", m["seq"]));
        let path = format!("/conversations/{conversation}/messages?limit={limit}{before}");
        let page = rest.get(&path).await.expect(200);
        found.extend(page["messages"].as_array().expect("messages").iter().cloned());
        if page["hasMore"] == false {
            found.reverse();
            return found;
        }
    }
}

/// Sends a text over REST and returns the message.
pub async fn send(rest: &Rest, conversation: Uuid, content: &str) -> Value {
    let body = json!({"conversationId": conversation, "content": content});
    rest.post("/messages", body).await.expect(201)
}

/// The unread count that the user's own view of a conversation shows.
pub async fn unread(rest: &Rest, conversation: Uuid) -> u64 {
    let view = rest.get(&format!("/conversations/{conversation}")).await.expect(200);
    view["unreadCount"].as_u64().expect("a count")
}

impl Ws {
    /// The next `count` messages.
    pub async fn messages(&mut self, count: usize) -> Vec<Value> {
        let mut found = Vec::with_capacity(count);
        while found.len() < count {
            found.push(self.event("newMessage").await["data"].take());
        }
        found
    }

    /// Sends a text and awaits its acceptance: the message.
    pub async fn say(&mut self, conversation: Uuid, content: &str) -> Value {
        let data = json!({"conversationId": conversation, "content": content});
        self.request("sendMessage", data).await.expect("accepted")["message"].take()
    }
}

impl World {
    /// The log, on a connection of the test's own.
    pub async fn log(&self) -> Stream {
        let context = jetstream::new(self.nats.client().await);
        context.get_stream("CHAT").await.expect("the log exists")
    }

    /// The last sequence of the log.
    pub async fn last_seq(&self) -> u64 {
        self.log().await.get_info().await.expect("NATS answers").state.last_sequence
    }

    /// Everything that the log holds.
    pub async fn logged(&self) -> Vec<Logged> {
        let log = self.log().await;
        let held = log.get_info().await.expect("NATS answers").state.messages;
        let consumer = log.create_consumer(OrderedConfig::default()).await.expect("a consumer");
        let messages = consumer.messages().await.expect("messages");
        let held = usize::try_from(held).expect("few");
        let all = messages.take(held).map(|message| read(&message.expect("a message")));
        tokio::time::timeout(PATIENCE, all.collect()).await.expect("the log can be read")
    }

    /// Puts an event into the log as nobody but a node does, and returns its place.
    pub async fn put_into_log(&self, conversation: Uuid, kind: &str, data: &Value) -> u64 {
        let context = jetstream::new(self.nats.client().await);
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Event", kind);
        let text = conversation.to_string();
        let subject = format!("chat.{}.{text}", &text[text.len() - 2..]);
        let sent = context.publish_with_headers(subject, headers, data.to_string().into()).await;
        sent.expect("sent").await.expect("stored").sequence
    }

    /// Waits until the log no longer holds what was stored at a sequence.
    pub async fn erased(&self, seq: u64) {
        let log = self.log().await;
        let gone = async || log.get_raw_message(seq).await.is_err().then_some(());
        eventually(&format!("{seq} is erased"), gone).await;
    }

    /// How far Postgres is.
    pub async fn progress(&self) -> u64 {
        let database = self.database.client().await;
        let sql = "SELECT last_seq FROM progress WHERE name = 'persist'";
        let row = database.query_one(sql, &[]).await.expect("a position");
        u64::try_from(row.get::<_, i64>(0)).expect("positive")
    }

    /// Waits until Postgres has all that the log holds now.
    pub async fn persisted(&self) {
        let last = self.last_seq().await;
        let there = async || (self.progress().await >= last).then_some(());
        eventually(&format!("Postgres at {last}"), there).await;
    }

    /// Waits until a transaction of the persister waits for a row that the test holds.
    pub async fn a_batch_waits(&self) {
        let database = self.database.client().await;
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'
                     AND (query LIKE '%UPDATE conversations%' OR query LIKE '%UPDATE messages%')";
        let waiting = async || {
            let count: i64 = database.query_one(sql, &[]).await.expect("a row").get(0);
            (count > 0).then_some(())
        };
        eventually("a batch waits", waiting).await;
    }

    /// The messages of a conversation in Postgres.
    pub async fn rows(&self, conversation: Uuid) -> Vec<Row> {
        let database = self.database.client().await;
        let sql = "SELECT seq, id, counter, content, deleted_at IS NOT NULL FROM messages
                   WHERE conversation_id = $1 ORDER BY seq";
        let rows = database.query(sql, &[&conversation]).await.expect("rows");
        let row = |row: &tokio_postgres::Row| Row {
            seq: u64::try_from(row.get::<_, i64>(0)).expect("positive"),
            id: row.get(1),
            counter: row.get(2),
            content: row.get(3),
            deleted: row.get(4),
        };
        rows.iter().map(row).collect()
    }

    /// Makes sure that Postgres holds exactly the messages of the log, each once and in its place, with dense
    /// counters. Returns how many there are.
    pub async fn log_and_table_agree(&self, conversation: Uuid) -> usize {
        self.persisted().await;
        let logged: Vec<Place> = self
            .logged()
            .await
            .iter()
            .filter(|event| event.kind == "newMessage" && event.conversation == conversation)
            .map(|event| (event.seq, id_of(&event.data)))
            .collect();
        let rows = self.rows(conversation).await;
        let stored: Vec<Place> = rows.iter().map(|row| (row.seq, row.id)).collect();
        assert_eq!(stored, logged, "the table holds what the log holds");
        self.counters_are_dense(conversation).await;
        rows.len()
    }

    /// Makes sure that counters run from 1 to the number of messages.
    pub async fn counters_are_dense(&self, conversation: Uuid) {
        let rows = self.rows(conversation).await;
        let counters: Vec<i64> = rows.iter().map(|row| row.counter).collect();
        let dense: Vec<i64> = (1..=rows.len() as i64).collect();
        assert_eq!(counters, dense, "counters are dense and in order");
        let database = self.database.client().await;
        let sql = "SELECT message_count, last_message_seq FROM conversations WHERE id = $1";
        let row = database.query_one(sql, &[&conversation]).await.expect("a conversation");
        let last = rows.last().map_or(0, |row| row.seq as i64);
        assert_eq!((row.get(0), row.get(1)), (rows.len() as i64, last));
    }
}

fn read(message: &jetstream::Message) -> Logged {
    let info = message.info().expect("of a stream");
    let kind = message.headers.as_ref().and_then(|headers| headers.get("Event"));
    let id = message.subject.rsplit('.').next().and_then(|id| id.parse().ok());
    Logged {
        seq: info.stream_sequence,
        kind: kind.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        conversation: id.unwrap_or_default(),
        data: serde_json::from_slice(&message.payload).unwrap_or_default(),
    }
}
