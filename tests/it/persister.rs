//! The projection survives whatever happens to the one who writes it.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, eventually};
use crate::harness::{User, Worker, World, Ws};

/// Small transactions: many places to be killed at.
const SMALL_BATCHES: &[(&str, &str)] =
    &[("MESSAGING_PERSISTER_BATCH_SIZE", "7"), ("MESSAGING_PERSISTER_LINGER", "1ms")];

/// An edge, and a group of which the last member only listens.
struct Scene {
    world: World,
    group: Uuid,
    senders: Vec<User>,
    silent: User,
}

impl Scene {
    async fn start() -> Self {
        let mut world = World::without_nodes().await;
        world.add_node_with(&["--role", "edge"], UNPACED).await;
        let senders: Vec<User> = (0..3).map(|n| world.user(&format!("S{n}"))).collect();
        let silent = world.user("Silent");
        let others = [&senders[1..], std::slice::from_ref(&silent)].concat();
        let group = flow::open_group(&world.node().rest(&senders[0]), &others).await;
        Self { world, group, senders, silent }
    }

    /// Each sender writes so many messages without waiting; done when all are acknowledged.
    async fn load(&self, each: usize) {
        let sending = self.senders.iter().map(async |sender| {
            let mut ws = self.world.node().ws(sender).await;
            burst(&mut ws, self.group, each).await;
        });
        futures_util::future::join_all(sending).await;
    }

    /// The table holds what the log holds, and nobody's count has drifted.
    async fn is_right(&self, expected: usize) {
        assert_eq!(self.world.log_and_table_agree(self.group).await, expected);
        let unread = flow::unread(&self.world.node().rest(&self.silent), self.group).await;
        assert_eq!(unread, expected as u64, "for one who never reads");
        for sender in &self.senders {
            let rows = self.world.rows(self.group).await;
            let unread = flow::unread(&self.world.node().rest(sender), self.group).await;
            let last_own = self.last_of(sender).await;
            let behind = rows.iter().filter(|row| row.seq > last_own).count();
            assert_eq!(unread, behind as u64, "what came after the own last message");
        }
    }

    async fn last_of(&self, sender: &User) -> u64 {
        let sql = "SELECT coalesce(max(seq), 0) FROM messages WHERE sender_id = $1";
        let row = self.world.database.client().await.query_one(sql, &[&sender.id]).await;
        u64::try_from(row.expect("a row").get::<_, i64>(0)).expect("positive")
    }
}

async fn burst(ws: &mut Ws, group: Uuid, count: usize) {
    let mut requests = Vec::new();
    for number in 0..count {
        let data = json!({"conversationId": group, "content": number.to_string()});
        requests.push(ws.send("sendMessage", data).await);
    }
    for request in requests {
        ws.reply(request).await.expect("accepted");
    }
}

/// Holds what every batch with a message of the conversation must change, so that it waits in its transaction.
async fn hold(database: &Client, conversation: Uuid) {
    database.batch_execute("BEGIN").await.expect("a transaction");
    let sql = "SELECT 1 FROM conversations WHERE id = $1 FOR UPDATE";
    database.execute(sql, &[&conversation]).await.expect("held");
}

async fn release(database: &Client) {
    database.batch_execute("COMMIT").await.expect("released");
}

#[tokio::test]
async fn the_stand_by_takes_over_when_the_leader_is_killed_under_load() {
    let scene = Scene::start().await;
    let mut first = Worker::start(&scene.world, SMALL_BATCHES).await;
    first.leads().await;
    let second = Worker::start(&scene.world, SMALL_BATCHES).await;
    assert!(!second.has_led(), "one at a time");
    let breaking = async {
        let begun = async || (scene.world.progress().await > 100).then_some(());
        eventually("the projection moves", begun).await;
        first.0.kill9().await;
        second.leads().await;
    };
    tokio::join!(scene.load(400), breaking);
    scene.is_right(1200).await;
}

#[tokio::test]
async fn kills_at_random_moments_lose_and_double_nothing() {
    let mut random = StdRng::seed_from_u64(20_261_122);
    let scene = Scene::start().await;
    let killing = async {
        let mut next = 0;
        for _ in 0..10 {
            let mut worker = Worker::start(&scene.world, SMALL_BATCHES).await;
            next += random.random_range(10..90);
            let there = async || (scene.world.progress().await >= next).then_some(());
            eventually("the projection moves", there).await;
            worker.0.kill9().await;
        }
    };
    tokio::join!(scene.load(400), killing);
    let _last = Worker::start(&scene.world, SMALL_BATCHES).await;
    scene.is_right(1200).await;
}

