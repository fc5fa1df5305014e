//! Bodies of REST answers that are not one of the objects.

use schemars::JsonSchema;
use serde::Serialize;

use super::objects::{Conversation, Message, Participant};

/// A page of the caller's conversations.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ConversationList {
    pub conversations: Vec<Conversation>,
    /// Absent where a cursor was followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub page: Option<u32>,
    pub limit: u32,
    /// Of all pages.
    pub total: u64,
    /// For `before`; null on the last page.
    pub next_cursor: Option<String>,
}

/// A page of a conversation's history.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct History {
    pub messages: Vec<Message>,
    /// Absent where another way of paging was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub page: Option<u32>,
    pub limit: u32,
    pub has_more: bool,
}

/// A page of a conversation's participants.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ParticipantPage {
    pub participants: Vec<Participant>,
    pub limit: u32,
    /// For `cursor`; null on the last page.
    pub next_cursor: Option<String>,
}

/// What the caller has scheduled, the next first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Scheduled {
    pub messages: Vec<Message>,
}

/// It is done, and there is nothing to show of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Success {
    pub success: bool,
}

impl Success {
    /// The answer to what needs no other.
    pub const DONE: Self = Self { success: true };
}

/// The marker has moved, or was further already.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct MarkedRead {
    pub success: bool,
    pub unread_count: u64,
}

/// Unread messages, muted conversations apart.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Unread {
    /// Conversations with unread messages.
    pub conversations: u64,
    pub total: u64,
}

/// What was missed since a cursor.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes an answer that is put together from JSON that exists already"
)]
pub struct Missed {
    /// As a socket brings them.
    pub events: Vec<Replayed>,
    /// For the next call.
    pub cursor: String,
    /// False when there is more: call again.
    pub complete: bool,
}

/// One of them.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "as above")]
pub struct Replayed {
    pub event: String,
    #[schemars(default)]
    pub cursor: Option<String>,
    pub data: serde_json::Map<String, serde_json::Value>,
}
