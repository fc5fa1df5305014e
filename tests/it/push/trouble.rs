//! A Google that fails, and what it may cost whom.

use super::*;
use crate::harness::flow::{not_ready_because, ready};

/// Opens a direct conversation and returns what sends in it.
async fn chat(scene: &Scene, ada: &User, name: &str) -> (User, String, Uuid) {
    let (user, token) = scene.somebody(name).await;
    let direct = flow::open_direct(&scene.rest(ada), &user).await;
    (user, token, direct)
}

/// The dead letters of notifications: reason, attempts and content.
async fn dead_letters(scene: &Scene) -> Vec<(String, String, serde_json::Value)> {
    let context = async_nats::jetstream::new(scene.world.nats.client().await);
    let stream = context.get_stream("DEAD").await.expect("the dead letters");
    let count = stream.get_info().await.expect("NATS answers").state.messages;
    let mut letters = Vec::new();
    for place in 1..=count {
        let raw = stream.get_raw_message(place).await.expect("stored");
        assert_eq!(raw.subject.as_str(), "dead.push");
        let header = |name: &str| {
            raw.headers.get(name).map(|value| value.as_str().to_owned()).unwrap_or_default()
        };
        let payload = serde_json::from_slice(&raw.payload).expect("JSON");
        letters.push((header("Dead-Reason"), header("Dead-Attempts"), payload));
    }
    letters
}

#[tokio::test]
async fn what_fails_for_now_is_tried_again_and_delays_nobody_else() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let rest = scene.rest(&ada);
    let faults = [
        json!({"kind": "hang"}),
        json!({"kind": "garbage"}),
        json!({"kind": "page"}),
        json!({"kind": "endless"}),
        json!({"kind": "status", "status": 500}),
        json!({"kind": "thirdPartyAuth"}),
    ];
    let mut unlucky = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        let chat = chat(&scene, &ada, &format!("Unlucky{number}")).await;
        scene.fcm.behave_for(&chat.1, fault.clone()).await;
        unlucky.push(chat);
    }
    let (_, lucky, direct) = chat(&scene, &ada, "Lucky").await;
    for (_, _, direct) in &unlucky {
        flow::send(&rest, *direct, "Hello!").await;
    }
    flow::send(&rest, direct, "Hello!").await;
    assert_eq!(says(&scene.next(&lucky, 0).await), "Ada: Hello!");
    for (_, token, _) in &unlucky {
        assert!(!scene.next(token, 0).await.delivered);
        scene.fcm.behave_for(token, json!({"kind": "ok"})).await;
    }
    scene.settled().await;
    for (_, token, _) in &unlucky {
        let received = scene.received(token).await;
        assert_eq!(received.iter().filter(|pushed| pushed.delivered).count(), 1, "{received:#?}");
        assert!(received.last().expect("one").rings());
    }
    assert_eq!(scene.received(&lucky).await.len(), 1);
    assert!(dead_letters(&scene).await.is_empty());
}

#[tokio::test]
async fn a_retry_waits_as_long_as_it_is_told_and_what_follows_stays_behind_it() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let (_, phone, direct) = chat(&scene, &ada, "Bayo").await;
    scene.fcm.behave_times(1, json!({"kind": "quota", "retryAfter": "2"})).await;
    flow::send(&scene.rest(&ada), direct, "one").await;
    let first = scene.next(&phone, 0).await;
    flow::send(&scene.rest(&ada), direct, "two").await;
    scene.settled().await;
    let received = scene.received(&phone).await;
    let shown: Vec<String> = received.iter().map(says).collect();
    assert_eq!(shown, ["Ada: one", "Ada: one", "Ada: two"]);
    let waited = received[1].at - first.at;
    assert!(waited >= 2 * SECOND, "{waited:?}");
}

#[tokio::test]
async fn a_device_that_is_gone_is_forgotten() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let (bayo, phone, direct) = chat(&scene, &ada, "Bayo").await;
    let tablet = device(&scene.world, &bayo, "ios").await;
    scene.fcm.behave_for(&phone, json!({"kind": "unregistered"})).await;
    flow::send(&scene.rest(&ada), direct, "one").await;
    scene.settled().await;
    let devices = scene.rest(&bayo).get("/devices").await.expect(200);
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1), "{devices}");
    flow::send(&scene.rest(&ada), direct, "two").await;
    scene.settled().await;
    assert_eq!(scene.received(&phone).await.len(), 1);
    assert_eq!(scene.received(&tablet).await.len(), 2);
}

