//! `/messaging/messages/scheduled`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::edge::{Edge, schedule};
use crate::wire::error::ApiError;
use crate::wire::objects;

use super::extract::{Asking, Fields, Params};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledQuery {
    conversation_id: Option<String>,
}

#[derive(Serialize)]
pub struct Scheduled {
    messages: Vec<objects::Message>,
}

/// `GET`: the caller's own, the next first.
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Params(query): Params<ScheduledQuery>,
) -> Result<Json<Scheduled>, ApiError> {
    let mut fields = Fields::default();
    let conversation = fields.uuid("conversationId", query.conversation_id.as_deref());
    fields.finish()?;
    let messages = schedule::list(&edge, &caller, conversation).await?;
    Ok(Json(Scheduled { messages }))
}
