//! `messaging serve`: roles, listeners, and how it starts and stops.

use std::time::Duration;

use serde_json::json;

use crate::harness::node::command;
use crate::harness::{PATIENCE, Rest, User, World, Ws};

/// A direct conversation of the two, made by the first.
async fn open(rest: &Rest, other: &User) -> String {
    let body = json!({"type": "direct", "participantIds": [other.id]});
    let conversation = rest.post("/conversations", body).await.expect(201);
    conversation["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_message_reaches_the_other_side_and_postgres() {
    let world = World::start().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open(&world.node().rest(&ada), &bayo).await;
    let mut ada_ws = world.node().ws(&ada).await;
    let mut bayo_ws = world.node().ws(&bayo).await;
    let data = json!({"conversationId": conversation, "content": "Hello!"});
    let sent = ada_ws.request("sendMessage", data).await.expect("accepted");
    let arrived = bayo_ws.event("newMessage").await;
    assert_eq!(arrived["data"]["id"], sent["message"]["id"]);
    assert_eq!(arrived["data"]["senderName"], "Ada");
    let path = format!("/conversations/{conversation}/messages");
    let history = world.node().rest(&bayo).get(&path).await.expect(200);
    assert_eq!(history["messages"][0]["content"], "Hello!");
    let stored = world.database.client().await.query("SELECT 1 FROM messages", &[]).await;
    assert_eq!(stored.expect("rows").len(), 1);
}

#[tokio::test]
async fn roles_may_run_in_processes_of_their_own() {
    let mut world = World::without_nodes().await;
    world.add_node_with(&["--role", "edge"], &[]).await;
    world.add_node_with(&["--role", "persister"], &[]).await;
    let [edge, persister] = world.nodes() else { panic!("two nodes") };
    let operators = Rest::new(&persister.url, None);
    operators.get("//healthz").await.expect(200);
    operators.get("//readyz").await.expect(200);
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open(&edge.rest(&ada), &bayo).await;
    let body = json!({"conversationId": conversation, "content": "Hello!"});
    edge.rest(&ada).post("/messages", body).await.expect(201);
    let path = format!("/conversations/{conversation}/messages");
    let history = edge.rest(&bayo).get(&path).await.expect(200);
    assert_eq!(history["messages"][0]["content"], "Hello!");
    let metrics = operators.get("//metrics").await.expect(200);
    let metrics = metrics.as_str().expect("text").to_owned();
    assert!(metrics.contains("messaging_persister_leader 1"), "{metrics}");
}

#[tokio::test]
async fn sockets_and_metrics_may_have_listeners_of_their_own() {
    let settings = [("MESSAGING_WS_PORT", "0"), ("MESSAGING_METRICS_LISTEN", "127.0.0.1:0")];
    let world = World::start_with(&settings).await;
    let ada = world.user("Ada");
    let sockets = world.node().listener("sockets have a listener of their own");
    Ws::connect(&sockets, &ada.token).await;
    world.node().ws(&ada).await;
    assert_eq!(Rest::new(&sockets, Some(&ada.token)).get("/conversations").await.status, 404);
    let operators = world.node().listener("operators have a listener of their own");
    let metrics = Rest::new(&operators, None).get("//metrics").await.expect(200);
    assert!(metrics.as_str().is_some_and(|text| text.contains("messaging_connects_total 2")));
    assert_eq!(Rest::new(&world.node().url, None).get("//metrics").await.status, 404);
}

#[tokio::test]
async fn health_asks_a_process_for_its_readiness() {
    let world = World::start().await;
    let address = world.node().url.trim_start_matches("http://").to_owned();
    let ask = |address: &str| {
        let output =
            command(&["health", "--address", address], &[]).output().expect("messaging runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(ask(&address).0, Some(0));
    world.nats.stop();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let (code, said) = loop {
        let answer = ask(&address);
        if answer.0 != Some(0) || tokio::time::Instant::now() > deadline {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(code, Some(1));
    assert!(said.contains("NATS"), "{said}");
    assert_eq!(ask("127.0.0.1:1").0, Some(1));
}

#[tokio::test]
async fn a_stopping_node_sees_its_clients_off() {
    let mut world = World::start_with(&[("MESSAGING_DRAIN_WINDOW", "2s")]).await;
    let mut ws = world.node().ws(&world.user("Ada")).await;
    world.node().process.signal(libc::SIGTERM);
    let reconnect = ws.event("reconnect").await;
    assert!(reconnect["data"]["afterMs"].as_u64().is_some_and(|after| after <= 2_000));
    assert_eq!(ws.closed().await, 4503);
    assert!(world.node_mut(0).ended().await.success());
}

#[tokio::test]
async fn servers_that_cannot_be_reached_are_said_at_the_start() {
    let world = World::without_nodes().await;
    for (name, value, word) in [
        ("NATS_URL", "nats://127.0.0.1:1", "NATS"),
        ("POSTGRES_URL", "postgres://127.0.0.1:1/none", "Postgres"),
    ] {
        let settings = world.settings(&[(name, value)]);
        let output = tokio::task::spawn_blocking(move || command(&["serve"], &settings).output())
            .await
            .expect("no panic")
            .expect("messaging runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{said}");
        assert!(errors[0].contains(word), "{said}");
    }
}

#[tokio::test]
async fn the_topology_is_shown_and_applied_by_hand() {
    let world = World::without_nodes().await;
    let run = |arguments: &[&str]| {
        let output = command(arguments, &world.settings(&[])).output().expect("messaging runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, shown) = run(&["topology", "show"]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("CHAT") && shown.contains("missing"), "{shown}");
    assert_eq!(run(&["topology", "apply"]).0, Some(0));
    let (code, shown) = run(&["topology", "show"]);
    assert_eq!(code, Some(0), "{shown}");
    let (code, applied) = run(&["topology", "apply"]);
    assert_eq!(code, Some(0));
    assert!(!applied.contains("created") && !applied.contains("updated"), "{applied}");
}

#[tokio::test]
async fn a_frozen_log_refuses_sends_as_unavailable_and_a_retry_is_stored_once() {
    let world = World::start_with(&[("MESSAGING_NATS_PUBLISH_RETRY_FOR", "1s")]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open(&world.node().rest(&ada), &bayo).await;
    let mut ada = world.node().ws(&ada).await;
    let mut bayo = world.node().ws(&bayo).await;
    let mut send =
        json!({"conversationId": conversation, "content": "Hi", "clientMessageId": "once"});
    world.nats.pause();
    let refused = ada.request("sendMessage", send.clone()).await.expect_err("nobody has stored it");
    world.nats.resume();
    assert_eq!(refused["code"], "unavailable");
    send["attempt"] = json!(2);
    let sent = ada.request("sendMessage", send).await.expect("the log is back");
    let arrived = bayo.event("newMessage").await;
    assert_eq!(arrived["data"]["id"], sent["message"]["id"]);
    bayo.no_event("newMessage", Duration::from_millis(300)).await;
}

#[tokio::test]
async fn nats_and_postgres_may_go_and_come_back() {
    let mut world = World::with_own_postgres().await;
    world.add_node(&[]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open(&world.node().rest(&ada), &bayo).await;
    let mut ws = world.node().ws(&bayo).await;
    let send = |content: &str| json!({"conversationId": conversation, "content": content});
    let rest = world.node().rest(&ada);

    world.database.server().kill();
    ws.request("sendMessage", send("without Postgres")).await.expect("connected clients go on");
    world.database.server().start_again();

    world.nats.stop();
    world.nats.start_again();
    ws.request("sendMessage", send("after NATS")).await.expect("it resumes by itself");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let path = format!("/conversations/{conversation}/messages");
    loop {
        let history = rest.get(&path).await;
        let messages = history.body["messages"].as_array().map_or(0, Vec::len);
        if history.status == 200 && messages == 2 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{history:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
