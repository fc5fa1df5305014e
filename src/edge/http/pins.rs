//! `/messaging/conversations/{id}/pins`: messages that everyone there finds at the top.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::edge::Edge;
use crate::edge::conversations::pins;
use crate::store::pins::Pin;
use crate::wire::answers::Success;
use crate::wire::communities::{PinnedMessage, Pins};
use crate::wire::error::ApiError;

use super::docs::responses::{ForMembers, Forbidden, Invalid, Missing, Usual, WithRights};
use super::extract::{Asking, Ids};

/// The pinned messages of a conversation, the last pinned first.
#[utoipa::path(
    get,
    path = "/conversations/{id}/pins",
    operation_id = "listPins",
    tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation")),
    responses((status = 200, description = "All of them", body = Pins), ForMembers)
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
) -> Result<Json<Pins>, ApiError> {
    let pins = pins::list(&edge, &caller, id).await?;
    let shown = |pin: Pin| PinnedMessage {
        message: pin.message.into(),
        pinned_by: pin.pinned_by,
        pinned_at: pin.pinned_at,
    };
    Ok(Json(Pins { pins: pins.into_iter().map(shown).collect() }))
}

/// Pins a message for everyone, 50 at most; for admins, in a direct conversation for both.
#[utoipa::path(
    put,
    path = "/conversations/{id}/pins/{messageId}",
    operation_id = "pinMessage",
    tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"), ("messageId" = Uuid, Path, description = "The message")),
    responses((status = 200, description = "Done", body = Success), WithRights, Missing)
)]
pub async fn pin(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id, message]): Ids<2>,
) -> Result<Json<Success>, ApiError> {
    pins::pin(&edge, &caller, id, message).await.map(|()| Json(Success::DONE))
}

/// Unpins a message.
#[utoipa::path(
    delete,
    path = "/conversations/{id}/pins/{messageId}",
    operation_id = "unpinMessage",
    tag = "Messages",
    params(("id" = Uuid, Path, description = "The conversation"), ("messageId" = Uuid, Path, description = "The message")),
    responses(
        (status = 200, description = "Done", body = Success),
        Usual,
        Invalid,
        Forbidden
    )
)]
pub async fn unpin(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id, message]): Ids<2>,
) -> Result<Json<Success>, ApiError> {
    pins::unpin(&edge, &caller, id, message).await.map(|()| Json(Success::DONE))
}
