//! The JSON of a user's own data: the lines of the copy, and what is answered about it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{names, time};

/// The copy is being made.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ExportProgress {
    #[schemars(with = "names::ExportStatus")]
    pub status: &'static str,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub started_at: Timestamp,
    /// Messages that it has so far.
    pub messages: u64,
    /// Files that it has so far.
    pub files: u64,
}

/// How far the end of the caller's data is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ErasureState {
    #[schemars(with = "names::ErasureStatus")]
    pub status: &'static str,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub requested_at: Timestamp,
    #[serde(with = "time::option")]
    #[schemars(with = "Option<time::Time>")]
    pub finished_at: Option<Timestamp>,
}

/// The one line of `profile.ndjson`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileLine {
    pub user_id: Uuid,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    #[serde(with = "time::option")]
    pub last_seen_at: Option<Timestamp>,
    #[serde(with = "time")]
    pub created_at: Timestamp,
    #[serde(with = "time")]
    pub updated_at: Timestamp,
}

/// A line of `conversations.ndjson` about one that the user has left; the others are as `GET /conversations` has them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftLine {
    pub id: Uuid,
    pub has_left: bool,
}

/// A line of `receipts.ndjson`: how far the user is in a conversation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptLine {
    pub conversation_id: Uuid,
    #[serde(with = "time")]
    pub joined_at: Timestamp,
    pub last_read_seq: u64,
    pub last_read_message_id: Option<Uuid>,
    #[serde(with = "time::option")]
    pub last_read_at: Option<Timestamp>,
    pub delivered_seq: u64,
    #[serde(with = "time::option")]
    pub delivered_at: Option<Timestamp>,
}

/// A line of `reactions.ndjson`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReactionLine {
    pub message_id: Uuid,
    pub conversation_id: Uuid,
    /// The place of the message.
    pub message_seq: u64,
    pub emoji: String,
}

/// A line of `blocks.ndjson`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockLine {
    pub user_id: Uuid,
    #[serde(with = "time")]
    pub created_at: Timestamp,
}

/// A line of `reports.ndjson`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportLine {
    pub id: Uuid,
    /// Who was reported, or wrote what was.
    pub user_id: Uuid,
    pub message_id: Option<Uuid>,
    pub conversation_id: Option<Uuid>,
    pub reason: String,
    pub details: String,
    #[serde(with = "time")]
    pub created_at: Timestamp,
}

/// A line of `files.ndjson`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileLine {
    pub key: Uuid,
    pub conversation_id: Option<Uuid>,
    pub file_name: Option<String>,
    pub mime_type: String,
    pub size: u64,
    #[serde(with = "time")]
    pub created_at: Timestamp,
    /// Where it is in the archive; absent when its bytes could not be found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}
