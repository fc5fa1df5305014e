//! Read markers: never back, never behind what was acknowledged, whoever asks and wherever.

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, id_of, open_direct, open_group};
use crate::harness::{User, World, Ws};

/// The participant's entry in a conversation, as another participant sees it.
async fn participant(world: &World, asking: &User, conversation: Uuid, user: &User) -> Value {
    let path = format!("/conversations/{conversation}/participants");
    let page = world.node().rest(asking).get(&path).await.expect(200);
    let all = page["participants"].as_array().expect("participants");
    all.iter().find(|p| p["userId"] == json!(user.id)).expect("a participant").clone()
}

#[tokio::test]
async fn a_mark_covers_what_was_acknowledged_anywhere_before_it_was_asked_for() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut sender = world.nodes()[0].ws(&bayo).await;
    let mut reader = world.nodes()[1].ws(&ada).await;
    let newest = json!({"conversationId": conversation});
    for round in 0..25 {
        let first = sender.say(conversation, "one").await;
        for text in ["two", "three", "four"] {
            sender.say(conversation, text).await;
        }
        let up_to_first = json!({"conversationId": conversation, "messageId": first["id"]});
        let reply = reader.request("markAsRead", up_to_first).await.expect("marked");
        assert_eq!(reply, json!({"unreadCount": 3}), "round {round}");
        let last = sender.say(conversation, "five").await;
        let reply = reader.request("markAsRead", newest.clone()).await.expect("marked");
        assert_eq!(reply, json!({"unreadCount": 0}), "round {round}");
        let shown = participant(&world, &bayo, conversation, &ada).await;
        assert_eq!(
            (&shown["lastReadMessageId"], &shown["lastReadSeq"]),
            (&last["id"], &last["seq"])
        );
    }
}

/// Marks again and again, several at once on the connection, and returns how far that was in each conversation, in
/// messages.
async fn marks_at_random(
    ws: &mut Ws,
    (conversations, messages): (&Vec<Uuid>, &Vec<Vec<Value>>),
    seed: u64,
) -> [usize; 3] {
    let mut random = StdRng::seed_from_u64(seed);
    let mut furthest = [0; 3];
    for _ in 0..8 {
        let asked: Vec<_> = (0..5)
            .map(|_| (random.random_range(0..3_usize), random.random_range(0..20_usize)))
            .collect();
        let mut ids = Vec::new();
        for (c, m) in &asked {
            let id = &messages[*c][*m]["id"];
            let mark = json!({"conversationId": conversations[*c], "messageId": id});
            ids.push(ws.send("markAsRead", mark).await);
            furthest[*c] = furthest[*c].max(m + 1);
        }
        for (id, (_, m)) in ids.into_iter().zip(&asked) {
            let reply = ws.reply(id).await.expect("marked");
            let unread = reply["unreadCount"].as_u64().expect("a count");
            assert!(unread <= 19 - *m as u64, "at most what is behind the own mark");
        }
    }
    furthest
}

/// Several devices of several people mark and send at the same time, through two nodes, in conversations that
/// they share: every marker ends at the furthest that was asked for, and every answer was possible.
#[tokio::test]
async fn markers_of_many_devices_at_once_end_at_the_furthest_and_never_go_back() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let users: Vec<User> = (0..4).map(|n| world.user(&format!("U{n}"))).collect();
    let mut conversations = Vec::new();
    for _ in 0..3 {
        conversations.push(open_group(&world.node().rest(&users[0]), &users[1..]).await);
    }
    let mut messages: Vec<Vec<Value>> = Vec::new();
    for conversation in &conversations {
        let mut sender = world.node().ws(&users[0]).await;
        let mut said = Vec::new();
        for n in 0..20 {
            said.push(sender.say(*conversation, &format!("{n}")).await);
        }
        messages.push(said);
    }
    let devices = (0..12).map(|device| {
        let (world, users, scene) = (&world, &users, (&conversations, &messages));
        async move {
            let user = 1 + device % 3;
            let mut ws = world.nodes()[device % 2].ws(&users[user]).await;
            let furthest = marks_at_random(&mut ws, scene, device as u64).await;
            (user, furthest, ws.take_events("messageRead"))
        }
    });
    let mut furthest = [[0; 3]; 4];
    for (user, reached, events) in join_all(devices).await {
        for (c, reached) in reached.into_iter().enumerate() {
            furthest[user][c] = furthest[user][c].max(reached);
        }
        let mut seen = std::collections::HashSet::new();
        for event in events {
            let data = &event["data"];
            let move_ = (data["userId"].to_string(), data["conversationId"].to_string());
            assert!(seen.insert((move_, data["seq"].as_u64())), "each move is told once: {data}");
        }
    }
    for (user, reached) in furthest.iter().enumerate().skip(1) {
        for (c, reached) in reached.iter().enumerate() {
            let (conversation, last) = (conversations[c], &messages[c][*reached - 1]);
            let shown = participant(&world, &users[0], conversation, &users[user]).await;
            assert_eq!(
                (&shown["lastReadMessageId"], &shown["lastReadSeq"]),
                (&last["id"], &last["seq"])
            );
            let unread = flow::unread(&world.nodes()[1].rest(&users[user]), conversation).await;
            assert_eq!(unread, 20 - *reached as u64);
        }
    }
}

#[tokio::test]
async fn a_connection_goes_on_while_its_marks_wait_for_postgres() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut reader = world.node().ws(&ada).await;
    let mut sender = world.node().ws(&bayo).await;
    sender.say(conversation, "one").await;
    world.persisted().await;
    let mut database = world.database.client().await;
    let held = database.transaction().await.expect("a transaction");
    let lock = "SELECT FROM conversation_participants WHERE user_id = $1 FOR UPDATE";
    held.query(lock, &[&ada.id]).await.expect("locked");
    let marked = reader.send("markAsRead", json!({"conversationId": conversation})).await;
    let said = sender.say(conversation, "two").await;
    assert_eq!(reader.event("newMessage").await["data"]["content"], "one");
    assert_eq!(reader.event("newMessage").await["data"]["id"], said["id"]);
    reader.request("ping", json!({})).await.expect("answered");
    held.rollback().await.expect("let go");
    reader.reply(marked).await.expect("marked in the end");
}

#[tokio::test]
async fn a_mark_at_a_message_that_postgres_has_not_got_yet_may_be_tried_again() {
    let mut world = World::without_nodes().await;
    let edge = world.add_node_with(&["--role", "edge"], UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.nodes()[edge].rest(&ada);
    let conversation = open_direct(&rest, &bayo).await;
    let body = json!({"conversationId": conversation, "content": "hello"});
    let message = rest.post("/messages", body).await.expect(201);
    let path = format!("/conversations/{conversation}/mark-read");
    let body = json!({"messageId": id_of(&message)});
    let answer = world.nodes()[edge].rest(&bayo).post(&path, body).await;
    answer.refused(reqwest::StatusCode::SERVICE_UNAVAILABLE, "unavailable");
}
