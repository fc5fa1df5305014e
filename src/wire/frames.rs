//! What the frames of both socket protocols carry: the data of operations, of their replies, and of the events that are
//! not in the log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::ids::{ConversationId, Seq, UserId};

use super::event::Change;
use super::objects::{Conversation, Message};
use super::time;

/// `connect`, the first frame of a connection whose token is in no header.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Connect {
    pub token: String,
    /// Where to go on; without it only new events come.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// `editMessage`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    pub message_id: Uuid,
    pub content: String,
}

/// `deleteMessage`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfMessage {
    pub message_id: Uuid,
}

/// `addReaction` and `removeReaction`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    pub message_id: Uuid,
    /// One emoji.
    pub emoji: String,
}

/// `joinConversation` and `leaveConversation`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfConversation {
    pub conversation_id: Uuid,
}

/// `typing`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IsTyping {
    pub conversation_id: Uuid,
    pub is_typing: bool,
}

/// `markAsRead`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    pub conversation_id: Uuid,
    /// Absent: the newest message.
    #[serde(default)]
    pub message_id: Option<Uuid>,
}

/// `refreshToken`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Refresh {
    /// Of the same user.
    pub token: String,
}

/// The data of a reply that shows a message.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OneMessage<'a> {
    pub message: &'a Message,
}

/// The data of the reply to `markAsRead`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Marked {
    pub unread_count: u64,
}

/// The data of the reply to `refreshToken`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Refreshed {
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub expires_at: jiff::Timestamp,
}

/// Nothing but that it is so.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Empty {}

/// `connected`: the first frame of the server.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Connected {
    pub connection_id: Uuid,
    pub user_id: UserId,
    /// Whether what was missed since the cursor follows.
    pub recovered: bool,
    pub cursor: String,
    /// A peer that is silent for twice as long is closed.
    pub heartbeat_seconds: u64,
    pub limits: Limits,
}

/// What a client may do, so that it can pace itself; 0 is no limit.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Limits {
    pub messages_per_second: u32,
    pub signals_per_second: u32,
    pub requests_per_second: u32,
    /// What is saved up while quiet, in seconds' worth of each of these.
    pub burst_seconds: u32,
    /// New connections of a node; more of them wait, then 4429.
    pub connects_per_second: u32,
    /// The oldest gives way.
    pub max_connections_per_user: usize,
    /// Frames that wait for a connection; then 4409.
    pub max_queued_frames: usize,
    pub max_content_chars: usize,
    pub max_frame_bytes: usize,
    pub max_group_participants: u32,
    /// How many conversations get the same text of a user
    pub same_text_conversations: u32,
    /// within so many seconds.
    pub same_text_seconds: u64,
}

/// `limited`: messages of a conversation between these, both exclusive, were not replayed. From 0 on, what the client
/// knows of older ones may be outdated too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Limited {
    pub conversation_id: ConversationId,
    pub after_seq: Seq,
    pub before_seq: Seq,
}

/// `reset`: the cursor cannot be gone on from; the frame's own is new.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Reset<'a> {
    pub reason: &'a str,
}

/// `reconnect`: this node leaves; come back after so many milliseconds.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Reconnect {
    pub after_ms: u64,
}

/// `conversationUpdated` of a user's own view, changed on another device.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct OwnChange {
    pub conversation_id: ConversationId,
    pub change: Change,
    pub conversation: Conversation,
}

/// `conversationUpdated` of a conversation that the user has read on another device: only what that changes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct OwnRead {
    pub conversation_id: ConversationId,
    pub change: Change,
    pub conversation: ReadSoFar,
}

/// `conversationUpdated` of who waits to be let in; to admins, and a refusal to whom it concerns.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct JoinChange {
    pub conversation_id: ConversationId,
    pub change: Change,
    /// Who asked, or answered.
    pub actor_id: UserId,
    /// Who wants to join.
    pub user_ids: Vec<UserId>,
    pub conversation: JoinQueue,
}

/// How many wait.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct JoinQueue {
    pub id: ConversationId,
    /// For admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub join_request_count: Option<u32>,
}

/// How far a user has read.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ReadSoFar {
    pub id: ConversationId,
    pub unread_count: u64,
    pub last_read_seq: Seq,
}

/// `conversationUpdated` over Socket.IO behind each `newMessage`.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is put together from JSON that exists already")]
pub struct ListUpdate {
    pub conversation_id: ConversationId,
    pub last_message: Message,
    #[schemars(with = "time::Time")]
    pub updated_at: jiff::Timestamp,
}