#[tokio::test]
async fn what_google_never_takes_and_what_was_tried_too_often_is_parked_with_its_reason() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let (_, wrong, first) = chat(&scene, &ada, "Wrong").await;
    let (often, failing, second) = chat(&scene, &ada, "Often").await;
    scene.fcm.behave_for(&wrong, json!({"kind": "invalidMessage"})).await;
    scene.fcm.behave_for(&failing, json!({"kind": "status", "status": 503})).await;
    let refused = flow::send(&scene.rest(&ada), first, "one").await;
    flow::send(&scene.rest(&ada), second, "one").await;
    scene.next(&failing, 0).await;
    let database = scene.world.database.client().await;
    let last =
        "UPDATE push_jobs SET attempts = 15, due_at = now() WHERE user_id = $1 AND NOT is_claimed";
    eventually("the last attempt but one has failed", async || {
        let rows = database.execute(last, &[&often.id]).await.expect("rows");
        (rows == 1).then_some(())
    })
    .await;
    scene.settled().await;
    let letters = dead_letters(&scene).await;
    assert_eq!(letters.len(), 2, "{letters:#?}");
    let (reason, attempts, content) = &letters[0];
    assert_eq!((reason.as_str(), attempts.as_str()), ("FCM answers 400 INVALID_ARGUMENT", "1"));
    assert_eq!(content["messageId"], refused["id"]);
    assert_eq!(content["conversationId"], json!(first));
    assert!(!content.to_string().contains(&wrong), "no token");
    assert_eq!(letters[1].1, "16");
    // The next message is tried like any other.
    scene.fcm.behave_for(&wrong, json!({"kind": "ok"})).await;
    flow::send(&scene.rest(&ada), first, "two").await;
    scene.settled().await;
    assert_eq!(says(scene.received(&wrong).await.last().expect("one")), "Ada: two");
}

#[tokio::test]
async fn refused_credentials_are_a_reason_not_to_be_ready_and_lose_nothing() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let rest = scene.rest(&ada);
    let mut chats = Vec::new();
    for name in ["Bayo", "Chi", "Dayo"] {
        chats.push(chat(&scene, &ada, name).await);
    }
    ready(scene.world.node()).await;
    scene.fcm.tokens(json!({"refuse": true, "revoke": true})).await;
    for (_, _, direct) in &chats {
        flow::send(&rest, *direct, "one").await;
    }
    not_ready_because(scene.world.node(), "FCM refuses the credentials").await;
    for (_, _, direct) in &chats {
        flow::send(&rest, *direct, "two").await;
    }
    assert!(scene.fcm.received().await.iter().all(|pushed| !pushed.delivered));
    scene.fcm.tokens(json!({"refuse": false})).await;
    scene.settled().await;
    ready(scene.world.node()).await;
    for (_, token, _) in &chats {
        let received = scene.received(token).await;
        let delivered: Vec<String> =
            received.iter().filter(|p| p.delivered && p.rings()).map(says).collect();
        assert_eq!(delivered, ["Ada: one", "Ada: two"]);
    }
    assert!(dead_letters(&scene).await.is_empty());
}

#[tokio::test]
async fn a_node_that_starts_refused_is_ready_once_it_is_accepted_though_nothing_was_sent() {
    let (mut world, fcm) = tokio::join!(World::without_nodes(), FakeFcm::start());
    fcm.tokens(json!({"refuse": true})).await;
    add(&mut world, &fcm, &[], &[]).await;
    not_ready_because(world.node(), "FCM refuses the credentials").await;
    fcm.tokens(json!({"refuse": false})).await;
    ready(world.node()).await;
    assert!(fcm.received().await.is_empty());
}

#[tokio::test]
async fn without_credentials_push_is_off_says_so_once_and_everything_else_works() {
    let world = World::start_with(UNPACED).await;
    ready(world.node()).await;
    let said = world.node().process.stderr.text();
    assert_eq!(said.matches("push is off").count(), 1);
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    device(&world, &bayo, "android").await;
    let direct = flow::open_direct(&world.node().rest(&ada), &bayo).await;
    flow::send(&world.node().rest(&ada), direct, "Hello!").await;
    world.persisted().await;
    let database = world.database.client().await;
    let jobs = database.query("SELECT FROM push_jobs", &[]).await.expect("rows");
    assert!(jobs.is_empty());
}
