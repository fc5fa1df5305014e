//! Workers that die, that are many, and that find NATS or Postgres away.

use std::collections::HashMap;

use super::*;
use crate::harness::proxy::Mode;

/// People with a phone each, and a direct conversation of Ada's with each of them.
async fn people(scene: &Scene, ada: &User, count: usize) -> Vec<(String, Uuid)> {
    let mut people = Vec::new();
    for number in 0..count {
        let (user, token) = scene.somebody(&format!("Person{number}")).await;
        people.push((token, flow::open_direct(&scene.rest(ada), &user).await));
    }
    people
}

/// How often each device was delivered each text, and how often that made a sound.
async fn counted(scene: &Scene) -> HashMap<(String, String), (usize, usize)> {
    let mut counts: HashMap<(String, String), (usize, usize)> = HashMap::new();
    for pushed in scene.fcm.received().await.iter().filter(|pushed| pushed.delivered) {
        let count = counts.entry((pushed.token.clone(), says(pushed))).or_default();
        count.0 += 1;
        count.1 += usize::from(pushed.rings());
    }
    counts
}

#[tokio::test]
async fn a_worker_that_is_killed_loses_nothing_and_nobody_hears_a_message_twice() {
    let mut scene = Scene::without_push().await;
    let ada = scene.world.user("Ada");
    let few = [("MESSAGING_PUSH_CONCURRENCY", "4")];
    let worker = scene.add_worker(&few).await;
    let people = people(&scene, &ada, 12).await;
    scene.settled().await;
    scene.fcm.behave(json!({"kind": "delay", "ms": 100})).await;
    for (_, direct) in &people {
        flow::send(&scene.rest(&ada), *direct, "Hello!").await;
    }
    scene.fcm.expect(5).await;
    scene.world.node_mut(worker).kill9().await;
    let before = scene.fcm.received().await.len();
    assert!(before < people.len(), "killed in the middle");
    scene.add_worker(&few).await;
    scene.settled().await;
    let counts = counted(&scene).await;
    for (token, _) in &people {
        let (times, sounds) =
            counts.get(&(token.clone(), "Ada: Hello!".to_owned())).copied().unwrap_or_default();
        assert!(times >= 1, "lost");
        assert!(sounds <= 1, "heard twice");
    }
    let repeated: usize = counts.values().map(|(times, _)| times - 1).sum();
    assert!(repeated <= 4, "{repeated}: no more than were under way");
}

#[tokio::test]
async fn two_workers_alert_each_device_once_and_in_order() {
    const MESSAGES: usize = 8;
    let mut scene = Scene::without_push().await;
    let ada = scene.world.user("Ada");
    let few = [("MESSAGING_PUSH_CONCURRENCY", "8")];
    scene.add_worker(&few).await;
    scene.add_worker(&few).await;
    let people = people(&scene, &ada, 10).await;
    scene.settled().await;
    let mut ws = scene.ws(&ada).await;
    for number in 0..MESSAGES {
        for (_, direct) in &people {
            ws.say(*direct, &format!("number {number}")).await;
        }
    }
    scene.settled().await;
    for (token, _) in &people {
        let received = scene.received(token).await;
        let shown: Vec<String> = received.iter().map(says).collect();
        let expected: Vec<String> = (0..MESSAGES).map(|n| format!("Ada: number {n}")).collect();
        assert_eq!(shown, expected);
        assert!(received.iter().all(Pushed::rings));
    }
    let sent = async |index: usize| {
        let text = Rest::new(&scene.world.nodes()[index].url, None).get("//metrics").await.body;
        let prefix = "messaging_push_sent_total{kind=\"alert\"} ";
        let text = text.as_str().expect("text").to_owned();
        text.lines().find_map(|line| line.strip_prefix(prefix)?.parse::<u64>().ok()).unwrap_or(0)
    };
    assert_eq!(sent(1).await + sent(2).await, (MESSAGES * people.len()) as u64);
}

#[tokio::test]
async fn the_decider_is_followed_by_another_and_nothing_is_decided_twice() {
    let mut scene = Scene::without_push().await;
    let ada = scene.world.user("Ada");
    let first = scene.add_worker(&[]).await;
    let second = scene.add_worker(&[]).await;
    let people = people(&scene, &ada, 3).await;
    scene.settled().await;
    for (number, victim) in [first, second].into_iter().enumerate() {
        for (_, direct) in &people {
            flow::send(&scene.rest(&ada), *direct, &format!("before {number}")).await;
        }
        scene.world.node_mut(victim).kill9().await;
        for (_, direct) in &people {
            flow::send(&scene.rest(&ada), *direct, &format!("after {number}")).await;
        }
        if number == 1 {
            scene.add_worker(&[]).await;
        }
    }
    scene.settled().await;
    let counts = counted(&scene).await;
    assert_eq!(counts.len(), 4 * people.len(), "{counts:?}");
    assert!(counts.values().all(|(_, sounds)| *sounds <= 1), "{counts:?}");
}

#[tokio::test]
async fn without_nats_or_postgres_push_waits_and_catches_up() {
    let (mut world, fcm) = tokio::join!(World::without_nodes(), FakeFcm::start());
    let (proxy, url) = world.database.proxy().await;
    let through = [("POSTGRES_URL", url.as_str()), ("MESSAGING_POSTGRES_STATEMENT_TIMEOUT", "1s")];
    add(&mut world, &fcm, &["--role", "edge,persister"], &[]).await;
    let mut scene = Scene { world, fcm };
    scene.add_worker(&through).await;
    let ada = scene.world.user("Ada");
    let people = people(&scene, &ada, 2).await;
    scene.settled().await;
    let (phone, direct) = &people[0];
    proxy.set(Mode::Cut);
    flow::send(&scene.rest(&ada), *direct, "without Postgres").await;
    scene.world.persisted().await;
    proxy.set(Mode::Pass);
    assert_eq!(says(&scene.next(phone, 0).await), "Ada: without Postgres");

    scene.world.nats.kill9();
    scene.world.nats.start_again();
    let rest = scene.rest(&ada);
    eventually("sends are accepted again", async || {
        let body =
            json!({"conversationId": direct, "content": "after NATS", "clientMessageId": "1"});
        (rest.post("/messages", body).await.status < 300).then_some(())
    })
    .await;
    scene.settled().await;
    let shown: Vec<String> = scene.received(phone).await.iter().map(says).collect();
    assert_eq!(shown, ["Ada: without Postgres", "Ada: after NATS"]);
}
