//! What a device went through, as the checker reads it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

/// Microseconds since 1970.
pub type At = i64;

/// The present.
pub fn now() -> At {
    jiff::Timestamp::now().as_microsecond()
}

/// One device of one user: a phone, a tablet.
#[derive(Debug, Clone, Default)]
pub struct Device {
    pub name: String,
    pub user: Uuid,
    /// In the order of their happening.
    pub notes: Vec<Note>,
    pub accepted: Vec<Accepted>,
    /// Sends that were begun and refused later: nobody knows whether the first attempt was stored.
    pub unsure: BTreeSet<String>,
    /// Messages whose deletion was acknowledged.
    pub deleted: BTreeSet<Uuid>,
    /// Files that were taken, for a message each.
    pub uploads: Vec<Upload>,
    /// Acknowledged reads: conversation and place.
    pub read: Vec<(Uuid, u64)>,
    /// What the client itself found to be against the protocol.
    pub complaints: Vec<String>,
}

/// A file that an edge has taken.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The `clientMessageId` of the message that is to name it.
    pub name: String,
    pub conversation: Uuid,
    /// Where it is, from the service's own address on.
    pub url: String,
}

/// What is in the file of a message: more than a packet, and nobody else's.
pub fn content_of(name: &str) -> String {
    format!("{name} has notes\n").repeat(2_000)
}

/// An acknowledged send.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The `clientMessageId`.
    pub name: String,
    pub conversation: Uuid,
    pub id: Uuid,
    pub seq: u64,
    pub at: At,
}

#[derive(Debug, Clone)]
pub struct Note {
    pub at: At,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    /// A connection stands. `cursor` is what it was resumed from.
    Connected {
        edge: usize,
        cursor: Option<String>,
        recovered: bool,
    },
    Lost {
        code: u16,
    },
    Event {
        /// The place in the log, for what can be replayed.
        cursor: Option<u64>,
        event: Event,
    },
    CaughtUp,
    Reset,
    /// Messages of a conversation, read by REST. What `allowed` covers may be missing among the events.
    Fetched {
        conversation: Uuid,
        /// When it was asked for.
        since: At,
        allowed: Allowed,
        messages: Vec<Message>,
    },
}

/// What a client may fetch because the service has told it to.
#[derive(Debug, Clone, Copy)]
pub enum Allowed {
    /// After `reset`, or a connection without a cursor: everything that was stored by then.
    Until(At),
    /// After `limited`.
    Between { after: u64, before: u64 },
}

#[derive(Debug, Clone)]
pub enum Event {
    New(Message),
    Updated(Message),
    Deleted { conversation: Uuid, id: Uuid },
    Reaction { conversation: Uuid, id: Uuid, emoji: String, user: Uuid, added: bool },
    Membership { conversation: Uuid, change: String, users: Vec<Uuid> },
}

/// Emoji and user.
pub type Reactions = BTreeSet<(String, Uuid)>;

/// A message as somebody sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub conversation: Uuid,
    pub id: Uuid,
    pub seq: u64,
    pub content: String,
    pub deleted: bool,
    /// RFC 3339, so that text compares as time does.
    pub updated_at: String,
    pub reactions: Reactions,
}

impl Message {
    /// Reads the wire form; `None` when it is not one.
    pub fn read(object: &Value) -> Option<Self> {
        let text = |key: &str| object[key].as_str().map(str::to_owned);
        Some(Self {
            conversation: text("conversationId")?.parse().ok()?,
            id: text("id")?.parse().ok()?,
            seq: object["seq"].as_u64()?,
            content: text("content")?,
            deleted: object["isDeleted"].as_bool()?,
            updated_at: text("updatedAt")?,
            reactions: reactions(&object["reactions"]),
        })
    }
}

fn reactions(object: &Value) -> Reactions {
    let each = object.as_object().into_iter().flatten();
    each.flat_map(|(emoji, who)| {
        let users = who["userIds"].as_array().cloned().unwrap_or_default();
        users.into_iter().filter_map(|user| Some((emoji.clone(), user.as_str()?.parse().ok()?)))
    })
    .collect()
}

