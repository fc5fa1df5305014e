//! Bodies of requests, over REST and both socket protocols.

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// `POST /messages` and the `sendMessage` op. Unknown fields are ignored.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendMessage {
    pub conversation_id: Uuid,
    #[serde(default)]
    pub content: String,
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    #[serde(default)]
    pub reply_to_message_id: Option<Uuid>,
    #[serde(default)]
    pub metadata: Option<Box<RawValue>>,
    #[serde(default)]
    pub mentions: Vec<Uuid>,
    #[serde(default)]
    pub client_message_id: Option<String>,
    /// 2 or more marks a resend.
    #[serde(default)]
    pub attempt: Option<u32>,
}
