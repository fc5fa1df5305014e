//! What cannot be persisted is set aside with its reason, and nothing else waits for it.

use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, eventually, place_of};
use crate::harness::{Rest, World};

/// Publishes to the log past the service and returns the place.
async fn inject(context: &Context, subject: &str, kind: Option<&str>, payload: &[u8]) -> u64 {
    let mut headers = HeaderMap::new();
    if let Some(kind) = kind {
        headers.insert("Event", kind);
    }
    let payload = payload.to_vec().into();
    let sent = context.publish_with_headers(subject.to_owned(), headers, payload).await;
    sent.expect("sent").await.expect("stored").sequence
}

/// The payload of a good message, to be spoilt.
async fn payload_at(world: &World, seq: u64) -> Value {
    let raw = world.log().await.get_raw_message(seq).await.expect("stored");
    serde_json::from_slice(&raw.payload).expect("JSON")
}

fn subject(conversation: Uuid) -> String {
    let text = conversation.to_string();
    format!("chat.{}.{text}", &text[text.len() - 2..])
}

struct Letter {
    seq: u64,
    subject: String,
    payload: Vec<u8>,
}

async fn dead_letters(world: &World) -> Vec<Letter> {
    let context = jetstream::new(world.nats.client().await);
    let stream = context.get_stream("DEAD").await.expect("the dead letters");
    let count = stream.get_info().await.expect("NATS answers").state.messages;
    let mut letters = Vec::new();
    for place in 1..=count {
        let raw = stream.get_raw_message(place).await.expect("stored");
        assert_eq!(raw.subject.as_str(), "dead.persist");
        let header = |name: &str| {
            raw.headers.get(name).map(|value| value.as_str().to_owned()).unwrap_or_default()
        };
        assert!(!header("Dead-Reason").is_empty(), "a reason");
        assert_eq!(header("Dead-Attempts"), "1");
        letters.push(Letter {
            seq: header("Dead-Sequence").parse().expect("a place"),
            subject: header("Dead-Subject"),
            payload: raw.payload.to_vec(),
        });
    }
    letters.sort_by_key(|letter| letter.seq);
    letters
}

async fn poison_is_set_aside(settings: &[(&str, &str)]) {
    let world = World::start_with(&[UNPACED, settings].concat()).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &ben).await;
    let context = jetstream::new(world.nats.client().await);
    let here = subject(direct);
    let mut good = vec![place_of(&flow::send(&rest, direct, "0").await)];
    let like = payload_at(&world, good[0].0).await;
    let spoilt = |change: Value| {
        let mut payload = like.clone();
        payload["id"] = Uuid::new_v4().to_string().into();
        for (key, value) in change.as_object().expect("an object") {
            payload[key] = value.clone();
        }
        payload.to_string().into_bytes()
    };
    let nowhere = Uuid::new_v4();
    let message = Some("newMessage");
    let cases: Vec<(String, Option<&str>, Vec<u8>)> = vec![
        (here.clone(), message, b"no JSON".to_vec()),
        (here.clone(), message, b"\xff\xfe".to_vec()),
        (here.clone(), message, b"{}".to_vec()),
        (subject(nowhere), message, spoilt(json!({"conversationId": nowhere}))),
        (here.clone(), Some("somethingElse"), spoilt(json!({}))),
        (here.clone(), None, spoilt(json!({}))),
        ("chat.00.nobody".to_owned(), message, spoilt(json!({}))),
        (here.clone(), message, spoilt(json!({"content": "a\u{0}b"}))),
        (here.clone(), message, spoilt(json!({"metadata": {"key": "a\u{0}b"}}))),
        (here.clone(), message, spoilt(json!({"type": "gesture"}))),
        (here.clone(), message, spoilt(json!({"conversationId": nowhere}))),
        (here.clone(), Some("messageUpdated"), b"[]".to_vec()),
        (here.clone(), Some("messageDeleted"), b"{\"seq\":1}".to_vec()),
        (here.clone(), Some("conversationUpdated"), b"null".to_vec()),
    ];
    let mut parked = Vec::new();
    for (number, (subject, kind, payload)) in cases.into_iter().enumerate() {
        let seq = inject(&context, &subject, kind, &payload).await;
        parked.push(Letter { seq, subject, payload });
        good.push(place_of(&flow::send(&rest, direct, &(number + 1).to_string()).await));
    }
    world.persisted().await;

    let rows = world.rows(direct).await;
    assert_eq!(rows.iter().map(|row| (row.seq, row.id)).collect::<Vec<_>>(), good);
    world.counters_are_dense(direct).await;
    let letters = dead_letters(&world).await;
    for (letter, expected) in letters.iter().zip(&parked) {
        assert_eq!((letter.seq, &letter.subject), (expected.seq, &expected.subject));
        assert_eq!(letter.payload, expected.payload, "as it was");
    }
    assert_eq!(letters.len(), parked.len(), "each once");
    assert_eq!(counted(&world).await, parked.len(), "counted once each");

    good.push(place_of(&flow::send(&rest, direct, "last").await));
    let history = flow::history(&world.node().rest(&ben), direct, 100).await;
    assert_eq!(history.iter().map(place_of).collect::<Vec<_>>(), good);
}

