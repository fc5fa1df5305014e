//! A node that leaves under load: nothing that was acknowledged is lost, nothing comes twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, eventually, history};
use crate::harness::{User, Worker, World, Ws};

const MESSAGES: usize = 150;
const WINDOW_MS: u64 = 300;
/// Sends that a client has on the way.
const AHEAD: usize = 8;

/// What a client went through.
#[derive(Default)]
struct Story {
    accepted: BTreeMap<usize, Uuid>,
    reconnect_after: Vec<u64>,
    close_codes: Vec<u16>,
}

/// Sends numbered messages; what is not acknowledged when the node leaves is sent again to the other one.
async fn client(nodes: [String; 2], user: User, conversation: Uuid) -> Story {
    let mut story = Story::default();
    let mut at = 0;
    let mut attempt = 1;
    while story.accepted.len() < MESSAGES {
        let mut ws = Ws::connect(&nodes[at], &user.token).await;
        if let Err(code) = talk(&mut ws, &mut story, conversation, attempt).await {
            story.close_codes.push(code);
        }
        at = 1;
        attempt += 1;
        assert!(attempt < 5, "sent away too often: {:?}", story.close_codes);
    }
    story
}

async fn talk(ws: &mut Ws, story: &mut Story, conversation: Uuid, attempt: u32) -> Result<(), u16> {
    let mut left: Vec<usize> = (0..MESSAGES).filter(|n| !story.accepted.contains_key(n)).collect();
    left.reverse();
    let mut waiting: BTreeMap<u64, usize> = BTreeMap::new();
    let mut leaving = false;
    loop {
        while waiting.len() < AHEAD && !leaving {
            let Some(number) = left.pop() else { break };
            let name = number.to_string();
            let data = json!({"conversationId": conversation, "content": name,
                "clientMessageId": name, "attempt": attempt});
            let Ok(id) = ws.try_send("sendMessage", data).await else { break };
            waiting.insert(id, number);
        }
        // One who was told to leave stays until the connection ends.
        if waiting.is_empty() && left.is_empty() && !leaving {
            return Ok(());
        }
        let frame = ws.next_frame().await?;
        if frame["event"] == "reconnect" {
            story.reconnect_after.push(frame["data"]["afterMs"].as_u64().expect("a delay"));
            leaving = true;
        }
        let Some(number) = frame["id"].as_u64().and_then(|id| waiting.remove(&id)) else {
            continue;
        };
        if frame["ok"] == true {
            let id = flow::id_of(&frame["data"]["message"]);
            assert!(story.accepted.insert(number, id).is_none(), "one reply each");
        } else {
            assert_eq!(frame["error"]["code"], "unavailable");
        }
    }
}

#[tokio::test]
async fn a_node_that_leaves_under_load_loses_and_doubles_nothing() {
    let window = format!("{WINDOW_MS}ms");
    let settings = [UNPACED, &[("MESSAGING_DRAIN_WINDOW", window.as_str())]].concat();
    let mut world = World::start_with(&settings).await;
    world.add_node(&settings).await;
    let reader = world.user("Reader");
    let mut clients = Vec::new();
    for number in 0..6 {
        let user = world.user(&format!("U{number}"));
        let direct = flow::open_direct(&world.node().rest(&user), &reader).await;
        let nodes = [world.nodes()[0].url.clone(), world.nodes()[1].url.clone()];
        clients.push((tokio::spawn(client(nodes, user.clone(), direct)), user, direct));
    }
    let before = world.last_seq().await;
    let log = world.log().await;
    let under_load = async || {
        let state = log.get_info().await.expect("NATS answers").state;
        (state.last_sequence > before + 100).then_some(())
    };
    eventually("clients talk", under_load).await;
    let status = world.node_mut(0).terminate().await;
    assert!(status.success(), "{status}");

    let mut sent_away = 0;
    for (client, user, direct) in clients {
        let story = client.await.expect("no panic");
        assert!(story.close_codes.iter().all(|code| *code == 4503), "{:?}", story.close_codes);
        assert_eq!(story.reconnect_after.len(), story.close_codes.len(), "told, then closed");
        assert!(story.reconnect_after.iter().all(|after| *after <= WINDOW_MS));
        sent_away += story.close_codes.len();
        let messages = history(&world.nodes()[1].rest(&user), direct, 100).await;
        let found: Vec<(Value, Uuid)> =
            messages.iter().map(|m| (m["content"].clone(), flow::id_of(m))).collect();
        let expected: Vec<(Value, Uuid)> =
            story.accepted.iter().map(|(number, id)| (number.to_string().into(), *id)).collect();
        assert_eq!(found, expected, "each once, in the order of sending");
    }
    assert!(sent_away > 0, "somebody was still talking");
}

