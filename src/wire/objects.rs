//! The JSON of messages and conversations.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain;
use crate::domain::message::MessageType;

use super::{names, time};

mod conversations;

pub use conversations::{Conversation, Participant, SharedConversation};

/// Why text that claims to be one of our objects is not.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("not JSON of this object: {0}")]
    Json(#[from] serde_json::Error),
    #[error("unknown message type")]
    MessageType,
}

/// A message.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Message {
    pub id: Uuid,
    pub conversation_id: Uuid,
    /// Its place in the order of messages. Absent while it is only scheduled, and in the log, where the stream's own
    /// sequence is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub seq: Option<u64>,
    pub sender_id: Uuid,
    pub sender_name: Option<String>,
    #[serde(rename = "type")]
    #[schemars(with = "names::MessageType")]
    pub kind: String,
    pub content: String,
    pub reply_to_message_id: Option<Uuid>,
    pub reply_to: Option<ReplyTo>,
    /// By type; see the requests for what each needs. Empty in a tombstone.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub metadata: Box<RawValue>,
    #[serde(default)]
    pub mentions: Vec<Uuid>,
    pub client_message_id: Option<String>,
    pub is_edited: bool,
    #[serde(with = "time::option")]
    #[schemars(with = "Option<time::Time>")]
    pub edited_at: Option<Timestamp>,
    pub is_deleted: bool,
    #[serde(with = "time::option")]
    #[schemars(with = "Option<time::Time>")]
    pub deleted_at: Option<Timestamp>,
    #[serde(with = "time::option")]
    #[schemars(with = "Option<time::Time>")]
    pub expires_at: Option<Timestamp>,
    /// By emoji.
    pub reactions: BTreeMap<String, Reacted>,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub created_at: Timestamp,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub updated_at: Timestamp,
    /// Of a message that is sent later; in answers to the sender only.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::option")]
    #[schemars(with = "time::Time")]
    pub send_at: Option<Timestamp>,
    /// In answers to the sender only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "names::MessageStatus")]
    pub status: Option<String>,
}

/// Those who reacted with one emoji.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Reacted {
    pub count: u64,
    /// The first of them, and the one who asks; `count` has them all.
    pub user_ids: Vec<Uuid>,
}

/// The quoted message.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ReplyTo {
    pub id: Uuid,
    pub sender_id: Uuid,
    #[serde(rename = "type")]
    #[schemars(with = "names::MessageType")]
    pub kind: String,
    pub content: String,
}

impl Message {
    /// The wire form without `seq`, as it goes into the log.
    pub fn unsequenced(message: domain::message::Message) -> Self {
        let mut wire = Self::from(message);
        wire.seq = None;
        wire
    }

    /// The message as it may be shown at `now`: past its time it is a tombstone.
    pub fn shown_at(mut self, now: Timestamp) -> Self {
        if !self.is_deleted && domain::expiry::is_over(self.expires_at, now) {
            self.bury(now);
        }
        self
    }

    /// Makes it its tombstone. One that has vanished before was deleted then.
    pub fn bury(&mut self, at: Timestamp) {
        let at = self.expires_at.map_or(at, |expired| expired.min(at));
        self.content.clear();
        self.metadata = raw_object("{}".to_owned());
        self.mentions.clear();
        self.reply_to = None;
        self.reactions.clear();
        self.is_deleted = true;
        self.deleted_at = Some(at);
        self.updated_at = at;
    }

    /// Reads a message from the log; `seq` is the stream's for a new one. Reactions are events of their own there.
    pub fn into_domain(self, seq: u64) -> Result<domain::message::Message, ObjectError> {
        let kind = MessageType::parse(&self.kind).ok_or(ObjectError::MessageType)?;
        let reply_to = self.reply_to.map(ReplyTo::into_domain).transpose()?;
        Ok(domain::message::Message {
            id: self.id,
            conversation_id: self.conversation_id,
            seq,
            sender_id: self.sender_id,
            sender_name: self.sender_name,
            kind,
            content: self.content,
            reply_to_message_id: self.reply_to_message_id,
            reply_to,
            metadata: self.metadata.get().to_owned(),
            mentions: self.mentions,
            reactions: Vec::new(),
            client_message_id: self.client_message_id,
            edited_at: self.edited_at,
            deleted_at: self.deleted_at,
            expires_at: self.expires_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

impl Reacted {
    fn of(reacted: domain::reaction::Reacted) -> (String, Self) {
        (reacted.emoji, Self { count: reacted.count, user_ids: reacted.user_ids })
    }
}

impl ReplyTo {
    fn into_domain(self) -> Result<domain::message::ReplyPreview, ObjectError> {
        Ok(domain::message::ReplyPreview {
            id: self.id,
            sender_id: self.sender_id,
            kind: MessageType::parse(&self.kind).ok_or(ObjectError::MessageType)?,
            content: self.content,
        })
    }
}

impl From<domain::message::Message> for Message {
    fn from(m: domain::message::Message) -> Self {
        Self {
            id: m.id,
            conversation_id: m.conversation_id,
            seq: Some(m.seq),
            sender_id: m.sender_id,
            sender_name: m.sender_name,
            kind: m.kind.as_str().to_owned(),
            content: m.content,
            reply_to_message_id: m.reply_to_message_id,
            reply_to: m.reply_to.map(|r| ReplyTo {
                id: r.id,
                sender_id: r.sender_id,
                kind: r.kind.as_str().to_owned(),
                content: r.content,
            }),
            metadata: raw_object(m.metadata),
            mentions: m.mentions,
            client_message_id: m.client_message_id,
            is_edited: m.edited_at.is_some(),
            edited_at: m.edited_at,
            is_deleted: m.deleted_at.is_some(),
            deleted_at: m.deleted_at,
            expires_at: m.expires_at,
            reactions: m.reactions.into_iter().map(Reacted::of).collect(),
            created_at: m.created_at,
            updated_at: m.updated_at,
            send_at: None,
            status: None,
        }
    }
}

/// Metadata was checked when it came in; should it not be JSON all the same, it is shown as empty.
fn raw_object(text: String) -> Box<RawValue> {
    RawValue::from_string(text)
        .or_else(|_| RawValue::from_string("{}".to_owned()))
        .expect("{} is JSON")
}

/// Who else has received and read a message.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Receipts {
    pub delivered_to: Vec<Receipt>,
    pub read_by: Vec<Receipt>,
}

/// One of them, and when it was at the latest.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Receipt {
    pub user_id: Uuid,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub at: Timestamp,
}

impl From<domain::receipt::Receipts> for Receipts {
    fn from(receipts: domain::receipt::Receipts) -> Self {
        let shown = |receipt: domain::receipt::Receipt| Receipt {
            user_id: receipt.user_id,
            at: receipt.at,
        };
        Self {
            delivered_to: receipts.delivered_to.into_iter().map(shown).collect(),
            read_by: receipts.read_by.into_iter().map(shown).collect(),
        }
    }
}