async fn counted(world: &World) -> usize {
    let metrics = Rest::new(&world.node().url, None).get("//metrics").await.expect(200);
    let text = metrics.as_str().expect("text").to_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("messaging_dead_letters_total{consumer=\"persist\"} "));
    line.expect("a metric").parse().expect("a number")
}

#[tokio::test]
async fn poison_among_others_in_one_batch_goes_to_the_dead_letters_and_the_others_to_the_table() {
    poison_is_set_aside(&[("MESSAGING_PERSISTER_LINGER", "400ms")]).await;
}

#[tokio::test]
async fn poison_that_comes_alone_goes_to_the_dead_letters() {
    poison_is_set_aside(&[("MESSAGING_PERSISTER_BATCH_SIZE", "1")]).await;
}

#[tokio::test]
async fn poison_at_the_end_of_the_log_is_behind_the_persister_after_a_restart() {
    let mut world = World::start_with(UNPACED).await;
    let rest = world.node().rest(&world.user("Ada"));
    let direct = flow::open_direct(&rest, &world.user("Ben")).await;
    let context = jetstream::new(world.nats.client().await);
    inject(&context, &subject(direct), Some("newMessage"), b"no JSON").await;
    world.persisted().await;
    world.node_mut(0).kill9().await;
    world.add_node(UNPACED).await;
    let leads = async || {
        let text = world.nodes()[1].process.stderr.text();
        text.contains("persister leading").then_some(())
    };
    eventually("the second node leads", leads).await;
    world.persisted().await;
    assert_eq!(dead_letters(&world).await.len(), 1);
}

#[tokio::test]
async fn connected_clients_hear_nothing_of_what_is_no_json_and_everything_behind_it() {
    let world = World::start_with(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &ben).await;
    // Frames that are no JSON would end the test here.
    let mut ws = world.node().ws(&ben).await;
    let context = jetstream::new(world.nats.client().await);
    for kind in ["newMessage", "messageUpdated", "messageDeleted", "conversationUpdated", "unknown"]
    {
        for payload in ["no JSON", "{", "{}}", "[]", ""] {
            inject(&context, &subject(direct), Some(kind), payload.as_bytes()).await;
        }
    }
    let sent = flow::send(&rest, direct, "good").await;
    assert_eq!(place_of(&ws.event("newMessage").await["data"]), place_of(&sent));
    assert!(ws.kept().is_empty(), "{:?}", ws.kept());
    world.persisted().await;
    assert_eq!(dead_letters(&world).await.len(), 25);
}
