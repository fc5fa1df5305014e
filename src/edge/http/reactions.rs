//! `/messaging/messages/{id}/reactions/{emoji}`

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::http::request::Parts;
use serde_json::{Value, json};

use crate::edge::{Edge, reactions};
use crate::wire::error::{ApiError, Code};

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

/// `PUT`: adds the reaction.
pub async fn add(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Emoji(emoji): Emoji,
) -> Result<Json<Value>, ApiError> {
    reactions::change(&edge, &caller, id, &emoji, true).await?;
    Ok(Json(json!({ "success": true })))
}

/// `DELETE`: takes it back.
pub async fn remove(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Emoji(emoji): Emoji,
) -> Result<Json<Value>, ApiError> {
    reactions::change(&edge, &caller, id, &emoji, false).await?;
    Ok(Json(json!({ "success": true })))
}