#[tokio::test]
async fn a_second_signal_stops_at_once_what_the_first_one_waits_for() {
    let mut world = World::start_with(UNPACED).await;
    let ada = world.user("Ada");
    let direct = flow::open_direct(&world.node().rest(&ada), &world.user("Ben")).await;
    let mut ws = world.node().ws(&ada).await;
    world.nats.pause();
    // It would be waited for until NATS answers.
    ws.send("sendMessage", json!({"conversationId": direct, "content": "hello"})).await;
    ws.request("ping", json!({})).await.expect("the send was read");
    world.node().process.signal(libc::SIGTERM);
    ws.event("reconnect").await;
    let asked = Instant::now();
    world.node().process.signal(libc::SIGTERM);
    let status = world.node_mut(0).ended().await;
    assert!(!status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    world.nats.resume();
}

#[tokio::test]
async fn a_node_leaves_in_time_although_nats_does_not_answer() {
    let deadline = [("MESSAGING_HARD_DEADLINE", "2s")];
    let mut world = World::start_with(&[UNPACED, &deadline].concat()).await;
    let ada = world.user("Ada");
    let direct = flow::open_direct(&world.node().rest(&ada), &world.user("Ben")).await;
    let mut ws = world.node().ws(&ada).await;
    world.nats.pause();
    ws.send("sendMessage", json!({"conversationId": direct, "content": "hello"})).await;
    ws.request("ping", json!({})).await.expect("the send was read");
    let asked = Instant::now();
    let status = world.node_mut(0).terminate().await;
    assert!(!status.success(), "something was abandoned: {status}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    world.nats.resume();
}

#[tokio::test]
async fn a_connection_that_was_still_opening_is_sent_away_too_and_holds_nothing_up() {
    let mut world = World::start_with(UNPACED).await;
    let ada = world.user("Ada");
    let mut open = world.node().ws(&ada).await;
    let mut opening = Ws::open(&world.node().url, "", None).await;
    world.node().process.signal(libc::SIGTERM);
    assert_eq!(open.closed().await, 4503);
    // Everyone who was there has been sent away; this one arrives now.
    let data = json!({"token": ada.token});
    opening.send_text(&json!({"id": 0, "op": "connect", "data": data}).to_string()).await;
    let asked = Instant::now();
    assert_eq!(opening.closed().await, 4503);
    let status = world.node_mut(0).ended().await;
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_persister_that_leaves_under_load_hands_over() {
    let mut world = World::without_nodes().await;
    world.add_node_with(&["--role", "edge"], UNPACED).await;
    let ada = world.user("Ada");
    let direct = flow::open_direct(&world.node().rest(&ada), &world.user("Ben")).await;
    let mut first = Worker::start(&world, &[("MESSAGING_PERSISTER_BATCH_SIZE", "5")]).await;
    first.leads().await;
    let second = Worker::start(&world, &[]).await;
    let mut ws = world.node().ws(&ada).await;
    let mut requests = Vec::new();
    for number in 0..400 {
        let data = json!({"conversationId": direct, "content": number.to_string()});
        requests.push(ws.send("sendMessage", data).await);
    }
    ws.reply(requests.remove(50)).await.expect("accepted");
    let status = first.0.terminate().await;
    assert!(status.success(), "{status}");
    second.leads().await;
    for request in requests {
        ws.reply(request).await.expect("accepted");
    }
    assert_eq!(world.log_and_table_agree(direct).await, 400);
}

#[tokio::test]
async fn a_connection_without_a_request_holds_nothing_up() {
    let mut world = World::start().await;
    let address = world.node().url.strip_prefix("http://").expect("a URL").to_owned();
    let silent = tokio::net::TcpStream::connect(&address).await.expect("connected");
    // Taken by the node before this one is answered.
    world.node().rest(&world.user("Ada")).get("/unread").await.expect(200);
    let status = world.node_mut(0).terminate().await;
    assert!(status.success(), "{status}");
    drop(silent);
}