#[tokio::test]
async fn a_leader_killed_in_the_middle_of_a_batch_leaves_nothing_of_it() {
    let scene = Scene::start().await;
    let mut first = Worker::start(&scene.world, &[]).await;
    scene.load(10).await;
    scene.world.persisted().await;

    let holder = scene.world.database.client().await;
    hold(&holder, scene.group).await;
    scene.load(10).await;
    scene.world.a_batch_waits().await;
    first.0.kill9().await;
    release(&holder).await;
    assert_eq!(scene.world.rows(scene.group).await.len(), 30, "all of a batch or nothing");
    let _second = Worker::start(&scene.world, &[]).await;
    scene.is_right(60).await;
}

#[tokio::test]
async fn a_batch_that_was_committed_and_not_acknowledged_is_not_applied_again() {
    let mut scene = Scene::start().await;
    let mut first = Worker::start(&scene.world, &[]).await;
    let holder = scene.world.database.client().await;
    hold(&holder, scene.group).await;
    scene.load(20).await;
    scene.world.a_batch_waits().await;
    let consumer = scene.world.log().await.consumer_info("persist").await.expect("it exists");
    let acknowledged = consumer.ack_floor.stream_sequence;
    // The commit will succeed, its acknowledgement cannot.
    let before = scene.world.progress().await;
    scene.world.nats.kill9();
    release(&holder).await;
    let committed = async || (scene.world.progress().await > before).then_some(());
    eventually("the batch is committed", committed).await;
    first.0.kill9().await;
    scene.world.nats.start_again();

    assert!(acknowledged < scene.world.progress().await, "committed beyond what was acknowledged");
    let _second = Worker::start(&scene.world, &[]).await;
    scene.load(5).await;
    scene.is_right(75).await;
}

#[tokio::test]
async fn a_leader_goes_on_after_nats_vanished_between_commit_and_acknowledgement() {
    let mut scene = Scene::start().await;
    let worker = Worker::start(&scene.world, SMALL_BATCHES).await;
    let holder = scene.world.database.client().await;
    hold(&holder, scene.group).await;
    scene.load(20).await;
    scene.world.a_batch_waits().await;
    scene.world.nats.kill9();
    release(&holder).await;
    scene.world.nats.start_again();
    scene.load(5).await;
    scene.is_right(75).await;
    drop(worker);
}

#[tokio::test]
async fn a_leader_that_lost_its_session_hands_over_and_comes_back_as_stand_by() {
    let scene = Scene::start().await;
    let first = Worker::start(&scene.world, SMALL_BATCHES).await;
    first.leads().await;
    let mut second = Worker::start(&scene.world, SMALL_BATCHES).await;
    let breaking = async {
        let begun = async || (scene.world.progress().await > 50).then_some(());
        eventually("the projection moves", begun).await;
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_locks
                   WHERE locktype = 'advisory' AND granted
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let ended = scene.world.database.client().await.query(sql, &[]).await.expect("ended");
        assert_eq!(ended.len(), 1, "one holds the lock");
        second.leads().await;
    };
    tokio::join!(scene.load(300), breaking);
    scene.is_right(900).await;
    assert!(first.0.process.has_ended().is_none(), "it stands by");
    second.0.terminate().await;
    scene.load(5).await;
    scene.is_right(915).await;
}

#[tokio::test]
async fn what_the_log_delivers_again_changes_nothing() {
    let scene = Scene::start().await;
    let mut first = Worker::start(&scene.world, SMALL_BATCHES).await;
    scene.load(30).await;
    scene.world.persisted().await;
    // A consumer of that name that begins at the beginning and has acknowledged nothing.
    first.0.kill9().await;
    let log = scene.world.log().await;
    log.delete_consumer("persist").await.expect("deleted");
    let config = async_nats::jetstream::consumer::pull::Config {
        durable_name: Some("persist".to_owned()),
        ..Default::default()
    };
    log.create_consumer(config).await.expect("made");
    let _second = Worker::start(&scene.world, SMALL_BATCHES).await;
    scene.load(5).await;
    scene.is_right(105).await;
}
