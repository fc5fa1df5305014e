//! The subjects on NATS that others use, with what stands on them.

use serde_json::Value;

use crate::wire::event::{ConversationUpdated, MessageDeleted, ReactionUpdated};
use crate::wire::objects::Message;

use super::Definitions;
use super::files::logged_message;

/// A message of a subject: its name, what it says, its payload.
type Described = (&'static str, &'static str, Value);

/// One of them.
pub struct Subject {
    pub name: &'static str,
    /// With parameters in braces.
    pub address: &'static str,
    pub title: &'static str,
    pub says: &'static str,
    pub parameters: &'static [(&'static str, &'static str)],
    /// Whether the service reads what stands there, or writes it.
    pub is_taken: bool,
    /// Whether a header names the event.
    pub has_event_header: bool,
    pub messages: fn(&mut Definitions) -> Vec<Described>,
    /// What a request to it is answered.
    pub reply: Option<fn(&mut Definitions) -> Value>,
}

const CONVERSATION: (&str, &str) = ("conversationId", "A UUID in lower case.");

/// All of them.
pub fn all() -> Vec<Subject> {
    vec![Subject {
        name: "log",
        address: "chat.{partition}.{conversationId}",
        title: "The log",
        says: "Every event of every conversation, in the stream `CHAT`. Services that may read it follow it with \
            consumers of their own. A message's `seq` is the sequence of its event in the stream.",
        parameters: &[
            ("partition", "The last two hexadecimal digits of the conversation's id."),
            CONVERSATION,
        ],
        is_taken: false,
        has_event_header: true,
        messages: log,
        reply: None,
    }]
}

fn log(definitions: &mut Definitions) -> Vec<Described> {
    vec![
        ("newMessage", "A message was sent.", logged_message(definitions)),
        ("messageUpdated", "A message says something else.", definitions.written::<Message>()),
        ("messageDeleted", "A message is gone.", definitions.written::<MessageDeleted>()),
        (
            "reactionUpdated",
            "Somebody reacted, or took it back.",
            definitions.written::<ReactionUpdated>(),
        ),
        (
            "conversationUpdated",
            "What a conversation says about itself, or who is in it, has changed.",
            definitions.written::<ConversationUpdated>(),
        ),
    ]
}
