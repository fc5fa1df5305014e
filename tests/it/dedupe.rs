//! A message sent again is the message of the first time.

use std::collections::HashSet;
use std::time::Duration;

use async_nats::jetstream;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, eventually, place_of};
use crate::harness::socketio::SocketIo;
use crate::harness::{Rest, User, Worker, World, Ws};

async fn pair(world: &World) -> (User, User, Uuid) {
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let direct = flow::open_direct(&world.node().rest(&ada), &ben).await;
    (ada, ben, direct)
}

async fn two_nodes() -> World {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    world
}

fn named(conversation: Uuid, content: &str, name: &str) -> Value {
    json!({"conversationId": conversation, "content": content, "clientMessageId": name})
}

async fn resend(ws: &mut Ws, data: Value) -> Value {
    ws.request("sendMessage", data).await.expect("accepted")["message"].take()
}

#[tokio::test]
async fn a_send_repeated_anywhere_answers_with_the_first_ones_id_and_seq() {
    let world = two_nodes().await;
    let (ada, ben, direct) = pair(&world).await;
    let mut ben = world.nodes()[1].ws(&ben).await;
    let mut here = world.node().ws(&ada).await;
    let first = resend(&mut here, named(direct, "hello", "m1")).await;

    let again = resend(&mut here, named(direct, "hello", "m1")).await;
    let mut second = world.node().ws(&ada).await;
    let other_connection = resend(&mut second, named(direct, "hello", "m1")).await;
    let mut there = world.nodes()[1].ws(&ada).await;
    let other_node = resend(&mut there, named(direct, "hello", "m1")).await;
    let rest = world.nodes()[1].rest(&ada);
    let over_rest = rest.post("/messages", named(direct, "hello", "m1")).await.expect(200);
    let mut marked = named(direct, "hello", "m1");
    marked["attempt"] = 2.into();
    let by_attempt = rest.post("/messages", marked).await.expect(200);
    for repeat in [again, other_connection, other_node, over_rest, by_attempt] {
        assert_eq!(place_of(&repeat), place_of(&first));
        assert_eq!(
            (&repeat["content"], &repeat["createdAt"]),
            (&first["content"], &first["createdAt"])
        );
    }

    let last = resend(&mut here, named(direct, "bye", "m2")).await;
    let heard: Vec<_> = ben.messages(2).await.iter().map(place_of).collect();
    assert_eq!(heard, [place_of(&first), place_of(&last)], "heard once");
    assert_eq!(world.log_and_table_agree(direct).await, 2);
}

#[tokio::test]
async fn an_idempotency_key_stands_for_the_client_message_id() {
    let world = two_nodes().await;
    let (ada, _, direct) = pair(&world).await;
    let body = json!({"conversationId": direct, "content": "hello"});
    let post = async |node: usize| {
        let url = format!("{}/messaging/messages", world.nodes()[node].url);
        let request = reqwest::Client::new().post(url).bearer_auth(&ada.token);
        let answer = request.header("Idempotency-Key", "k-1").json(&body).send().await;
        let answer = answer.expect("the node answers");
        (answer.status(), answer.json::<Value>().await.expect("a message"))
    };
    let (status, first) = post(0).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(first["clientMessageId"], "k-1");
    for node in [0, 1] {
        let (status, again) = post(node).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(place_of(&again), place_of(&first));
    }
    let mut ws = world.node().ws(&ada).await;
    let over_socket = resend(&mut ws, named(direct, "hello", "k-1")).await;
    assert_eq!(place_of(&over_socket), place_of(&first));
    assert_eq!(world.log_and_table_agree(direct).await, 1);
}

#[tokio::test]
async fn many_at_once_with_one_id_become_one_message() {
    let world = two_nodes().await;
    let (ada, _, direct) = pair(&world).await;
    let calls = (0..24).map(|at| {
        let rest = world.nodes()[at % 2].rest(&ada);
        async move { rest.post("/messages", named(direct, "hello", "same")).await }
    });
    let answers = futures_util::future::join_all(calls).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1, "one is new");
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 201)), "{answers:?}");
    let places: HashSet<_> = answers.iter().map(|answer| place_of(&answer.body)).collect();
    assert_eq!(places.len(), 1);
    assert_eq!(world.log_and_table_agree(direct).await, 1);
}

