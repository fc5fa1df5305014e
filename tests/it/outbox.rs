//! What is committed is announced: once, in order, whatever stopped the one who meant to.

use serde_json::json;
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, eventually};
use crate::harness::{User, World, Ws};

const SHORT_RETRY: &[(&str, &str)] = &[("MESSAGING_NATS_PUBLISH_RETRY_FOR", "1s")];

struct Scene {
    world: World,
    ada: User,
    group: Uuid,
    listening: Vec<Ws>,
}

/// A group whose members listen on both nodes.
async fn scene() -> Scene {
    let settings = [UNPACED, SHORT_RETRY].concat();
    let mut world = World::start_with(&settings).await;
    world.add_node(&settings).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let group = flow::open_group(&world.node().rest(&ada), std::slice::from_ref(&ben)).await;
    let mut listening = Vec::new();
    for node in world.nodes() {
        for user in [&ada, &ben] {
            listening.push(node.ws(user).await);
        }
    }
    Scene { world, ada, group, listening }
}

/// The titles that are announced before the next message.
async fn titles(ws: &mut Ws) -> Vec<String> {
    ws.event("newMessage").await;
    let updates = ws.take_events("conversationUpdated");
    let title = |update: &serde_json::Value| {
        assert_eq!(update["data"]["change"], "title");
        update["data"]["conversation"]["title"].as_str().expect("a title").to_owned()
    };
    updates.iter().map(title).collect()
}

async fn outbox_is_empty(world: &World) {
    let database = world.database.client().await;
    let empty = async || {
        let rows = database.query("SELECT 1 FROM outbox", &[]).await.expect("rows");
        rows.is_empty().then_some(())
    };
    eventually("the outbox is empty", empty).await;
}

#[tokio::test]
async fn changes_made_while_nats_was_away_are_announced_once_and_in_order_when_it_is_back() {
    let mut scene = scene().await;
    let rest = scene.world.node().rest(&scene.ada);
    scene.world.nats.kill9();
    let path = format!("/conversations/{}", scene.group);
    for title in ["one", "two", "three"] {
        let view = rest.patch(&path, json!({"title": title})).await.expect(200);
        assert_eq!(view["title"], title);
    }
    scene.world.nats.start_again();
    outbox_is_empty(&scene.world).await;
    flow::send(&rest, scene.group, "done").await;
    for ws in &mut scene.listening {
        assert_eq!(titles(ws).await, ["one", "two", "three"]);
    }
}

#[tokio::test]
async fn a_node_killed_between_commit_and_publish_is_stood_in_for() {
    let mut scene = scene().await;
    let rest = scene.world.node().rest(&scene.ada);
    scene.world.nats.pause();
    let path = format!("/conversations/{}", scene.group);
    let patching = tokio::spawn(async move {
        // Nobody answers: the node is killed.
        let _ = tokio::spawn(async move { rest.patch(&path, json!({"title": "new"})).await }).await;
    });
    let database = scene.world.database.client().await;
    let committed = async || {
        let rows = database.query("SELECT 1 FROM outbox", &[]).await.expect("rows");
        (!rows.is_empty()).then_some(())
    };
    eventually("the change is committed", committed).await;
    scene.world.node_mut(0).kill9().await;
    patching.await.expect("no panic");
    scene.world.nats.resume();
    outbox_is_empty(&scene.world).await;
    flow::send(&scene.world.nodes()[1].rest(&scene.ada), scene.group, "done").await;
    for ws in &mut scene.listening[2..] {
        assert_eq!(titles(ws).await, ["new"]);
    }
}

#[tokio::test]
async fn concurrent_changes_on_two_nodes_are_announced_in_the_order_of_their_commits() {
    let mut scene = scene().await;
    let path = format!("/conversations/{}", scene.group);
    let changes = (0..30).map(|number| {
        let rest = scene.world.nodes()[number % 2].rest(&scene.ada);
        let (path, body) = (path.clone(), json!({"title": number.to_string()}));
        async move { rest.patch(&path, body).await.expect(200) }
    });
    futures_util::future::join_all(changes).await;
    outbox_is_empty(&scene.world).await;
    let rest = scene.world.node().rest(&scene.ada);
    let now = rest.get(&path).await.expect(200);
    flow::send(&rest, scene.group, "done").await;
    let mut seen = Vec::new();
    for ws in &mut scene.listening {
        seen.push(titles(ws).await);
    }
    assert_eq!(seen[0].len(), 30, "{:?}", seen[0]);
    assert!(seen.iter().all(|titles| titles == &seen[0]), "the same for all");
    assert_eq!(seen[0].last().map(String::as_str), now["title"].as_str(), "the last one stands");
}
