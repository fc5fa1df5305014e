//! What another service does with messaging, over NATS: tells it things, asks it, and looks after what went wrong.
//!
//! `NATS_USER=events NATS_PASSWORD=… cargo run --example rust -- <userId> [<number of events to read from the log>]`

use std::env;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{self, consumer::PullConsumer, context::PublishAckFuture};
use async_nats::{Client, ConnectOptions, HeaderMap};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let user = env::args().nth(1).context("the first argument is a user's id")?;
    let events: usize = env::args().nth(2).map_or(Ok(0), |events| events.parse())?;
    let setting = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let me = setting("NATS_USER", "events");
    let nats = ConnectOptions::with_user_and_password(me.clone(), setting("NATS_PASSWORD", ""))
        // The server lets each user read answers in an inbox of its own only.
        .custom_inbox_prefix(format!("_INBOX_{me}"))
        .connect(setting("NATS_URL", "nats://127.0.0.1:4222"))
        .await?;
    let js = jetstream::new(nats.clone());

    let (event, order) = (Uuid::new_v4(), Uuid::new_v4());
    let url = format!("https://example.com/events/{event}");
    let preview = json!({"title": "Lagos Jazz Night", "ownerId": user, "url": url});
    let subject = format!("messaging.contexts.{me}.event.{event}");
    publish(&js, subject, &preview, format!("{event}:1")).await?.await?;
    println!("context: stored");
    let subject = format!("messaging.users.{me}.{user}");
    let profile = json!({"displayName": "Ada Obi"});
    publish(&js, subject, &profile, format!("{user}:{event}")).await?.await?;
    println!("profile: stored");

    let notices = format!("system.{me}.user.{user}");
    let notice = json!({"content": "Your ticket is ready", "metadata": {"order": order}});
    for attempt in ["stored", "repeated"] {
        let subject = format!("messaging.{notices}");
        let ack = publish(&js, subject, &notice, format!("ticket:{order}")).await?.await?;
        println!("message {attempt}: {}", if ack.duplicate { "known already" } else { "new" });
    }

    let ask = format!("messaging.api.{notices}");
    let id = format!("doors:{order}");
    let reply = request(&nats, &ask, &json!({"content": "Doors open at seven"}), Some(id)).await?;
    println!("request: {} message", reply["messageIds"].as_array().map_or(0, Vec::len));
    let reply = request(&nats, &ask, &json!({"content": " "}), None).await?;
    for error in reply["error"]["errors"].as_array().into_iter().flatten() {
        println!("refused: {} {}", text(error, "field"), text(error, "message"));
    }

    // Nobody waits for an answer to what is published; if it is wrong, it becomes a dead letter.
    let wrong = json!({"content": ""});
    publish(&js, format!("messaging.{notices}"), &wrong, format!("wrong:{order}")).await?.await?;
    let mut letters = Vec::new();
    for _ in 0..100 {
        let list = format!("messaging.api.dead.{me}.list");
        let reply = request(&nats, &list, &json!({}), None).await?;
        letters = reply["letters"].as_array().context("letters")?.clone();
        if !letters.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for letter in letters {
        println!("dead letter: {}", text(&letter, "reason"));
        let drop = format!("messaging.api.dead.{me}.drop");
        request(&nats, &drop, &json!({"seq": letter["seq"]}), None).await?;
    }

    if events > 0 {
        // Where the service may read the log, through the consumer that an operator has made for it.
        let log: PullConsumer = js.get_consumer_from_stream(&me, "CHAT").await?;
        let mut messages = log.messages().await?.take(events);
        while let Some(message) = messages.next().await {
            let message = message?;
            let body: Value = serde_json::from_slice(&message.payload)?;
            let info = message.info().map_err(anyhow::Error::from_boxed)?;
            println!("event {}: {}", info.stream_sequence, text(&body, "content"));
            message.ack().await.map_err(anyhow::Error::from_boxed)?;
        }
    }
    nats.drain().await?;
    Ok(())
}

/// Stored once, however often it is said: repeat it until it is confirmed.
async fn publish(
    js: &jetstream::Context,
    subject: String,
    body: &Value,
    id: String,
) -> anyhow::Result<PublishAckFuture> {
    let headers = HeaderMap::from_iter([("Nats-Msg-Id".parse()?, id.parse()?)]);
    Ok(js.publish_with_headers(subject, headers, body.to_string().into()).await?)
}

/// Checked before it is answered.
async fn request(
    nats: &Client,
    subject: &str,
    body: &Value,
    id: Option<String>,
) -> anyhow::Result<Value> {
    let mut headers = HeaderMap::new();
    if let Some(id) = id {
        headers.insert("Nats-Msg-Id", id);
    }
    let body = body.to_string().into();
    let reply = nats.request_with_headers(subject.to_owned(), headers, body).await?;
    Ok(serde_json::from_slice(&reply.payload)?)
}

/// A text in an answer.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