#[tokio::test]
async fn the_same_id_in_another_conversation_is_a_conflict() {
    let world = World::start_with(UNPACED).await;
    let (ada, _, direct) = pair(&world).await;
    let rest = world.node().rest(&ada);
    let other = flow::open_direct(&rest, &world.user("Cem")).await;
    rest.post("/messages", named(direct, "hello", "m1")).await.expect(201);

    let answer = rest.post("/messages", named(other, "hello", "m1")).await;
    answer.refused(StatusCode::CONFLICT, "conflict");
    world.persisted().await;
    let mut marked = named(other, "hello", "m1");
    marked["attempt"] = 2.into();
    rest.post("/messages", marked).await.refused(StatusCode::CONFLICT, "conflict");
    let mut ws = world.node().ws(&ada).await;
    let refused = ws.request("sendMessage", named(other, "hello", "m1")).await;
    assert_eq!(refused.expect_err("refused")["code"], "conflict");
    assert_eq!(world.log_and_table_agree(other).await, 0);
}

#[tokio::test]
async fn two_senders_may_use_the_same_id() {
    let world = World::start_with(UNPACED).await;
    let (ada, ben, direct) = pair(&world).await;
    for user in [&ada, &ben] {
        world.node().rest(user).post("/messages", named(direct, "hello", "1")).await.expect(201);
    }
    assert_eq!(world.log_and_table_agree(direct).await, 2);
}

#[tokio::test]
async fn a_repeat_long_after_is_answered_from_postgres_if_it_says_so_and_leaves_one_row_anyhow() {
    let world = two_nodes().await;
    let (ada, ben, direct) = pair(&world).await;
    let rest = world.nodes()[1].rest(&ada);
    let first = rest.post("/messages", named(direct, "hello", "m1")).await.expect(201);
    world.persisted().await;
    forget_message_ids(&world).await;

    let before = world.last_seq().await;
    let mut marked = named(direct, "hello", "m1");
    marked["attempt"] = 2.into();
    for node in world.nodes() {
        let again = node.rest(&ada).post("/messages", marked.clone()).await.expect(200);
        assert_eq!(place_of(&again), place_of(&first));
    }
    let mut ws = world.node().ws(&ada).await;
    assert_eq!(place_of(&resend(&mut ws, marked).await), place_of(&first));
    assert_eq!(world.last_seq().await, before, "nothing was published");

    // One that does not say so enters the log again; the projection keeps the first.
    rest.post("/messages", named(direct, "hello", "m1")).await;
    let next = rest.post("/messages", named(direct, "bye", "m2")).await.expect(201);
    world.persisted().await;
    let rows: Vec<_> = world.rows(direct).await.iter().map(|row| (row.seq, row.id)).collect();
    assert_eq!(rows, [place_of(&first), place_of(&next)]);
    world.counters_are_dense(direct).await;
    assert_eq!(flow::unread(&world.node().rest(&ben), direct).await, 2);
}

