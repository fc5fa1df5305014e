//! `/messaging/messages/{id}/reactions/{emoji}`

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::request::Parts;

use crate::edge::{Edge, reactions};
use crate::wire::answers::Success;
use crate::wire::error::{ApiError, Code};

use super::docs::responses::{Conflict, Invalid, Missing, Usual};
use super::extract::{Asking, Ids};

/// The emoji in the path.
pub struct Emoji(String);

impl FromRequestParts<Arc<Edge>> for Emoji {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, edge)
            .await
            .map_err(|_| ApiError::new(Code::Invalid, "the path cannot be read"))?;
        let emoji = params.iter().find(|(name, _)| *name == "emoji");
        Ok(Self(emoji.map(|(_, value)| value.to_owned()).unwrap_or_default()))
    }
}

/// Reacts to a message.
#[utoipa::path(
    put,
    path = "/messages/{id}/reactions/{emoji}",
    operation_id = "addReaction",
    tag = "Messages",
    params(("id" = Uuid, Path, description = "The message"), ("emoji" = String, Path, description = "One emoji")),
    responses(
        (status = 200, description = "It stands", body = Success),
        Usual,
        Invalid,
        Missing,
        Conflict
    )
)]
pub async fn add(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Emoji(emoji): Emoji,
) -> Result<Json<Success>, ApiError> {
    reactions::change(&edge, &caller, id, &emoji, true).await?;
    Ok(Json(Success::DONE))
}

/// Takes a reaction back.
#[utoipa::path(
    delete,
    path = "/messages/{id}/reactions/{emoji}",
    operation_id = "removeReaction",
    tag = "Messages",
    params(("id" = Uuid, Path, description = "The message"), ("emoji" = String, Path, description = "One emoji")),
    responses(
        (status = 200, description = "It does not stand", body = Success),
        Usual,
        Invalid,
        Missing,
        Conflict
    )
)]
pub async fn remove(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Emoji(emoji): Emoji,
) -> Result<Json<Success>, ApiError> {
    reactions::change(&edge, &caller, id, &emoji, false).await?;
    Ok(Json(Success::DONE))
}
