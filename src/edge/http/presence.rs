//! `/messaging/presence`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::edge::{Edge, presence};
use crate::wire::error::ApiError;
use crate::wire::presence::{Presence, check_users, read_users};

use super::docs::responses::{Invalid, Usual};
use super::extract::{Asking, Fields, Params};

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Ids with commas between them, at most 500.
    user_ids: Option<String>,
}

/// Who is online, of those who share a conversation with the caller.
#[utoipa::path(
    get,
    path = "/presence",
    operation_id = "getPresence",
    tag = "Participants",
    params(Query),
    responses(
        (status = 200, description = "The states", body = Presence),
        Usual,
        Invalid
    )
)]
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
