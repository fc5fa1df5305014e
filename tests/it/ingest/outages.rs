//! What is in the queue comes through, whatever is away meanwhile, and once.

use std::time::Duration;

use serde_json::json;

use super::{Scene, refusal, taken};
use crate::harness::World;
use crate::harness::flow::{self, UNPACED, eventually};

const COUNT: usize = 300;

async fn published(scene: &Scene, from: usize) -> Vec<String> {
    let rest = format!("conversation.{}", scene.chat);
    let mut contents = Vec::new();
    for number in from..from + COUNT {
        let content = number.to_string();
        scene.service.say(&rest, Some(&content), &content).await;
        contents.push(content);
    }
    contents
}

/// The contents in the table, in their order.
async fn stored(scene: &Scene) -> Vec<String> {
    taken(&scene.world).await;
    scene.world.log_and_table_agree(scene.chat).await;
    scene.world.rows(scene.chat).await.into_iter().map(|row| row.content).collect()
}

/// Has the queue hand out again what nothing was heard of for a second.
async fn impatient(world: &World) {
    let context = async_nats::jetstream::new(world.nats.client().await);
    let queue = context.get_stream("INGEST").await.expect("the queue");
    let consumer = queue.consumer_info("ingest").await.expect("the consumer");
    let config = async_nats::jetstream::consumer::pull::Config {
        ack_wait: Duration::from_secs(1),
        durable_name: Some("ingest".to_owned()),
        ack_policy: consumer.config.ack_policy,
        max_ack_pending: consumer.config.max_ack_pending,
        ..Default::default()
    };
    queue.update_consumer(config).await.expect("updated");
}

#[tokio::test]
async fn a_process_that_is_killed_between_the_log_and_the_acknowledgement_repeats_nothing() {
    let mut world = World::start_with(UNPACED).await;
    let index = world.add_node_with(&["--role", "ingest"], UNPACED).await;
    let mut scene = Scene::of(world).await;
    impatient(&scene.world).await;
    let mut ws = scene.world.node().ws(&scene.ben).await;
    let expected = published(&scene, 0).await;
    // In the middle of it: some of what it had in hand is in the log, and none of that acknowledged.
    scene.world.node_mut(index).kill9().await;
    let mut found = stored(&scene).await;
    found.sort_by_key(|content| content.parse::<usize>().expect("a number"));
    assert_eq!(found, expected, "each once");
    assert_eq!(ws.messages(COUNT).await.len(), COUNT);
    ws.has_no_more("newMessage");
}

#[tokio::test]
async fn what_is_published_while_nobody_is_there_waits_for_the_next_process() {
    let mut scene = Scene::start().await;
    scene.world.node_mut(0).kill9().await;
    let expected = published(&scene, 0).await;
    scene.world.add_node(UNPACED).await;
    assert_eq!(stored(&scene).await, expected);
}

#[tokio::test]
async fn while_postgres_is_away_the_queue_waits_and_the_process_says_so() {
    let mut world = World::with_own_postgres().await;
    world.add_node(UNPACED).await;
    let scene = Scene::of(world).await;
    scene.world.database.server().kill();
    let rest = format!("conversation.{}", scene.chat);
    let said = json!({"content": "x"});
    let reply = scene.service.request("system", &rest, Some("asked"), &said).await;
    assert_eq!(refusal(&reply).0, "unavailable");
    assert!(reply["error"]["retryAfterMs"].is_u64());
    let expected = published(&scene, 0).await;
    flow::not_ready_because(scene.world.node(), "ingest fails again and again").await;
    scene.world.database.server().start_again();
    assert_eq!(stored(&scene).await, expected);
    flow::ready(scene.world.node()).await;
}

#[tokio::test]
async fn a_restart_of_nats_loses_and_repeats_nothing() {
    let mut scene = Scene::start().await;
    impatient(&scene.world).await;
    let mut expected = published(&scene, 0).await;
    scene.world.nats.kill9();
    scene.world.nats.start_again();
    let rest = format!("conversation.{}", scene.chat);
    let subject = scene.service.subject("system", &rest);
    let back = async || {
        let body = json!({"content": COUNT.to_string()}).to_string().into_bytes();
        scene.service.try_publish(subject.clone(), Some(&COUNT.to_string()), body).await
    };
    eventually("the queue is back", back).await;
    expected.extend(published(&scene, COUNT).await);
    let mut found = stored(&scene).await;
    // What was in hand is handed out again behind what came later.
    found.sort_by_key(|content| content.parse::<usize>().expect("a number"));
    assert_eq!(found, expected);
}
