//! Answers about who comes into a conversation, who may not, and what is pinned there.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::ids::{ConversationId, UserId};

use super::objects::Message;
use super::time;

/// The caller has asked to join, and an admin has to let them in.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct JoinAsked {
    pub conversation_id: ConversationId,
    /// `requested`.
    pub status: &'static str,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub requested_at: Timestamp,
}

impl JoinAsked {
    pub fn since(conversation_id: ConversationId, requested_at: Timestamp) -> Self {
        Self { conversation_id, status: "requested", requested_at }
    }
}

/// Somebody who waits to be let in.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct JoinRequest {
    pub user_id: UserId,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub requested_at: Timestamp,
}

/// A page of those who wait to be let in.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct JoinRequestPage {
    pub requests: Vec<JoinRequest>,
    pub limit: u32,
    /// For `cursor`; null on the last page.
    pub next_cursor: Option<String>,
}

/// Somebody who is banned.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Banned {
    pub user_id: UserId,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    pub reason: Option<String>,
    pub banned_by: UserId,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub banned_at: Timestamp,
}

/// A page of those who are banned.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct BanPage {
    pub bans: Vec<Banned>,
    pub limit: u32,
    /// For `cursor`; null on the last page.
    pub next_cursor: Option<String>,
}

/// A message that is pinned.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct PinnedMessage {
    pub message: Message,
    pub pinned_by: UserId,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub pinned_at: Timestamp,
}

/// The pinned messages of a conversation, the last pinned first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Pins {
    pub pins: Vec<PinnedMessage>,
}
