//! NATS or Postgres away: what needs them says so, everything else goes on, and all of it resumes by itself.

mod clients;
mod disks;
mod postgres;

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, eventually, not_ready_because, place_of, ready};
use crate::harness::{Node, Rest, User, World, Ws};

struct Scene {
    world: World,
    ada: User,
    ben: User,
    direct: Uuid,
}

/// Ada on the first node, Ben on the second.
async fn scene(mut world: World, settings: &[(&str, &str)]) -> Scene {
    let settings = [UNPACED, settings].concat();
    world.add_node(&settings).await;
    world.add_node(&settings).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let direct = flow::open_direct(&world.node().rest(&ada), &ben).await;
    Scene { world, ada, ben, direct }
}

fn text(conversation: Uuid, content: &str) -> Value {
    json!({"conversationId": conversation, "content": content, "clientMessageId": content})
}

/// The value of a metric without labels.
async fn metric(node: &Node, name: &str) -> Option<f64> {
    let text = Rest::new(&node.url, None).get("//metrics").await.body.as_str()?.to_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.parse().ok()
}

/// Sends until it is accepted, as a client does that is told to come back.
async fn insist(ws: &mut Ws, data: Value) -> Value {
    let deadline = tokio::time::Instant::now() + crate::harness::PATIENCE;
    loop {
        match ws.request("sendMessage", data.clone()).await {
            Ok(mut accepted) => return accepted["message"].take(),
            Err(error) => assert_eq!(error["code"], "unavailable"),
        }
        assert!(tokio::time::Instant::now() < deadline, "still unavailable");
    }
}

#[tokio::test]
async fn without_nats_sends_are_refused_in_time_connections_stay_and_everything_resumes() {
    let retry = [("MESSAGING_NATS_PUBLISH_RETRY_FOR", "800ms")];
    let mut scene = scene(World::without_nodes().await, &retry).await;
    let (mut ada, mut ben) =
        (scene.world.nodes()[0].ws(&scene.ada).await, scene.world.nodes()[1].ws(&scene.ben).await);
    ada.say(scene.direct, "before").await;
    assert_eq!(ben.event("newMessage").await["data"]["content"], "before");
    scene.world.persisted().await;

    scene.world.nats.kill9();
    let asked = tokio::time::Instant::now();
    let refused = ada.request("sendMessage", text(scene.direct, "lost")).await;
    assert_eq!(refused.expect_err("no log")["code"], "unavailable");
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?} where 0.8 s were set");
    let rest = scene.world.nodes()[1].rest(&scene.ada);
    let answer = rest.post("/messages", text(scene.direct, "lost too")).await;
    answer.refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    for node in scene.world.nodes() {
        not_ready_because(node, "NATS is not connected").await;
    }
    for ws in [&mut ada, &mut ben] {
        ws.request("ping", json!({})).await.expect("connections stay");
    }
    let asked = tokio::time::Instant::now();
    let history = flow::history(&rest, scene.direct, 50).await;
    assert_eq!(history.len(), 1, "what was persisted can be read");
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}: the wait for what may be newer is bounded");

    scene.world.nats.start_again();
    insist(&mut ada, text(scene.direct, "after")).await;
    assert_eq!(ben.event("newMessage").await["data"]["content"], "after", "the tail resumed");
    for node in scene.world.nodes() {
        ready(node).await;
    }
    scene.world.log_and_table_agree(scene.direct).await;
    assert_eq!(ben.say(scene.direct, "back").await["content"], "back");
}

