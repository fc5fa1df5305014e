//! What is forbidden does not happen, and a process that lacks a right says so.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{apply_topology, run_as, run_with};
use crate::harness::raw_nats::RawNats;
use crate::harness::shipped::Shipped;
use crate::harness::{Rest, World, flow};

async fn info(topology: &mut RawNats, subject: &str) -> Value {
    let answer = topology.request(subject, "_INBOX_topology.1", "").await;
    serde_json::from_str(&answer).expect("JSON")
}

#[tokio::test]
async fn a_service_cannot_make_the_server_do_what_it_may_not_do_itself() {
    let shipped = Shipped::single();
    let world = World::without_nodes().await;
    apply_topology(&world, &shipped).await;
    let mut topology = shipped.raw("topology").await;
    assert_eq!(topology.subscribe("_INBOX_topology.>").await, None);
    let mut edge = shipped.raw("edge").await;
    for number in 0..3 {
        let subject = format!("chat.0a.00000000-0000-4000-8000-00000000{number:02}0a");
        assert_eq!(edge.publish(&subject, "{}").await, None);
    }
    // Where its acknowledgement goes is for the sender to say; as a command to the server it has no effect.
    let mut billing = shipped.raw("billing").await;
    for command in ["STREAM.PURGE.CHAT", "STREAM.DELETE.CHAT", "STREAM.PURGE.DEAD"] {
        let said = "messaging.system.billing.conversation.x";
        let command = format!("$JS.API.{command}");
        for _ in 0..5 {
            assert_eq!(billing.publish_with_reply(said, &command, "{}").await, None);
        }
    }
    let found = info(&mut topology, "$JS.API.STREAM.INFO.CHAT").await;
    assert_eq!(found["state"]["messages"], json!(3), "{found}");
}

#[tokio::test]
async fn a_reader_of_the_log_reads_it_and_cannot_turn_its_consumer_on_others() {
    let shipped = Shipped::single();
    let world = World::without_nodes().await;
    let mut environment = shipped.environment("topology");
    environment.push(("MESSAGING_NATS_LOG_READERS", "events".to_owned()));
    for expected in ["CHAT for events: created", "CHAT for events: as wanted"] {
        let output = run_with(&world, &["topology", "apply"], &environment).await;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(expected), "{said}");
    }
    let mut edge = shipped.raw("edge").await;
    let written = "chat.0a.00000000-0000-4000-8000-00000000000a";
    assert_eq!(edge.publish(written, "{\"content\":\"x\"}").await, None);

    let mut events = shipped.raw("events").await;
    assert_eq!(events.subscribe("_INBOX_events.>").await, None);
    let next = "$JS.API.CONSUMER.MSG.NEXT.CHAT.events";
    assert_eq!(events.publish_with_reply(next, "_INBOX_events.1", "1").await, None);
    let (subject, payload) = events.next().await;
    assert_eq!((&*subject, &*payload), (written, &b"{\"content\":\"x\"}"[..]));

    // Delivered there, what a user wrote would be a request in the name of another service.
    let forged = json!({"stream_name": "CHAT", "config": {"durable_name": "events",
        "deliver_subject": "messaging.api.system.billing.user.x", "ack_policy": "none"}});
    let create = "$JS.API.CONSUMER.CREATE.CHAT.events";
    let complaint = events.publish(create, &forged.to_string()).await.unwrap_or_default();
    assert!(complaint.contains("Permissions Violation"), "{complaint:?}");

    let mut billing = shipped.raw("billing").await;
    let complaint = billing.publish(next, "1").await.unwrap_or_default();
    assert!(complaint.contains("Permissions Violation"), "{complaint:?}");
}

#[tokio::test]
async fn an_edge_cannot_take_over_the_consumer_of_another_role() {
    let shipped = Shipped::single();
    let world = World::without_nodes().await;
    apply_topology(&world, &shipped).await;
    let mut persister = shipped.raw("persister").await;
    assert_eq!(persister.subscribe("_INBOX_persister.>").await, None);
    let durable = json!({"stream_name": "CHAT",
        "config": {"durable_name": "persist", "ack_policy": "all"}});
    let create = "$JS.API.CONSUMER.CREATE.CHAT.persist";
    let made = persister.request(create, "_INBOX_persister.1", &durable.to_string()).await;
    assert!(made.contains("\"name\":\"persist\""), "{made}");

    // Its own subject, another name in the body: it is the subject's that counts.
    let mut edge = shipped.raw("edge").await;
    assert_eq!(edge.subscribe("_INBOX_edge.>").await, None);
    let forged = json!({"stream_name": "CHAT", "config": {"name": "persist", "ack_policy": "all",
        "filter_subject": "chat.00.nothing"}});
    let create = "$JS.API.CONSUMER.CREATE.CHAT.passing-1";
    edge.request(create, "_INBOX_edge.1", &forged.to_string()).await;
    let mut topology = shipped.raw("topology").await;
    assert_eq!(topology.subscribe("_INBOX_topology.>").await, None);
    let found = info(&mut topology, "$JS.API.CONSUMER.INFO.CHAT.persist").await;
    assert_eq!(found["config"]["filter_subject"], Value::Null, "{found}");
}

#[tokio::test]
async fn a_role_with_the_wrong_user_says_what_it_may_not_do_and_ends() {
    let shipped = Shipped::single();
    let world = World::without_nodes().await;
    apply_topology(&world, &shipped).await;
    for role in ["edge", "persister"] {
        let output = run_as(&world, &shipped, "billing", &["serve", "--role", role]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("the NATS user of this process may not do what it has to"), "{said}");
        assert!(said.contains("$JS.API.STREAM.INFO.CHAT"), "{said}");
        assert!(said.contains("NATS does not allow what this process has to do"), "{said}");
    }

    let mut wrong = shipped.environment("edge");
    wrong.push(("NATS_PASSWORD", "not this".to_owned()));
    let output = run_with(&world, &["serve", "--role", "persister"], &wrong).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("the server does not know this user, password or key"), "{said}");
}

#[tokio::test]
async fn a_right_that_is_taken_away_shows_as_not_ready_with_the_subject_in_the_log() {
    let shipped = Shipped::single();
    let mut world = World::without_nodes().await;
    apply_topology(&world, &shipped).await;
    let mut environment = shipped.environment("edge");
    environment.push(("MESSAGING_NATS_PUBLISH_RETRY_FOR", "1s".to_owned()));
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, &**value)).collect();
    world.add_node_with(&["--role", "edge"], &environment).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let direct = flow::open_direct(&world.node().rest(&ada), &ben).await;
    let nobody = Rest::new(&world.node().url, None);
    nobody.get("//readyz").await.expect(200);

    let right = "\"chat.*.*\", \"signal.*.*\", \"status.*\", \"answer.control.*\", \"$KV";
    shipped.reload(&[(right, right.trim_start_matches("\"chat.*.*\", "))]).await;
    let message = json!({"conversationId": direct, "content": "Hello"});
    let answer = world.node().rest(&ada).post("/messages", message).await;
    answer.refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    let answer = nobody.get("//readyz").await;
    assert_eq!(answer.status, 503);
    let reasons = answer.body.to_string();
    assert!(reasons.contains("NATS does not allow what this process has to do"), "{reasons}");
    let said = world.node().process.stderr.text();
    assert!(said.contains("may not do what it has to"), "{said}");
    assert!(said.contains(&format!("Publish to \\\"chat.{}", &direct.to_string()[34..])), "{said}");
}
