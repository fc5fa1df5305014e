//! The subjects on NATS that others use, with what stands on them.

use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::wire::event::{ConversationUpdated, MessageDeleted, ReactionUpdated};
use crate::wire::objects::Message;

use super::{Definitions, services};

/// A message of a subject: its name, what it says, its payload.
type Described = (&'static str, &'static str, fn(&mut Definitions) -> Value);

/// One of them.
pub struct Subject {
    pub name: String,
    /// With parameters in braces.
    pub address: String,
    pub title: String,
    pub says: String,
    pub parameters: &'static [(&'static str, &'static str)],
    /// Whether the service reads what stands there, or writes it.
    pub is_taken: bool,
    /// Whether a header names the event.
    pub has_event_header: bool,
    pub messages: Vec<Described>,
    /// What a request to it is answered.
    pub reply: Option<fn(&mut Definitions) -> Value>,
}

/// All of them.
pub fn all() -> Vec<Subject> {
    let log = Subject {
        name: "log".to_owned(),
        address: "chat.{partition}.{conversationId}".to_owned(),
        title: "The log".to_owned(),
        says: "Every event of every conversation, in the stream `CHAT`. Services that may read it follow it with \
            consumers of their own. A message's `seq` is the sequence of its event in the stream."
            .to_owned(),
        parameters: &[
            ("partition", "The last two hexadecimal digits of the conversation's id."),
            ("conversationId", "A UUID in lower case."),
        ],
        is_taken: false,
        has_event_header: true,
        messages: vec![
            ("newMessage", "A message was sent.", logged_message),
            ("messageUpdated", "A message says something else.", updated_message),
            ("messageDeleted", "A message is gone.", written::<MessageDeleted>),
            ("reactionUpdated", "Somebody reacted, or took it back.", written::<ReactionUpdated>),
            (
                "conversationUpdated",
                "What a conversation says about itself, or who is in it, has changed.",
                written::<ConversationUpdated>,
            ),
        ],
        reply: None,
    };
    std::iter::once(log).chain(services::subjects()).collect()
}

fn written<T: JsonSchema>(definitions: &mut Definitions) -> Value {
    definitions.written::<T>()
}

/// What the log holds of a new message: what only the stream knows, and what only the sender is told, is not in it.
pub fn logged_message(definitions: &mut Definitions) -> Value {
    let absent = ["seq", "status", "sendAt"].map(|field| json!({ "required": [field] }));
    json!({ "allOf": [definitions.written::<Message>()], "not": { "anyOf": absent } })
}

/// A changed message has its place already.
pub fn updated_message(definitions: &mut Definitions) -> Value {
    json!({ "allOf": [definitions.written::<Message>()], "required": ["seq"] })
}