#[tokio::test]
async fn sends_that_wait_while_nats_restarts_are_stored_once_and_in_order() {
    const COUNT: usize = 40;
    let mut scene = scene(World::without_nodes().await, &[]).await;
    let mut ada = scene.world.nodes()[0].ws(&scene.ada).await;
    let mut ben = scene.world.nodes()[1].ws(&scene.ben).await;
    let mut requests = Vec::new();
    for number in 0..COUNT {
        if number == COUNT / 2 {
            // Some are on the way just now.
            scene.world.nats.kill9();
        }
        requests.push(ada.send("sendMessage", text(scene.direct, &number.to_string())).await);
    }
    scene.world.nats.start_again();
    let mut last = 0;
    for request in requests {
        let accepted = ada.reply(request).await.expect("it was retried");
        let (seq, _) = place_of(&accepted["message"]);
        assert!(seq > last, "in the order of sending");
        last = seq;
    }
    let heard = ben.messages(COUNT).await;
    let contents: Vec<&str> = heard.iter().filter_map(|m| m["content"].as_str()).collect();
    assert_eq!(contents, (0..COUNT).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(scene.world.log_and_table_agree(scene.direct).await, COUNT);
}

#[tokio::test]
async fn a_send_repeated_because_nats_was_silent_is_stored_once_and_answered_as_new() {
    let retry = [("MESSAGING_NATS_PUBLISH_RETRY_FOR", "4s")];
    let scene = scene(World::without_nodes().await, &retry).await;
    let mut ada = scene.world.nodes()[0].ws(&scene.ada).await;
    let mut ben = scene.world.nodes()[1].ws(&scene.ben).await;
    scene.world.nats.pause();
    let request = ada.send("sendMessage", text(scene.direct, "once")).await;
    let rest = scene.world.nodes()[1].rest(&scene.ada);
    let direct = scene.direct;
    let over_rest =
        tokio::spawn(async move { rest.post("/messages", text(direct, "over REST")).await });
    for node in scene.world.nodes() {
        let metrics = Rest::new(&node.url, None);
        let repeated = async || {
            let text = metrics.get("//metrics").await.body.as_str()?.to_owned();
            let line = text.lines().find(|l| l.starts_with("messaging_publish_retries_total "))?;
            (!line.ends_with(" 0")).then_some(())
        };
        eventually("it was sent again", repeated).await;
    }
    scene.world.nats.resume();
    ada.reply(request).await.expect("accepted");
    over_rest.await.expect("no panic").expect(201);
    ada.say(scene.direct, "then").await;
    let heard = ben.messages(3).await;
    assert_eq!(heard[2]["content"], "then");
    assert_eq!(scene.world.log_and_table_agree(scene.direct).await, 3);
}

#[tokio::test]
async fn without_postgres_connected_clients_go_on_and_what_needs_it_says_so() {
    let scene = scene(World::with_own_postgres().await, &[]).await;
    let mut ada = scene.world.nodes()[0].ws(&scene.ada).await;
    let mut ben = scene.world.nodes()[1].ws(&scene.ben).await;
    ada.say(scene.direct, "0").await;
    scene.world.persisted().await;

    scene.world.database.server().kill();
    for number in 1..=20 {
        ada.say(scene.direct, &number.to_string()).await;
    }
    let heard = ben.messages(21).await;
    assert_eq!(heard.last().expect("some")["content"], "20");
    ben.say(scene.direct, "21").await;
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    for node in scene.world.nodes() {
        let rest = node.rest(&scene.ben);
        let path = format!("/conversations/{}/messages", scene.direct);
        rest.get(&path).await.refused(unavailable, "unavailable");
        rest.get("/conversations").await.refused(unavailable, "unavailable");
        let body = json!({"type": "direct", "participantIds": [Uuid::new_v4()]});
        rest.post("/conversations", body).await.refused(unavailable, "unavailable");
        not_ready_because(node, "Postgres does not answer").await;
    }
    let marked = ben.request("markAsRead", json!({"conversationId": scene.direct})).await;
    assert_eq!(marked.expect_err("not stored")["code"], "unavailable");
    let stranger = scene.world.user("Stranger");
    let mut refused = Ws::open(&scene.world.node().url, "", Some(&stranger.token)).await;
    assert_eq!(refused.closed().await, 4503);

    scene.world.database.server().start_again();
    for node in scene.world.nodes() {
        ready(node).await;
    }
    assert_eq!(scene.world.log_and_table_agree(scene.direct).await, 22);
    let history = flow::history(&scene.world.node().rest(&scene.ben), scene.direct, 10).await;
    assert_eq!(history.len(), 22);
    ada.say(scene.direct, "22").await;
    assert_eq!(scene.world.log_and_table_agree(scene.direct).await, 23);
}
