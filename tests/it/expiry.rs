//! Messages that vanish by themselves: nobody is shown them past their time, and everybody is told, once.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, eventually, history, id_of, place_of};
use crate::harness::socketio::SocketIo;
use crate::harness::{Rest, User, Worker, World, Ws};

/// Long enough for what should not come to have come.
const MOMENT: Duration = Duration::from_millis(300);

/// An edge, and a persister that can be stopped.
async fn apart() -> (World, Worker, User, User, Uuid) {
    let mut world = World::without_nodes().await;
    world.add_node_with(&["--role", "edge"], UNPACED).await;
    let persister = Worker::start(&world, &[]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let direct = flow::open_direct(&world.node().rest(&ada), &bayo).await;
    (world, persister, ada, bayo, direct)
}

async fn send_for(rest: &Rest, conversation: Uuid, content: &str, seconds: u64) -> Value {
    let body = json!({"conversationId": conversation, "content": content, "ttlSeconds": seconds});
    rest.post("/messages", body).await.expect(201)
}

/// Waits until a message's time is over.
async fn over(message: &Value) {
    let at = jiff_time(&message["expiresAt"]);
    let left = at.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left + Duration::from_millis(20)).await;
}

fn jiff_time(value: &Value) -> SystemTime {
    let at: jiff::Timestamp = value.as_str().expect("a time").parse().expect("a time");
    at.into()
}

#[track_caller]
fn is_tombstone(shown: &Value, message: &Value) {
    assert_eq!((&shown["content"], &shown["isDeleted"]), (&json!(""), &json!(true)), "{shown}");
    assert_eq!((&shown["metadata"], &shown["mentions"]), (&json!({}), &json!([])));
    assert_eq!((&shown["seq"], &shown["id"]), (&message["seq"], &message["id"]));
    assert_eq!(shown["deletedAt"], message["expiresAt"], "it was deleted at its time");
}

/// Deletions of a message in the log.
async fn deletions(world: &World, id: Uuid) -> usize {
    let events = world.logged().await;
    let of_it = |data: &Value| data["messageId"] == json!(id);
    events.iter().filter(|e| e.kind == "messageDeleted" && of_it(&e.data)).count()
}

async fn told(ws: &mut Ws, message: &Value) {
    let deleted = ws.event("messageDeleted").await["data"].take();
    let expected = json!({"messageId": message["id"], "conversationId": message["conversationId"],
        "seq": message["seq"]});
    assert_eq!(deleted, expected);
}

#[tokio::test]
async fn a_message_vanishes_at_its_time_for_everyone_and_everywhere() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let (rest, other) = (world.node().rest(&ada), world.nodes()[1].rest(&bayo));
    let direct = flow::open_direct(&rest, &bayo).await;
    let mut sender = world.node().ws(&ada).await;
    let mut listening = world.nodes()[1].ws(&bayo).await;
    let mut app = SocketIo::connect(world.node(), &bayo).await;
    let needle = format!("needle-{}", Uuid::new_v4());
    let data = json!({"conversationId": direct, "content": needle, "ttlSeconds": 2,
        "mentions": [bayo.id], "clientMessageId": "k"});
    let sent =
        sender.request("sendMessage", data.clone()).await.expect("accepted")["message"].take();
    let (seq, id) = place_of(&sent);
    let life = jiff_time(&sent["expiresAt"]).duration_since(jiff_time(&sent["createdAt"]));
    assert_eq!(life.expect("later"), Duration::from_secs(2));
    assert_eq!(listening.event("newMessage").await["data"]["expiresAt"], sent["expiresAt"]);
    let path = format!("/messages/{id}");
    let edited = rest.put(&path, json!({"content": format!("{needle}!")})).await.expect(200);
    assert_eq!(edited["expiresAt"], sent["expiresAt"], "an edit gives it no more time");
    let body = json!({"conversationId": direct, "content": "so?", "replyToMessageId": id});
    let reply = other.post("/messages", body).await.expect(201);
    assert_eq!(reply["replyTo"]["content"], "", "a quote would outlive it");
    assert_eq!(other.get(&path).await.expect(200)["content"], format!("{needle}!"));
    let log = world.log().await;
    for place in [seq, edited_at(&world).await] {
        let raw = log.get_raw_message(place).await.expect("stored");
        let ttl: u64 = raw.headers.get("Nats-TTL").expect("a TTL").as_str().parse().expect("s");
        assert!((86_400..=86_402).contains(&ttl), "the log drops it by itself: {ttl}");
    }

    over(&sent).await;
    is_tombstone(&other.get(&path).await.expect(200), &sent);
    let again = rest.post("/messages", data.clone()).await.expect(200);
    is_tombstone(&again, &sent);
    for ws in [&mut sender, &mut listening] {
        told(ws, &sent).await;
    }
    assert_eq!(app.event("messageDeleted").await["seq"], seq);
    world.erased(seq).await;
    for rest in [&rest, &other] {
        let shown = history(rest, direct, 10).await;
        is_tombstone(&shown[0], &sent);
        assert!(!json!(shown).to_string().contains(&needle));
        rest.put(&path, json!({"content": "x"})).await;
    }
    rest.put(&path, json!({"content": "x"})).await.refused(StatusCode::CONFLICT, "conflict");
    let reaction = rest.put(&format!("{path}/reactions/👍"), json!({})).await;
    reaction.refused(StatusCode::CONFLICT, "conflict");
    assert!(!world.nats.has_on_disk(&needle), "the edit is erased as well");
    assert_eq!(flow::unread(&rest, direct).await, 1, "Bayo's reply");
    is_tombstone(&rest.post("/messages", data).await.expect(200), &sent);
    listening.no_event("messageDeleted", MOMENT).await;
    assert_eq!(deletions(&world, id).await, 1);
}