impl Event {
    /// Reads an event of the log as clients get it; `None` for signals and for what says nothing new.
    pub fn read(name: &str, data: &Value) -> Option<Self> {
        let id = |key: &str| data[key].as_str()?.parse().ok();
        Some(match name {
            "newMessage" => Self::New(Message::read(data)?),
            "messageUpdated" => Self::Updated(Message::read(data)?),
            "messageDeleted" => {
                Self::Deleted { conversation: id("conversationId")?, id: id("messageId")? }
            }
            "reactionUpdated" => Self::Reaction {
                conversation: id("conversationId")?,
                id: id("messageId")?,
                emoji: data["emoji"].as_str()?.to_owned(),
                user: id("userId")?,
                added: data["added"].as_bool()?,
            },
            "conversationUpdated" => Self::Membership {
                conversation: id("conversationId")?,
                change: data["change"].as_str()?.to_owned(),
                users: data["userIds"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|user| user.as_str()?.parse().ok())
                    .collect(),
            },
            _ => return None,
        })
    }

    pub fn conversation(&self) -> Uuid {
        match self {
            Self::New(message) | Self::Updated(message) => message.conversation,
            Self::Deleted { conversation, .. }
            | Self::Reaction { conversation, .. }
            | Self::Membership { conversation, .. } => *conversation,
        }
    }
}

impl Device {
    pub fn note(&mut self, what: What) {
        self.notes.push(Note { at: now(), what });
    }
}

/// What the servers hold at the end.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    pub log: Vec<Entry>,
    pub rows: Vec<Row>,
    pub seats: Vec<Seat>,
    /// `message_count` and `last_message_seq`.
    pub counters: BTreeMap<Uuid, (u64, u64)>,
    /// What edges show: `(edge, conversation, messages)`, oldest first.
    pub histories: Vec<(usize, Uuid, Vec<Message>)>,
    pub phones: Vec<Phone>,
    /// In the order of their coming.
    pub pushes: Vec<Push>,
    pub files: Vec<File>,
    /// Delivered markers that did not come to where their users are.
    pub undelivered: Vec<Undelivered>,
}

/// The file of a message, fetched by a participant when all was over.
#[derive(Debug, Clone)]
pub struct File {
    pub seq: u64,
    pub edge: usize,
    /// Its message was deleted, or has vanished.
    pub deleted: bool,
    pub status: u16,
    /// It is what was uploaded, to the last byte.
    pub whole: bool,
}

/// A delivered marker that stays behind what a user's devices have received.
#[derive(Debug, Clone)]
pub struct Undelivered {
    pub conversation: Uuid,
    pub user: Uuid,
    pub marker: u64,
    /// Where the devices are.
    pub place: u64,
}

/// Something that is registered for notifications.
#[derive(Debug, Clone)]
pub struct Phone {
    pub name: String,
    pub token: String,
    pub user: Uuid,
    /// Its user never has a connection.
    pub is_absent: bool,
}

/// A notification of a message that somebody was shown.
#[derive(Debug, Clone)]
pub struct Push {
    pub token: String,
    pub conversation: Uuid,
    pub message: Uuid,
    pub rings: bool,
}

/// An event of the log.
#[derive(Debug, Clone)]
pub struct Entry {
    pub seq: u64,
    pub at: At,
    pub kind: String,
    pub data: Value,
}

/// A row of `messages`.
#[derive(Debug, Clone)]
pub struct Row {
    pub seq: u64,
    pub id: Uuid,
    pub conversation: Uuid,
    pub sender: Uuid,
    pub name: Option<String>,
    pub content: String,
    pub deleted: bool,
    pub counter: u64,
    pub created_at: At,
}

/// A participant, and the unread count that their own view shows.
#[derive(Debug, Clone)]
pub struct Seat {
    pub conversation: Uuid,
    pub user: Uuid,
    pub last_read_seq: u64,
    pub delivered_seq: u64,
    pub unread: u64,
}
