//! Once, whatever is repeated, and however late.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::{Scene, Service, ids, taken};
use crate::harness::World;
use crate::harness::flow::{UNPACED, eventually};

/// A log and a queue that forget ids at once, as after two minutes.
async fn forgetful() -> Scene {
    let mut world = World::start_with(UNPACED).await;
    shrink(&world, Duration::from_millis(200)).await;
    world.node_mut(0).kill9().await;
    let keep = [UNPACED, &[("MESSAGING_NATS_APPLY_TOPOLOGY", "false")]].concat();
    let mut fresh = World::without_nodes().await;
    std::mem::swap(&mut fresh.nats, &mut world.nats);
    std::mem::swap(&mut fresh.database, &mut world.database);
    fresh.add_node(&keep).await;
    Scene::of(fresh).await
}

async fn shrink(world: &World, window: Duration) {
    let context = async_nats::jetstream::new(world.nats.client().await);
    for name in ["CHAT", "INGEST"] {
        let mut stream = context.get_stream(name).await.expect("a stream");
        let mut config = stream.info().await.expect("NATS answers").config.clone();
        config.duplicate_window = window;
        context.update_stream(config).await.expect("updated");
    }
}

/// Waits until the queue has forgotten an id: then it stores it once more.
async fn repeated(service: &Service, rest: &str, id: &str) {
    let stored = async || (!service.say(rest, Some(id), "Once").await).then_some(());
    eventually("the queue has forgotten", stored).await;
}

#[tokio::test]
async fn an_id_is_one_message_by_whichever_way_it_comes() {
    let scene = Scene::start().await;
    let rest = format!("conversation.{}", scene.chat);
    scene.service.say(&rest, Some("1"), "Once").await;
    scene.service.say(&rest, Some("1"), "Once").await;
    let said = json!({"content": "Once"});
    let asked = ids(&scene.service.request("system", &rest, Some("1"), &said).await);
    let again = ids(&scene.service.request("system", &rest, Some("1"), &said).await);
    assert_eq!(asked, again);
    taken(&scene.world).await;
    scene.world.persisted().await;
    let rows = scene.world.rows(scene.chat).await;
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), asked);
    // The same id of another service is another message.
    let orders = Service::new(&scene.world, "orders").await;
    assert_ne!(ids(&orders.request("system", &rest, Some("1"), &said).await), asked);
}

#[tokio::test]
async fn a_repetition_behind_the_window_is_recognised_by_what_it_became() {
    let scene = forgetful().await;
    let rest = format!("conversation.{}", scene.chat);
    let mut ws = scene.world.node().ws(&scene.ben).await;
    scene.service.say(&rest, Some("1"), "Once").await;
    repeated(&scene.service, &rest, "1").await;
    taken(&scene.world).await;
    let said = json!({"content": "Once"});
    assert_eq!(ids(&scene.service.request("system", &rest, Some("1"), &said).await).len(), 1);
    scene.service.say(&rest, Some("2"), "Last").await;
    assert_eq!(ws.event("newMessage").await["data"]["content"], "Once");
    assert_eq!(ws.event("newMessage").await["data"]["content"], "Last", "nothing in between");
    assert_eq!(scene.world.log_and_table_agree(scene.chat).await, 2);
}

#[tokio::test]
async fn with_postgres_behind_the_log_a_repetition_waits_until_it_can_be_told() {
    // The edge and ingest without a persister: what is in the log is not in Postgres.
    let mut world = World::start_with(UNPACED).await;
    shrink(&world, Duration::from_millis(200)).await;
    let scene = Scene::of(world).await;
    world = scene.world;
    world.persisted().await;
    let before = world.last_seq().await;
    world.node_mut(0).kill9().await;
    let keep = [UNPACED, &[("MESSAGING_NATS_APPLY_TOPOLOGY", "false")]].concat();
    let index = world.add_node_with(&["--role", "edge,ingest"], &keep).await;
    let rest = format!("conversation.{}", scene.chat);
    scene.service.say(&rest, Some("1"), "Once").await;
    let stored = async || (world.last_seq().await > before).then_some(());
    eventually("it is in the log", stored).await;
    let waits = async || {
        scene.service.say(&rest, Some("1"), "Once").await;
        let text = world.nodes()[index].process.stderr.text();
        text.contains("a repeated message would not be recognised").then_some(())
    };
    eventually("it waits", waits).await;
    world.add_node_with(&["--role", "persister"], &keep).await;
    taken(&world).await;
    let logged = world.logged().await;
    assert_eq!(logged.iter().filter(|event| event.kind == "newMessage").count(), 1);
}

#[tokio::test]
async fn messages_without_an_id_are_told_apart_by_their_place_in_the_queue() {
    let scene = forgetful().await;
    let rest = format!("conversation.{}", scene.chat);
    for _ in 0..3 {
        scene.service.say(&rest, None, "Again").await;
    }
    taken(&scene.world).await;
    assert_eq!(scene.contents().await, ["Again", "Again", "Again"]);
}

#[tokio::test]
async fn a_message_to_a_context_that_is_repeated_reaches_new_conversations_and_no_other_twice() {
    let scene = forgetful().await;
    let event = Uuid::new_v4();
    let path = format!("/conversations/event/{event}?organizerId={}", scene.ben.id);
    scene.rest.get(&path).await.expect(200);
    let said = json!({"content": "Moved"});
    let rest = format!("context.event.{event}");
    let first = ids(&scene.service.request("system", &rest, Some("1"), &said).await);
    scene.world.persisted().await;
    let other = scene.world.user("Other");
    scene.world.node().rest(&other).get(&path).await.expect(200);
    let second = ids(&scene.service.request("system", &rest, Some("1"), &said).await);
    assert_eq!((first.len(), second.len()), (1, 2));
    assert!(second.contains(&first[0]));
    scene.world.persisted().await;
    let database = scene.world.database.client().await;
    let sql = "SELECT count(*) FROM messages WHERE id = ANY($1)";
    let count: i64 = database.query_one(sql, &[&second]).await.expect("a row").get(0);
    assert_eq!(count, 2);
    let all = "SELECT count(*) FROM messages WHERE type = 'system'";
    let count: i64 = database.query_one(all, &[]).await.expect("a row").get(0);
    assert_eq!(count, 2);
}
