//! The schemas as files, `nats/schemas/`, for programs in other languages. `messaging schemas` writes them.

use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::wire::event::{ConversationUpdated, MessageDeleted, ReactionUpdated};
use crate::wire::frames::ListUpdate;
use crate::wire::ingest::{DescribeContext, ListLetters, PickLetter, SetProfile, SystemMessage};
use crate::wire::objects::{Conversation, Message};
use crate::wire::presence::News;

use super::services;
use super::sockets::{EVENTS, OPS};
use super::subjects::{logged_message, updated_message};
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
            updated_message,
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
        read::<SystemMessage>(
            "services/systemMessage",
            "On `messaging.system.>`, and as a request below `messaging.api.`.",
        ),
        read::<SetProfile>(
            "services/profile",
            "On `messaging.users.>`, and as a request below `messaging.api.`.",
        ),
        read::<DescribeContext>(
            "services/context",
            "On `messaging.contexts.>`, and as a request below `messaging.api.`.",
        ),
        read::<ListLetters>("services/listDeadLetters", "`messaging.api.dead.<service>.list`."),
        read::<PickLetter>(
            "services/pickDeadLetter",
            "`messaging.api.dead.<service>.show`, `.replay` and `.drop`.",
        ),
        file("services/reply", "The reply to a request.", services::reply),
        file(
            "services/lettersReply",
            "The reply to `messaging.api.dead.<service>.list`.",
            services::letters_reply,
        ),
        file(
            "services/letterReply",
            "The reply to `messaging.api.dead.<service>.show`.",
            services::letter_reply,
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

fn read<T: JsonSchema>(path: &str, says: &str) -> File {
    made(path, says, |definitions| definitions.read::<T>())
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
