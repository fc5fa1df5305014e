//! `/messaging/presence`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::edge::{Edge, presence};
use crate::wire::error::ApiError;
use crate::wire::presence::{Presence, check_users, read_users};

use super::extract::{Asking, Fields, Params};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Query {
    user_ids: Option<String>,
}

/// `GET /presence?userIds=a,b`
pub async fn get(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Params(query): Params<Query>,
) -> Result<Json<Presence>, ApiError> {
    let mut fields = Fields::default();
    let message = "must be UUIDs with commas between them";
    let users = fields.read("userIds", query.user_ids.as_deref(), message, read_users);
    fields.finish()?;
    let users = check_users(users.unwrap_or_default())?;
    let statuses = presence::of(&edge, &caller, &users).await?;
    Ok(Json(Presence { presence: statuses.into_iter().map(Into::into).collect() }))
}
