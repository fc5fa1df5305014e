//! The frames of the native protocol, one by one: what may be asked, what comes back, what is told.

use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::wire::error::FrameError;
use crate::wire::event::{
    ConversationUpdated, MessageDeleted, MessageDelivered, MessageRead, ReactionUpdated, UserTyping,
};
use crate::wire::frames::{
    Connect, Connected, Edit, Empty, IsTyping, JoinChange, Limited, Mark, Marked, OfConversation,
    OfMessage, OneMessage, OwnChange, OwnRead, Reaction, Reconnect, Refresh, Refreshed, Reset,
};
use crate::wire::objects::Message;
use crate::wire::presence::{Presence, SubscribePresence, UserStatusChanged};
use crate::wire::requests::SendMessage;

use super::Definitions;

type Make = fn(&mut Definitions) -> Value;

/// Something that a client may ask for.
pub struct Op {
    pub name: &'static str,
    pub says: &'static str,
    data: Make,
    reply: Make,
}

/// Something that clients are told.
pub struct Event {
    pub name: &'static str,
    pub says: &'static str,
    cursor: Cursor,
    data: Make,
}

/// Does the frame of an event say where in the log it is?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cursor {
    Always,
    Sometimes,
    Never,
}

fn read<T: JsonSchema>(definitions: &mut Definitions) -> Value {
    definitions.read::<T>()
}

fn written<T: JsonSchema>(definitions: &mut Definitions) -> Value {
    definitions.written::<T>()
}

fn nothing(_: &mut Definitions) -> Value {
    json!({ "type": "object" })
}

const fn op(name: &'static str, says: &'static str, data: Make, reply: Make) -> Op {
    Op { name, says, data, reply }
}

/// In the order in which a reader meets them.
pub const OPS: &[Op] = &[
    op(
        "connect",
        "Says who it is, as the first frame of a connection whose token is in no header.",
        read::<Connect>,
        written::<Empty>,
    ),
    op("sendMessage", "Sends a message.", read::<SendMessage>, written::<OneMessage<'_>>),
    op("editMessage", "Gives a message another content.", read::<Edit>, written::<OneMessage<'_>>),
    op("deleteMessage", "Deletes a message.", read::<OfMessage>, written::<OneMessage<'_>>),
    op("addReaction", "Reacts to a message.", read::<Reaction>, written::<Empty>),
    op("removeReaction", "Takes a reaction back.", read::<Reaction>, written::<Empty>),
    op(
        "typing",
        "Tells the others; it ends by itself after 5 s.",
        read::<IsTyping>,
        written::<Empty>,
    ),
    op("markAsRead", "Moves the read marker forward.", read::<Mark>, written::<Marked>),
    op(
        "joinConversation",
        "Turns the live events of a conversation on for this connection.",
        read::<OfConversation>,
        written::<Empty>,
    ),
    op("leaveConversation", "Turns them off.", read::<OfConversation>, written::<Empty>),
    op(
        "subscribePresence",
        "Follows users; the answer is how they are now.",
        read::<SubscribePresence>,
        written::<Presence>,
    ),
    op(
        "refreshToken",
        "Lets the connection outlive its token.",
        read::<Refresh>,
        written::<Refreshed>,
    ),
    op("ping", "Asks for an answer.", nothing, written::<Empty>),
];

const fn event(name: &'static str, says: &'static str, cursor: Cursor, data: Make) -> Event {
    Event { name, says, cursor, data }
}

use Cursor::{Always, Never, Sometimes};

/// In the order in which a reader meets them.
pub const EVENTS: &[Event] = &[
    event("connected", "The first frame.", Never, written::<Connected>),
    event("newMessage", "A message was sent.", Always, new_message),
    event(
        "messageUpdated",
        "A message says something else. Its reactions may be those of a moment before.",
        Always,
        new_message,
    ),
    event(
        "messageDeleted",
        "A message is gone; its tombstone stays.",
        Always,
        written::<MessageDeleted>,
    ),
    event(
        "reactionUpdated",
        "Somebody reacted, or took it back.",
        Always,
        written::<ReactionUpdated>,
    ),
    event(
        "conversationUpdated",
        "What a conversation says about itself, its settings and pinned messages, who is in it or waits to be, or the user's own view of it has changed.",
        Sometimes,
        conversation_updated,
    ),
    event("messageRead", "Somebody has read up to there.", Never, written::<MessageRead>),
    event(
        "messageDelivered",
        "Everything up to there has reached somebody; to senders, in conversations of up to 100.",
        Never,
        written::<MessageDelivered>,
    ),
    event("userTyping", "Somebody types, or has stopped.", Never, written::<UserTyping>),
    event("userStatusChanged", "Somebody came or went.", Never, written::<UserStatusChanged>),
    event(
        "limited",
        "More was missed in this conversation than is replayed; page it over REST.",
        Never,
        written::<Limited>,
    ),
    event(
        "reset",
        "The cursor cannot be gone on from; load the list anew.",
        Always,
        written::<Reset<'_>>,
    ),
    event("caughtUp", "Everything that was missed is there.", Always, written::<Empty>),
    event("reconnect", "This node leaves; come back after the delay.", Never, written::<Reconnect>),
];

/// A message that stands in the order.
fn new_message(definitions: &mut Definitions) -> Value {
    json!({ "allOf": [definitions.written::<Message>()], "required": ["seq"] })
}

fn conversation_updated(definitions: &mut Definitions) -> Value {
    json!({ "anyOf": [
        definitions.written::<ConversationUpdated>(),
        definitions.written::<OwnChange>(),
        definitions.written::<OwnRead>(),
        definitions.written::<JoinChange>(),
    ] })
}

impl Op {
    /// The frame that asks.
    pub fn request(&self, definitions: &mut Definitions) -> Value {
        json!({
            "type": "object",
            "required": ["id", "op"],
            "properties": { "id": id(), "op": { "const": self.name }, "data": (self.data)(definitions) },
        })
    }

    /// The one frame that answers, whatever came of it.
    pub fn reply(&self, definitions: &mut Definitions) -> Value {
        json!({
            "type": "object",
            "required": ["id", "ok"],
            "oneOf": [
                {
                    "required": ["data"],
                    "properties": {
                        "id": id(), "ok": { "const": true }, "data": (self.reply)(definitions),
                    },
                    "additionalProperties": false,
                },
                {
                    "required": ["error"],
                    "properties": {
                        "id": id(), "ok": { "const": false }, "error": definitions.written::<FrameError<'_>>(),
                    },
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// Comes back as it was.
fn id() -> Value {
    json!({ "oneOf": [
        { "type": "integer" },
        { "type": "string", "maxLength": 38 },
    ] })
}

impl Event {
    /// The frame.
    pub fn frame(&self, definitions: &mut Definitions) -> Value {
        let mut frame = json!({
            "type": "object",
            "required": ["event", "data"],
            "properties": { "event": { "const": self.name }, "data": (self.data)(definitions) },
            "additionalProperties": false,
        });
        if self.cursor != Never {
            frame["properties"]["cursor"] =
                json!({ "type": "string", "description": "Opaque; where to go on after this." });
        }
        if self.cursor == Always {
            frame["required"] = json!(["event", "cursor", "data"]);
        }
        frame
    }

    /// The data alone, as Socket.IO brings it and, for what is passed on by NATS, as it stands there.
    pub fn data(&self, definitions: &mut Definitions) -> Value {
        (self.data)(definitions)
    }
}
