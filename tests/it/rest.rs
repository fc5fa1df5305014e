//! REST: every route, and everything that it refuses.

mod access;
mod contexts;
mod conversations;
mod lists;
mod messages;
mod participants;
mod protocol;
mod tokens;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Rest, User, World};

/// A world whose users may be as fast as a test is.
async fn unhurried() -> World {
    unhurried_with(&[]).await
}

async fn unhurried_with(more: &[(&str, &str)]) -> World {
    let mut settings = vec![
        ("RATE_LIMIT_MESSAGES_PER_SECOND", "0"),
        ("RATE_LIMIT_SIGNALS_PER_SECOND", "0"),
        ("RATE_LIMIT_REQUESTS_PER_SECOND", "0"),
    ];
    settings.extend_from_slice(more);
    World::start_with(&settings).await
}

/// A conversation of that type with these people; its id.
async fn conversation(creator: &Rest, kind: &str, others: &[&User]) -> String {
    let others: Vec<Uuid> = others.iter().map(|user| user.id).collect();
    let mut body = json!({ "type": kind, "participantIds": others });
    if kind != "direct" {
        body["title"] = json!("A title");
    }
    let created = creator.post("/conversations", body).await.expect(201);
    id_of(&created)
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

/// A text message; the answer.
async fn say(sender: &Rest, conversation: &str, content: &str) -> Value {
    let body = json!({ "conversationId": conversation, "content": content });
    sender.post("/messages", body).await.expect(201)
}

/// The names of the fields that a refusal complains about.
fn fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().filter_map(|error| error["field"].as_str()).collect()
}

/// The ids of a list of objects.
fn ids(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(id_of).collect()
}
