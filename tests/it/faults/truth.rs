//! What the servers hold, read around everything that can break.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures_util::StreamExt as _;
use uuid::Uuid;

use super::record::{Device, Entry, File, Message, Row, Seat, Truth, Undelivered, content_of};
use super::run::awaited;
use super::stage::Stage;
use crate::harness::flow;
use crate::harness::{PATIENCE, User};

/// The longest that Postgres may be behind when everything works again.
const SETTLED: Duration = Duration::from_secs(60);

/// Waits until Postgres has all that the log holds and nothing is left to be erased or announced.
pub async fn settled(stage: &Stage) -> Result<(), String> {
    let context = stage.servers.context().await;
    let info = awaited("the log answers", SETTLED, async || {
        let mut log = context.get_stream("CHAT").await.ok()?;
        log.info().await.ok().cloned()
    });
    let last = info.await?.state.last_sequence as i64;
    let database = stage.database.client().await;
    let sql = "SELECT (SELECT last_seq FROM progress WHERE name = 'persist'),
                      (SELECT count(*) FROM erasures), (SELECT count(*) FROM outbox)";
    let done = async || {
        let row = database.query_one(sql, &[]).await.ok()?;
        let (progress, erasures, outbox): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        (progress >= last && erasures == 0 && outbox == 0).then_some(())
    };
    awaited("Postgres has what the log has", SETTLED, done).await
}

/// Waits until what was to vanish by itself has vanished.
pub async fn vanished(stage: &Stage) -> Result<(), String> {
    let database = stage.database.client().await;
    let sql = "SELECT count(*) FROM messages WHERE expires_at IS NOT NULL AND deleted_at IS NULL";
    awaited("what has a time to vanish at has vanished", SETTLED, async || {
        let row = database.query_one(sql, &[]).await.ok()?;
        (row.get::<_, i64>(0) == 0).then_some(())
    })
    .await
}

pub async fn read(stage: &Stage, users: &[User]) -> Truth {
    let mut truth = Truth {
        log: log(stage).await,
        rows: rows(stage).await,
        seats: seats(stage, users).await,
        counters: counters(stage).await,
        histories: Vec::new(),
        phones: Vec::new(),
        pushes: Vec::new(),
        undelivered: Vec::new(),
        files: Vec::new(),
    };
    let conversations: Vec<Uuid> = truth.counters.keys().copied().collect();
    for edge in 0..stage.edges.len() {
        for conversation in &conversations {
            let is_in = |user: &&User| {
                truth.seats.iter().any(|s| (s.conversation, s.user) == (*conversation, user.id))
            };
            let user = users.iter().find(is_in).expect("somebody is in it");
            let shown = flow::history(&stage.rest(edge, &user.token), *conversation, 100).await;
            let shown: Vec<Message> = shown.iter().filter_map(Message::read).collect();
            truth.histories.push((edge, *conversation, shown));
        }
    }
    truth
}

async fn log(stage: &Stage) -> Vec<Entry> {
    let context = stage.servers.context().await;
    let mut log = context.get_stream("CHAT").await.expect("the log");
    let held = log.info().await.expect("NATS answers").state.messages;
    let consumer = log.create_consumer(OrderedConfig::default()).await.expect("a consumer");
    let messages = consumer.messages().await.expect("messages");
    let entries = messages.take(usize::try_from(held).expect("few")).map(|message| {
        let message = message.expect("a message");
        let info = message.info().expect("of a stream");
        let kind = message.headers.as_ref().and_then(|headers| headers.get("Event"));
        Entry {
            seq: info.stream_sequence,
            at: i64::try_from(info.published.unix_timestamp_nanos() / 1_000).expect("this age"),
            kind: kind.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
            data: serde_json::from_slice(&message.payload).unwrap_or_default(),
        }
    });
    tokio::time::timeout(2 * PATIENCE, entries.collect()).await.expect("the log can be read")
}

async fn rows(stage: &Stage) -> Vec<Row> {
    let sql = "SELECT seq, id, conversation_id, sender_id, client_message_id, content,
                      deleted_at IS NOT NULL, counter, created_at
               FROM messages ORDER BY seq";
    let rows = stage.database.client().await.query(sql, &[]).await.expect("rows");
    let number = |row: &tokio_postgres::Row, at: usize| {
        u64::try_from(row.get::<_, i64>(at)).expect("positive")
    };
    let read = |row: &tokio_postgres::Row| Row {
        seq: number(row, 0),
        id: row.get(1),
        conversation: row.get(2),
        sender: row.get(3),
        name: row.get(4),
        content: row.get(5),
        deleted: row.get(6),
        counter: number(row, 7),
        created_at: row.get::<_, jiff::Timestamp>(8).as_microsecond(),
    };
    rows.iter().map(read).collect()
}