async fn edited_at(world: &World) -> u64 {
    let events = world.logged().await;
    events.iter().find(|event| event.kind == "messageUpdated").expect("an edit").seq
}

#[tokio::test]
async fn a_life_that_makes_no_sense_is_refused() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &bayo).await;
    for ttl in [json!(0), json!(-1), json!(2_592_001), json!(1.5), json!("5"), json!(u64::MAX)] {
        let body = json!({"conversationId": direct, "content": "x", "ttlSeconds": ttl});
        let problem =
            rest.post("/messages", body).await.refused(StatusCode::BAD_REQUEST, "invalid");
        assert_eq!(problem["errors"][0]["field"], "ttlSeconds", "{problem}");
    }
    let longest = send_for(&rest, direct, "x", 2_592_000).await;
    assert!(longest["expiresAt"].is_string());
}

#[tokio::test]
async fn a_persister_that_was_away_at_the_time_makes_up_for_it_once() {
    let (world, mut persister, ada, bayo, direct) = apart().await;
    let rest = world.node().rest(&ada);
    let mut listening = world.node().ws(&bayo).await;
    let before = send_for(&rest, direct, "before", 1).await;
    world.persisted().await;
    persister.0.kill9().await;
    // One that it has, and one that it will only see when its time is over.
    let meanwhile = send_for(&rest, direct, "meanwhile", 1).await;
    let cursor =
        listening.event("newMessage").await["cursor"].as_str().expect("a cursor").to_owned();
    over(&meanwhile).await;

    let path = format!("/messages/{}", id_of(&before));
    is_tombstone(&rest.get(&path).await.expect(200), &before);
    let query = format!("?cursor={cursor}");
    let mut back = Ws::connect_to(&world.node().url, &query, &bayo.token).await;
    is_tombstone(&back.event("newMessage").await["data"], &meanwhile);
    back.has_no_more("messageDeleted");

    for round in 0..2 {
        let mut persister = Worker::start(&world, &[]).await;
        persister.leads().await;
        if round == 0 {
            for ws in [&mut listening, &mut back] {
                told(ws, &before).await;
                told(ws, &meanwhile).await;
            }
        }
        world.persisted().await;
        persister.0.kill9().await;
    }
    listening.has_no_more("messageDeleted");
    for message in [&before, &meanwhile] {
        assert_eq!(deletions(&world, id_of(message)).await, 1);
    }
    let _third = Worker::start(&world, &[]).await;
    let shown = history(&rest, direct, 10).await;
    is_tombstone(&shown[0], &before);
    is_tombstone(&shown[1], &meanwhile);
    world.counters_are_dense(direct).await;
    assert_eq!(flow::unread(&world.node().rest(&bayo), direct).await, 2);
}

#[tokio::test]
async fn a_leader_that_dies_before_it_applied_its_own_deletion_leaves_one_to_the_next() {
    let (world, mut persister, ada, bayo, direct) = apart().await;
    let rest = world.node().rest(&ada);
    let mut listening = world.node().ws(&bayo).await;
    let message = send_for(&rest, direct, "x", 1).await;
    let id = id_of(&message);
    world.persisted().await;

    let holder = world.database.client().await;
    holder.batch_execute("BEGIN").await.expect("a transaction");
    holder.execute("SELECT 1 FROM messages WHERE id = $1 FOR UPDATE", &[&id]).await.expect("held");
    told(&mut listening, &message).await;
    world.a_batch_waits().await;
    persister.0.kill9().await;
    holder.batch_execute("COMMIT").await.expect("released");
    // As after an outage longer than the log's window for duplicates.
    forget_duplicates(&world).await;
    let _next = Worker::start(&world, &[]).await;
    world.persisted().await;
    let gone = async || (world.rows(direct).await.iter().all(|row| row.deleted)).then_some(());
    eventually("it is a tombstone", gone).await;
    // Something behind it, so that a second deletion would have come before.
    let after = send_for(&rest, direct, "y", 1).await;
    told(&mut listening, &after).await;
    assert_eq!(deletions(&world, id).await, 1);
}

/// Lets the log's window for duplicates pass, by making it short for a moment.
async fn forget_duplicates(world: &World) {
    let log = world.log().await;
    let context = async_nats::jetstream::new(world.nats.client().await);
    let config = log.get_info().await.expect("NATS answers").config;
    let window = config.duplicate_window;
    let short = async_nats::jetstream::stream::Config {
        duplicate_window: Duration::from_millis(100),
        ..config.clone()
    };
    context.update_stream(short).await.expect("shorter");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let long = async_nats::jetstream::stream::Config { duplicate_window: window, ..config };
    context.update_stream(long).await.expect("as before");
}
