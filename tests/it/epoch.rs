//! A log that is not the one it was: no process goes on as if nothing had happened.

use async_nats::jetstream;

use crate::harness::flow::{self, UNPACED, eventually, place_of};
use crate::harness::{Node, Worker, World};

/// Loses the log, and makes one of the same name that counts from one again.
async fn replace_log(world: &World) {
    let context = jetstream::new(world.nats.client().await);
    let mut config = world.log().await.cached_info().config.clone();
    context.delete_stream("CHAT").await.expect("deleted");
    config.metadata.insert("epoch".to_owned(), "feedfacebeef".to_owned());
    context.create_stream(config).await.expect("made");
}

async fn gives_up(node: &mut Node, reason: &str) {
    let status = node.ended().await;
    assert_eq!(status.code(), Some(1), "{status}");
    let said = node.process.stderr.text();
    assert!(said.contains(reason), "{said}");
}

#[tokio::test]
async fn an_edge_whose_log_was_replaced_ends_with_an_error() {
    let mut world = World::without_nodes().await;
    world.add_node_with(&["--role", "edge"], UNPACED).await;
    let rest = world.node().rest(&world.user("Ada"));
    let direct = flow::open_direct(&rest, &world.user("Ben")).await;
    flow::send(&rest, direct, "hello").await;
    replace_log(&world).await;
    gives_up(world.node_mut(0), "epoch").await;
}

#[tokio::test]
async fn a_persister_whose_log_was_replaced_ends_with_an_error_and_skips_nothing() {
    let mut world = World::without_nodes().await;
    world.add_node_with(&["--role", "edge"], UNPACED).await;
    let mut worker = Worker::start(&world, &[]).await;
    let rest = world.node().rest(&world.user("Ada"));
    let direct = flow::open_direct(&rest, &world.user("Ben")).await;
    flow::send(&rest, direct, "hello").await;
    world.persisted().await;
    replace_log(&world).await;
    gives_up(&mut worker.0, "epoch").await;
    gives_up(world.node_mut(0), "epoch").await;
}

#[tokio::test]
async fn a_log_made_anew_by_the_service_counts_on_and_history_stays() {
    let mut world = World::start_with(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let direct = flow::open_direct(&world.node().rest(&ada), &ben).await;
    let before = flow::send(&world.node().rest(&ada), direct, "before").await;
    world.persisted().await;
    let context = jetstream::new(world.nats.client().await);
    context.delete_stream("CHAT").await.expect("deleted");
    world.add_node(UNPACED).await;
    gives_up(world.node_mut(0), "epoch").await;

    let rest = world.nodes()[1].rest(&ada);
    let after = flow::send(&rest, direct, "after").await;
    assert!(place_of(&after).0 > place_of(&before).0, "sequences never go back");
    let history = flow::history(&rest, direct, 10).await;
    let places: Vec<_> = history.iter().map(place_of).collect();
    assert_eq!(places, [place_of(&before), place_of(&after)]);
    let unread =
        async || (flow::unread(&world.nodes()[1].rest(&ben), direct).await == 2).then_some(());
    eventually("both count", unread).await;
}

#[tokio::test]
async fn a_node_starts_although_the_end_of_the_log_is_gone() {
    let mut world = World::start_with(UNPACED).await;
    let ada = world.user("Ada");
    let direct = flow::open_direct(&world.node().rest(&ada), &world.user("Ben")).await;
    for content in ["one", "two", "three"] {
        flow::send(&world.node().rest(&ada), direct, content).await;
    }
    world.persisted().await;
    // As an erasure does, and as time does with all of it.
    let log = world.log().await;
    log.delete_message(world.last_seq().await).await.expect("erased");
    let second = world.add_node(UNPACED).await;
    log.purge().await.expect("purged");
    let third = world.add_node(UNPACED).await;
    let mut connections = Vec::new();
    for node in [0, second, third] {
        connections.push(world.nodes()[node].ws(&ada).await);
    }
    flow::send(&world.nodes()[third].rest(&ada), direct, "four").await;
    for ws in &mut connections {
        assert_eq!(ws.event("newMessage").await["data"]["content"], "four");
    }
}
