//! What a search answers.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::names;
use super::objects::Message;

/// A page of messages that were found, the best first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SearchResults {
    pub results: Vec<SearchResult>,
    /// Absent where a cursor was followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub page: Option<u32>,
    pub limit: u32,
    /// For `cursor`; null when there is nothing more. A page may have fewer results than asked for, or none, and more
    /// behind it.
    pub next_cursor: Option<String>,
}

/// A message that was found.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SearchResult {
    pub message: Message,
    pub conversation: FoundIn,
    /// HTML: what answers stands between `<mark>` and `</mark>`, everything else is escaped.
    pub snippet: String,
}

/// The conversation of a message that was found.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FoundIn {
    pub id: Uuid,
    pub title: Option<String>,
    #[serde(rename = "type")]
    #[schemars(with = "names::ConversationType")]
    pub kind: &'static str,
}