async fn counters(stage: &Stage) -> BTreeMap<Uuid, (u64, u64)> {
    let sql = "SELECT id, message_count, last_message_seq FROM conversations";
    let rows = stage.database.client().await.query(sql, &[]).await.expect("rows");
    let number = |row: &tokio_postgres::Row, at: usize| {
        u64::try_from(row.get::<_, i64>(at)).expect("positive")
    };
    rows.iter().map(|row| (row.get(0), (number(row, 1), number(row, 2)))).collect()
}

async fn seats(stage: &Stage, users: &[User]) -> Vec<Seat> {
    let sql = "SELECT conversation_id, user_id, last_read_seq, delivered_seq
               FROM conversation_participants";
    let rows = stage.database.client().await.query(sql, &[]).await.expect("rows");
    let mut seats = Vec::new();
    for row in rows {
        let (conversation, user): (Uuid, Uuid) = (row.get(0), row.get(1));
        let token = &users.iter().find(|known| known.id == user).expect("of the cast").token;
        let edge = seats.len() % stage.edges.len();
        let unread = flow::unread(&stage.rest(edge, token), conversation).await;
        let number = |at: usize| u64::try_from(row.get::<_, i64>(at)).expect("positive");
        seats.push(Seat {
            conversation,
            user,
            last_read_seq: number(2),
            delivered_seq: number(3),
            unread,
        });
    }
    seats
}

/// Who is in which conversation now.
pub async fn participants(stage: &Stage) -> Vec<(Uuid, Uuid)> {
    let sql = "SELECT conversation_id, user_id FROM conversation_participants";
    let database = stage.database.client().await;
    let rows = database.query(sql, &[]).await.expect("rows");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Waits until everyone's delivered marker stands where everyone is; those that do not come there.
pub async fn undelivered(
    stage: &Stage,
    places: &BTreeMap<Uuid, Vec<(Uuid, u64)>>,
) -> Vec<Undelivered> {
    let sql = "SELECT conversation_id, user_id, GREATEST(delivered_seq, last_read_seq)
               FROM conversation_participants";
    let database = stage.database.client().await;
    let mut behind = Vec::new();
    let there = awaited("delivered", PATIENCE, async || {
        behind.clear();
        for row in database.query(sql, &[]).await.ok()? {
            let (conversation, user): (Uuid, Uuid) = (row.get(0), row.get(1));
            let marker = u64::try_from(row.get::<_, i64>(2)).expect("positive");
            let own = places.get(&user).into_iter().flatten();
            let place = own.filter(|(other, _)| *other == conversation).map(|(_, seq)| *seq).next();
            if let Some(place) = place.filter(|place| marker < *place) {
                behind.push(Undelivered { conversation, user, marker, place });
            }
        }
        behind.is_empty().then_some(())
    });
    let _ = there.await;
    behind
}

/// What has become of the files that messages name.
pub async fn files(stage: &Stage, truth: &Truth, users: &[User], devices: &[Device]) -> Vec<File> {
    let http = reqwest::Client::new();
    let mut files = Vec::new();
    for upload in devices.iter().flat_map(|device| &device.uploads) {
        let named = |row: &&Row| row.name.as_ref() == Some(&upload.name);
        let Some(row) = truth.rows.iter().find(named) else { continue };
        let is_in = |user: &&User| {
            truth.seats.iter().any(|s| (s.conversation, s.user) == (upload.conversation, user.id))
        };
        let user = users.iter().find(is_in).expect("somebody is in it");
        let edge = files.len() % stage.edges.len();
        let url = format!("{}{}", stage.edges[edge].actor.url(), upload.url);
        let mut last = (0, false);
        // What is deleted goes a moment later.
        let _ = awaited("as it should be", SETTLED, async || {
            let answer = http.get(&url).bearer_auth(&user.token).send().await.ok()?;
            let status = answer.status().as_u16();
            last = (status, answer.text().await.ok()? == content_of(&upload.name));
            (row.deleted != (status == 200)).then_some(())
        })
        .await;
        let (status, whole) = last;
        files.push(File { seq: row.seq, edge, deleted: row.deleted, status, whole });
    }
    files
}
