//! A measurement: how long the end of one's own data takes somebody who has said much.

use serde_json::json;
use uuid::Uuid;

use crate::harness::flow;

use super::erasure::Stage;

/// `cargo test --release --test it a_hundred_thousand -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of some minutes"]
async fn a_hundred_thousand_messages_are_erased_within_minutes() {
    let stage = Stage::set().await;
    let world = &stage.world;
    let events = world.logged().await;
    let said =
        |event: &&flow::Logged| event.kind == "newMessage" && event.conversation == stage.group;
    let mut pattern = events.iter().find(said).expect("a message").data.clone();
    let nats = async_nats::jetstream::new(world.nats.client().await);
    let text = stage.group.to_string();
    let subject = format!("chat.{}.{text}", &text[text.len() - 2..]);
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Event", "newMessage");
    for _ in 0..100 {
        let mut acks = Vec::new();
        for _ in 0..1_000 {
            pattern["id"] = json!(Uuid::new_v4());
            let (subject, text) = (subject.clone(), pattern.to_string());
            acks.push(
                nats.publish_with_headers(subject, headers.clone(), text.into())
                    .await
                    .expect("sent"),
            );
        }
        for ack in acks {
            ack.await.expect("stored");
        }
    }
    let there = async || {
        while world.progress().await < world.last_seq().await {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(600), there()).await.expect("persisted");
    stage.ask().await;
    let began = std::time::Instant::now();
    let mut before = String::new();
    while before != "done" {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let now = stage.stage().await;
        if now != before {
            eprintln!("{:>6.1} s: {now}", began.elapsed().as_secs_f64());
            before = now;
        }
        assert!(began.elapsed().as_secs() < 900, "it takes too long");
    }
    assert!(stage.verified().await.0);
}
