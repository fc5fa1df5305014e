//! No room left, at the log or in Postgres.

use async_nats::jetstream::{self, stream};

use super::*;
use crate::harness::Worker;

#[tokio::test]
async fn a_log_without_room_refuses_sends_in_time_says_why_and_goes_on_when_there_is_room() {
    let retry = [("MESSAGING_NATS_PUBLISH_RETRY_FOR", "800ms")];
    let scene = scene(World::with_log("max_file_store: 8MB").await, &retry).await;
    let (mut ada, mut ben) =
        (scene.world.nodes()[0].ws(&scene.ada).await, scene.world.nodes()[1].ws(&scene.ben).await);
    ada.say(scene.direct, "before").await;
    assert_eq!(ben.event("newMessage").await["data"]["content"], "before");

    let context = jetstream::new(scene.world.nats.client().await);
    let filler = stream::Config { name: "FILLER".to_owned(), ..Default::default() };
    context.create_stream(&filler).await.expect("a stream");
    let block = bytes::Bytes::from(vec![b'x'; 256 << 10]);
    for filled in 0.. {
        let sent = context.publish("FILLER", block.clone()).await.expect("sent");
        if sent.await.is_err() {
            break;
        }
        assert!(filled < 64, "8 MB are full");
    }
    let asked = tokio::time::Instant::now();
    let refused = ada.request("sendMessage", text(scene.direct, "no room")).await;
    assert_eq!(refused.expect_err("no room")["code"], "unavailable");
    assert!(asked.elapsed() < Duration::from_secs(4));
    let node = &scene.world.nodes()[0];
    not_ready_because(node, "the log takes no messages").await;
    assert!(metric(node, "messaging_publishes_turned_away_total").await > Some(0.0));
    let said = node.process.stderr.text();
    let told: Vec<&str> =
        said.lines().filter(|line| line.contains("the log takes no messages now")).collect();
    assert_eq!(told.len(), 1, "told once: {told:?}");
    ben.request("ping", json!({})).await.expect("connections stay");

    context.delete_stream("FILLER").await.expect("deleted");
    insist(&mut ada, text(scene.direct, "after")).await;
    assert_eq!(ben.event("newMessage").await["data"]["content"], "after");
    ready(node).await;
    assert_eq!(scene.world.log_and_table_agree(scene.direct).await, 2);
}

/// What a full disk answers to the persister; a disk of its own would need an operator.
const FULL: &str = "
    CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON messages EXECUTE FUNCTION full_disk()";

#[tokio::test]
async fn a_full_disk_of_postgres_stops_the_persister_and_not_the_chat() {
    let mut world = World::without_nodes().await;
    let worker = Worker::start(&world, &[]).await;
    for _ in 0..2 {
        world.add_node_with(&["--role", "edge"], UNPACED).await;
    }
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let direct = flow::open_direct(&world.node().rest(&ada), &ben).await;
    let (mut here, mut there) = (world.nodes()[0].ws(&ada).await, world.nodes()[1].ws(&ben).await);
    worker.leads().await;
    ready(&worker.0).await;
    let database = world.database.client().await;
    database.batch_execute(FULL).await.expect("full");

    for number in 0..20 {
        here.say(direct, &number.to_string()).await;
    }
    assert_eq!(there.messages(20).await.len(), 20);
    not_ready_because(&worker.0, "the persister fails again and again").await;
    assert!(metric(&worker.0, "messaging_persister_failures_total").await >= Some(4.0));
    let edge = &world.nodes()[1];
    eventually("the edges see how far Postgres is behind", async || {
        let seconds = metric(edge, "messaging_postgres_behind_seconds").await?;
        (seconds >= 1.0).then_some(())
    })
    .await;
    assert!(metric(edge, "messaging_postgres_behind_events").await >= Some(20.0));
    assert_eq!(flow::history(&edge.rest(&ben), direct, 7).await.len(), 20, "from memory");
    assert!(metric(edge, "messaging_reads_ahead_total").await > Some(0.0));
    ready(edge).await;

    database.batch_execute("DROP FUNCTION full_disk CASCADE").await.expect("room");
    ready(&worker.0).await;
    assert_eq!(world.log_and_table_agree(direct).await, 20);
    eventually("nothing is behind", async || {
        (metric(edge, "messaging_postgres_behind_events").await? == 0.0).then_some(())
    })
    .await;
}
