//! `/messaging/messages/scheduled`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::edge::{Edge, schedule};
use crate::wire::answers::Scheduled;
use crate::wire::error::ApiError;

use super::docs::responses::{Invalid, Usual};
use super::extract::{Asking, Fields, Params};

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ScheduledQuery {
    /// Of this conversation only.
    #[param(value_type = Option<Uuid>)]
    conversation_id: Option<String>,
}

/// The caller's scheduled messages, the next first.
#[utoipa::path(
    get,
    path = "/messages/scheduled",
    operation_id = "listScheduled",
    tag = "Messages",
    params(ScheduledQuery),
    responses(
        (status = 200, description = "All of them", body = Scheduled),
        Usual,
        Invalid
    )
)]
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
