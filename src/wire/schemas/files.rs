//! The schemas as files, `nats/schemas/`, for programs in other languages. `messaging schemas` writes them.

use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::wire::event::{ConversationUpdated, MessageDeleted, ReactionUpdated};
use crate::wire::frames::ListUpdate;
use crate::wire::objects::{Conversation, Message};
use crate::wire::presence::News;

use super::sockets::{EVENTS, OPS};
use super::{Definitions, Place};

/// One of them.
pub struct File {
    /// Below `nats/schemas/`.
    pub path: String,
    pub schema: Value,
}

/// All of them, in the order of their paths.
pub fn all() -> Vec<File> {
    let mut files = vec![
        written::<Message>("objects/message", "A message, as one user sees it."),
        written::<Conversation>("objects/conversation", "A conversation, as one user sees it."),
        file(
            "log/newMessage",
            "On `chat.<partition>.<conversationId>`; header `Event: newMessage`. Its `seq` is the \
            sequence of the stream.",
            logged_message,
        ),
        file(
            "log/messageUpdated",
            "The same subject; header `Event: messageUpdated`.",
            |definitions| json!({ "allOf": [definitions.written::<Message>()], "required": ["seq"] }),
        ),
        written::<MessageDeleted>(
            "log/messageDeleted",
            "The same subject; header `Event: messageDeleted`.",
        ),
        written::<ReactionUpdated>(
            "log/reactionUpdated",
            "The same subject; header `Event: reactionUpdated`.",
        ),
        written::<ConversationUpdated>(
            "log/conversationUpdated",
            "The same subject; header `Event: \
            conversationUpdated`.",
        ),
        written::<News<'_>>(
            "signals/status",
            "On `status.<node>`: what one node asks another to pass on.",
        ),
        written::<ListUpdate>(
            "sockets/listUpdate",
            "`conversationUpdated` over Socket.IO behind each `newMessage`.",
        ),
        file(
            "sockets/requests",
            "What a client may ask over the native WebSocket.",
            |definitions| json!({ "oneOf": OPS.iter().map(|op| op.request(definitions)).collect::<Vec<_>>() }),
        ),
        file(
            "sockets/replies",
            "What it is answered; which one depends on what was asked.",
            |definitions| json!({ "anyOf": OPS.iter().map(|op| op.reply(definitions)).collect::<Vec<_>>() }),
        ),
        file(
            "sockets/events",
            "What it is told.",
            |definitions| json!({ "oneOf": EVENTS.iter().map(|event| event.frame(definitions)).collect::<Vec<_>>() }),
        ),
    ];
    for name in ["userTyping", "messageRead", "messageDelivered", "conversationUpdated"] {
        let event = EVENTS.iter().find(|event| event.name == name);
        let Some(event) = event else { continue };
        let says = format!(
            "On `signal.<partition>.<conversationId>`; header `Event: {name}`. {}",
            event.says
        );
        files.push(made(&format!("signals/{name}"), &says, |definitions| event.data(definitions)));
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

/// What the log holds of a new message: what only the stream knows, and what only the sender is told, is not in it.
pub fn logged_message(definitions: &mut Definitions) -> Value {
    let absent = ["seq", "status", "sendAt"].map(|field| json!({ "required": [field] }));
    json!({ "allOf": [definitions.written::<Message>()], "not": { "anyOf": absent } })
}

fn written<T: JsonSchema>(path: &str, says: &str) -> File {
    made(path, says, |definitions| definitions.written::<T>())
}

fn file(path: &str, says: &str, make: fn(&mut Definitions) -> Value) -> File {
    made(path, says, make)
}

fn made(path: &str, says: &str, make: impl FnOnce(&mut Definitions) -> Value) -> File {
    let mut definitions = Definitions::new(Place::Defs);
    let mut schema = make(&mut definitions);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["$id"] = json!(format!("urn:mecabal:messaging:{}", path.replace('/', ":")));
    schema["description"] = json!(says);
    let named = definitions.finish();
    if !named.is_empty() {
        schema["$defs"] = Value::Object(named);
    }
    File { path: format!("{path}.json"), schema }
}
