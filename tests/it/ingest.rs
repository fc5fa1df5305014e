//! What other services say: by the queue and by requests, once whatever happens, and nothing dropped silently.

mod bodies;
mod contexts;
mod letters;
mod outages;
mod repeats;
mod requests;
mod targets;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{UNPACED, eventually, open_direct};
use crate::harness::{PATIENCE, Rest, User, World};

/// Another service, with a connection of its own.
pub struct Service {
    name: &'static str,
    client: async_nats::Client,
    context: Context,
}

impl Service {
    pub async fn new(world: &World, name: &'static str) -> Self {
        let client = world.nats.client().await;
        let context = jetstream::new(client.clone());
        Self { name, client, context }
    }

    /// `messaging.<kind>.<service>.<rest>`, where the kind may begin with `api.`.
    fn subject(&self, kind: &str, rest: &str) -> String {
        format!("messaging.{kind}.{}.{rest}", self.name)
    }

    /// Publishes bytes and returns once the queue has them: whether it knew them already.
    pub async fn publish_raw(&self, subject: String, id: Option<&str>, payload: Vec<u8>) -> bool {
        self.try_publish(subject, id, payload).await.expect("stored")
    }

    /// The same where the queue may be away.
    pub async fn try_publish(
        &self,
        subject: String,
        id: Option<&str>,
        payload: Vec<u8>,
    ) -> Option<bool> {
        let sent = self.context.publish_with_headers(subject, headers(id), payload.into()).await;
        Some(sent.ok()?.await.ok()?.duplicate)
    }

    pub async fn publish(&self, kind: &str, rest: &str, id: Option<&str>, body: &Value) -> bool {
        self.publish_raw(self.subject(kind, rest), id, body.to_string().into_bytes()).await
    }

    /// A system message by the queue.
    pub async fn say(&self, rest: &str, id: Option<&str>, content: &str) -> bool {
        self.publish("system", rest, id, &json!({"content": content})).await
    }

    pub async fn request_raw(&self, subject: String, id: Option<&str>, payload: Vec<u8>) -> Value {
        let asking = self.client.request_with_headers(subject, headers(id), payload.into());
        let reply = tokio::time::timeout(PATIENCE, asking).await.expect("in time");
        serde_json::from_slice(&reply.expect("a reply").payload).expect("JSON")
    }

    pub async fn request(&self, kind: &str, rest: &str, id: Option<&str>, body: &Value) -> Value {
        let subject = self.subject(&format!("api.{kind}"), rest);
        self.request_raw(subject, id, body.to_string().into_bytes()).await
    }

    /// What it asks about its dead letters.
    pub async fn dead(&self, op: &str, body: Value) -> Value {
        self.request("dead", op, None, &body).await
    }

    /// Waits until it has so many dead letters.
    pub async fn letters(&self, count: usize) -> Vec<Value> {
        let there = async || {
            let page = self.dead("list", json!({"limit": 100})).await;
            let letters = page["letters"].as_array().expect("letters").clone();
            (letters.len() >= count).then_some(letters)
        };
        let letters = eventually("the letters are there", there).await;
        assert_eq!(letters.len(), count, "{letters:?}");
        letters
    }
}

fn headers(id: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(id) = id {
        headers.insert("Nats-Msg-Id", id);
    }
    headers
}

/// Waits until nothing is left in the queue.
pub async fn taken(world: &World) {
    let context = jetstream::new(world.nats.client().await);
    let stream = context.get_stream("INGEST").await.expect("the queue");
    let empty = async || {
        let info = stream.get_info().await.expect("NATS answers");
        (info.state.messages == 0).then_some(())
    };
    eventually("the queue is empty", empty).await;
}

/// The ids of a reply, after making sure that it is no refusal.
#[track_caller]
pub fn ids(reply: &Value) -> Vec<Uuid> {
    assert_eq!(reply["ok"], true, "{reply}");
    let ids = reply["messageIds"].as_array().expect("ids").iter();
    ids.map(|id| id.as_str().expect("text").parse().expect("a UUID")).collect()
}

/// The code of a refusal, and the fields that it names.
#[track_caller]
pub fn refusal(reply: &Value) -> (String, Vec<String>) {
    assert_eq!(reply["ok"], false, "{reply}");
    let error = &reply["error"];
    assert!(!error["message"].as_str().expect("a message").is_empty());
    let fields = error["errors"].as_array().expect("errors").iter();
    let fields = fields.map(|e| e["field"].as_str().expect("a field").to_owned()).collect();
    (error["code"].as_str().expect("a code").to_owned(), fields)
}

/// Ada and Ben have a chat, and there is a service.
pub struct Scene {
    pub world: World,
    pub ada: User,
    pub ben: User,
    pub rest: Rest,
    pub chat: Uuid,
    pub service: Service,
}

impl Scene {
    pub async fn start() -> Self {
        Self::of(World::start_with(UNPACED).await).await
    }

    pub async fn of(world: World) -> Self {
        let (ada, ben) = (world.user("Ada"), world.user("Ben"));
        let rest = world.node().rest(&ada);
        let chat = open_direct(&rest, &ben).await;
        let service = Service::new(&world, "events").await;
        Self { world, ada, ben, rest, chat, service }
    }

    /// What the chat says, the oldest first.
    pub async fn contents(&self) -> Vec<String> {
        let found = crate::harness::flow::history(&self.rest, self.chat, 100).await;
        found.iter().map(|m| m["content"].as_str().expect("text").to_owned()).collect()
    }
}