/// Lets the log forget the ids of what it has: what two minutes do otherwise.
async fn forget_message_ids(world: &World) {
    let context = jetstream::new(world.nats.client().await);
    let log = world.log().await;
    let mut config = log.cached_info().config.clone();
    config.duplicate_window = Duration::from_millis(100);
    context.update_stream(config).await.expect("a shorter window");
    // What is stored later is forgotten later.
    let probe = format!("chat.00.{}", Uuid::nil());
    eventually("the log forgets ids", async || {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Msg-Id", "probe");
        let sent = context.publish_with_headers(probe.clone(), headers, "".into()).await;
        let stored = sent.expect("sent").await.expect("an answer");
        let known = stored.duplicate;
        (!known && stored.sequence > log.cached_info().state.last_sequence + 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_repeat_of_a_deleted_message_answers_with_its_tombstone() {
    let world = two_nodes().await;
    let (ada, _, direct) = pair(&world).await;
    let rest = world.node().rest(&ada);
    let first = rest.post("/messages", named(direct, "secret", "m1")).await.expect(201);
    let mut listening = Vec::new();
    for node in world.nodes() {
        listening.push(node.ws(&ada).await);
    }
    rest.delete(&format!("/messages/{}", flow::id_of(&first))).await.expect(200);
    for ws in &mut listening {
        ws.event("messageDeleted").await;
    }
    world.erased(place_of(&first).0).await;
    for (node, attempt) in [(0, 1), (1, 1), (0, 2), (1, 2)] {
        let mut again = named(direct, "secret", "m1");
        again["attempt"] = attempt.into();
        let rest = world.nodes()[node].rest(&ada);
        let answer = rest.post("/messages", again).await.expect(200);
        assert_eq!(place_of(&answer), place_of(&first));
        assert_eq!(
            (&answer["content"], &answer["isDeleted"]),
            (&"".into(), &true.into()),
            "{attempt}"
        );
    }
}

#[tokio::test]
async fn a_send_whose_node_was_killed_is_repeated_on_another_and_stored_once() {
    let mut world = two_nodes().await;
    let (ada, ben, direct) = pair(&world).await;
    let mut ben = world.nodes()[1].ws(&ben).await;
    let mut ws = world.node().ws(&ada).await;
    let names: Vec<String> = (0..200).map(|number| format!("m{number}")).collect();
    for name in &names {
        ws.send("sendMessage", named(direct, name, name)).await;
    }
    // Some were acknowledged, some stored, some never read: nobody knows which.
    ws.reply(40).await.expect("accepted");
    world.node_mut(0).kill9().await;
    let rest = world.nodes()[1].rest(&ada);
    for name in &names {
        let mut again = named(direct, name, name);
        again["attempt"] = 2.into();
        let answer = rest.post("/messages", again).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }
    let heard = ben.messages(names.len()).await;
    let contents: Vec<&str> = heard.iter().filter_map(|m| m["content"].as_str()).collect();
    assert_eq!(contents, names, "each once, in the order of sending");
    assert_eq!(world.log_and_table_agree(direct).await, names.len());
}

#[tokio::test]
async fn the_same_id_with_other_content_answers_with_the_original() {
    let world = two_nodes().await;
    let (ada, _, direct) = pair(&world).await;
    let rest = world.node().rest(&ada);
    let first = rest.post("/messages", named(direct, "hello", "m1")).await.expect(201);
    for node in world.nodes() {
        let again = node.rest(&ada).post("/messages", named(direct, "other", "m1")).await;
        let again = again.expect(200);
        assert_eq!(place_of(&again), place_of(&first));
        assert_eq!(again["content"], "hello");
        let mut ws = node.ws(&ada).await;
        assert_eq!(resend(&mut ws, named(direct, "other", "m1")).await["content"], "hello");
    }
    assert_eq!(world.log_and_table_agree(direct).await, 1);
}

#[tokio::test]
async fn a_message_sent_by_rest_and_by_either_socket_is_one() {
    let world = two_nodes().await;
    let (ada, _, direct) = pair(&world).await;
    let message = named(direct, "hello", "m1");
    let mut app = SocketIo::connect(&world.nodes()[1], &ada).await;
    let first = app.emit("sendMessage", message.clone()).await;
    assert_eq!(first["success"], true);
    let first = place_of(&first["message"]);
    let mut ws = world.node().ws(&ada).await;
    assert_eq!(place_of(&resend(&mut ws, message.clone()).await), first);
    let over_rest = world.node().rest(&ada).post("/messages", message.clone()).await.expect(200);
    assert_eq!(place_of(&over_rest), first);
    let again = app.emit("sendMessage", message).await;
    assert_eq!(place_of(&again["message"]), first);
}

/// The window of the stream has passed and Postgres does not have the message: only memory knows of it.
#[tokio::test]
async fn a_repeat_after_the_window_is_known_although_the_persister_is_down() {
    let mut world = World::without_nodes().await;
    let worker = Worker::start(&world, &[]).await;
    for _ in 0..2 {
        world.add_node_with(&["--role", "edge"], UNPACED).await;
    }
    let (ada, _, direct) = pair(&world).await;
    world.persisted().await;
    worker.0.process.stop(libc::SIGTERM);
    let first = world.node().rest(&ada).post("/messages", named(direct, "hello", "m1")).await;
    let first = first.expect(201);
    forget_message_ids(&world).await;
    for (node, attempt) in [(0, 2), (1, 2), (0, 1), (1, 1)] {
        let mut again = named(direct, "hello", "m1");
        again["attempt"] = attempt.into();
        let rest = world.nodes()[node].rest(&ada);
        let again = rest.post("/messages", again).await.expect(200);
        assert_eq!(place_of(&again), place_of(&first), "attempt {attempt} on node {node}");
    }
    let mut other =
        named(flow::open_direct(&world.node().rest(&ada), &world.user("Cem")).await, "x", "m1");
    other["attempt"] = 2.into();
    let refused = world.nodes()[1].rest(&ada).post("/messages", other).await;
    refused.refused(StatusCode::CONFLICT, "conflict");
    let sent = world.node().rest(&ada).post("/messages", named(direct, "bye", "m2")).await;
    let mut marked = named(direct, "new", "m3");
    marked["attempt"] = 2.into();
    world.nodes()[1].rest(&ada).post("/messages", marked).await.expect(201);
    sent.expect(201);
    let worker = Worker::start(&world, &[]).await;
    worker.leads().await;
    assert_eq!(world.log_and_table_agree(direct).await, 3);
}

#[tokio::test]
async fn a_repeat_right_behind_the_deletion_shows_no_content() {
    let world = two_nodes().await;
    let (ada, _, direct) = pair(&world).await;
    let (here, there) = (world.node().rest(&ada), world.nodes()[1].rest(&ada));
    for number in 0..20 {
        let name = format!("m{number}");
        let first = here.post("/messages", named(direct, "secret", &name)).await.expect(201);
        here.delete(&format!("/messages/{}", flow::id_of(&first))).await.expect(200);
        let again = there.post("/messages", named(direct, "secret", &name)).await.expect(200);
        assert_eq!(place_of(&again), place_of(&first));
        assert_eq!((&again["content"], &again["isDeleted"]), (&"".into(), &true.into()));
    }
}

/// The first try of a repeat goes unanswered, so that it is sent twice itself: it is a repeat all the same.
#[tokio::test]
async fn a_repeat_that_has_to_be_sent_twice_answers_with_the_original() {
    let world = two_nodes().await;
    let (ada, _, direct) = pair(&world).await;
    let first = world.node().rest(&ada).post("/messages", named(direct, "hello", "m1")).await;
    let first = first.expect(201);
    // Out of memory, so that the stream is asked.
    let mut small = Vec::new();
    small.extend_from_slice(UNPACED);
    small.push(("MESSAGING_TAIL_RING_EVENTS", "1"));
    small.push(("MESSAGING_NATS_PUBLISH_RETRY_FOR", "4s"));
    let mut world = world;
    let node = world.add_node(&small).await;
    flow::send(&world.node().rest(&ada), direct, "the newest").await;
    let rest = world.nodes()[node].rest(&ada);
    let mut ws = world.nodes()[node].ws(&ada).await;
    world.nats.pause();
    let over_rest =
        tokio::spawn(async move { rest.post("/messages", named(direct, "other", "m1")).await });
    let request = ws.send("sendMessage", named(direct, "other", "m1")).await;
    let metrics = Rest::new(&world.nodes()[node].url, None);
    eventually("it was sent again", async || {
        let text = metrics.get("//metrics").await.body.as_str()?.to_owned();
        let line = text.lines().find(|l| l.starts_with("messaging_publish_retries_total "))?;
        (!line.ends_with(" 0")).then_some(())
    })
    .await;
    world.nats.resume();
    let again = over_rest.await.expect("no panic").expect(200);
    assert_eq!((place_of(&again), &again["content"]), (place_of(&first), &"hello".into()));
    let reply = ws.reply(request).await.expect("accepted");
    assert_eq!(reply["message"]["content"], "hello");
}
