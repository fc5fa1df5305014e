//! The micro service, as clients of the services API find it.

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::{Scene, Service, ids, refusal};
use crate::harness::flow::UNPACED;
use crate::harness::{PATIENCE, World};

/// What every instance answers to `$SRV.<verb>.messaging`.
async fn instances(scene: &Scene, verb: &str, count: usize) -> Vec<Value> {
    let client = scene.world.nats.client().await;
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.expect("subscribed");
    let subject = format!("$SRV.{verb}.messaging");
    client.publish_with_reply(subject, inbox, "".into()).await.expect("sent");
    let mut found = Vec::new();
    while found.len() < count {
        let answer = tokio::time::timeout(PATIENCE, answers.next()).await.expect("in time");
        found.push(serde_json::from_slice(&answer.expect("open").payload).expect("JSON"));
    }
    found
}

#[tokio::test]
async fn the_service_is_found_described_and_counted() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node_with(&["--role", "ingest"], UNPACED).await;
    let scene = Scene::of(world).await;
    assert_eq!(instances(&scene, "PING", 2).await.len(), 2, "each process");
    let info = instances(&scene, "INFO", 2).await.remove(0);
    assert_eq!(info["name"], "messaging");
    let endpoints = info["endpoints"].as_array().expect("endpoints").iter();
    let mut subjects: Vec<&str> = endpoints.filter_map(|e| e["subject"].as_str()).collect();
    subjects.sort_unstable();
    let expected = ["contexts", "dead", "system", "users"];
    assert_eq!(subjects, expected.map(|name| format!("messaging.api.{name}.>")));
    for _ in 0..10 {
        let said = json!({"content": "Hello"});
        let rest = format!("conversation.{}", scene.chat);
        ids(&scene.service.request("system", &rest, None, &said).await);
    }
    let handled = |stats: &Value| -> u64 {
        let endpoints = stats["endpoints"].as_array().expect("endpoints").iter();
        endpoints.filter_map(|e| e["num_requests"].as_u64()).sum()
    };
    let counted: u64 = instances(&scene, "STATS", 2).await.iter().map(handled).sum();
    assert_eq!(counted, 10, "each by one of them");
}

#[tokio::test]
async fn a_service_that_asks_too_fast_is_told_to_wait_and_others_are_not() {
    let settings = [UNPACED, &[("RATE_LIMIT_SERVICE_REQUESTS_PER_SECOND", "1")]].concat();
    let scene = Scene::of(World::start_with(&settings).await).await;
    let rest = format!("conversation.{}", scene.chat);
    let said = json!({"content": "Hello"});
    let mut refused = None;
    for _ in 0..5 {
        let reply = scene.service.request("system", &rest, None, &said).await;
        refused = (reply["ok"] == false).then_some(reply).or(refused);
    }
    let refused = refused.expect("five at once are too many");
    assert_eq!(refusal(&refused).0, "rate_limited");
    assert!(refused["error"]["retryAfterMs"].as_u64().expect("a time") <= 1_000);
    let other = Service::new(&scene.world, "orders").await;
    ids(&other.request("system", &rest, None, &said).await);
}

#[tokio::test]
async fn a_refusal_is_in_the_headers_of_the_services_api_as_well() {
    let scene = Scene::start().await;
    let client = scene.world.nats.client().await;
    let subject = format!("messaging.api.system.events.conversation.{}", scene.chat);
    let reply = client.request(subject, "{}".into()).await.expect("a reply");
    let headers = reply.headers.expect("headers");
    let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("Nats-Service-Error-Code").as_deref(), Some("400"));
    assert_eq!(header("Nats-Service-Error").as_deref(), Some("content is required"));
}
