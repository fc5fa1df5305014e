//! `/messaging/conversations/{id}/participants`, `join` and `leave`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::edge::{Edge, conversations};
use crate::store::participants::ParticipantKey;
use crate::wire::error::ApiError;
use crate::wire::objects;
use crate::wire::requests::conversations::{AddParticipants, SetRole};

use super::extract::{Asking, Body, Fields, Ids, Params};

const DEFAULT_LIMIT: u32 = 50;

#[derive(Deserialize)]
pub struct PageQuery {
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    participants: Vec<objects::Participant>,
    limit: u32,
    next_cursor: Option<String>,
}

/// `GET /conversations/{id}/participants`, in the order they joined.
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page>, ApiError> {
    let mut fields = Fields::default();
    let limit = fields.limit(query.limit.as_deref(), DEFAULT_LIMIT);
    let after = fields.read("cursor", query.cursor.as_deref(), "is no cursor", read_cursor);
    fields.finish()?;
    let page = conversations::participants(&edge, &caller, id, after, limit).await?;
    let mut participants: Vec<objects::Participant> =
        page.participants.into_iter().map(Into::into).collect();
    edge.presence.mark(&mut participants);
    Ok(Json(Page { participants, limit, next_cursor: page.next.map(write_cursor) }))
}

fn write_cursor(key: ParticipantKey) -> String {
    format!("{}.{}", key.joined_at.as_microsecond(), key.user_id.as_simple())
}

fn read_cursor(text: &str) -> Option<ParticipantKey> {
    let (joined_at, user_id) = text.split_once('.')?;
    let joined_at = Timestamp::from_microsecond(joined_at.parse().ok()?).ok()?;
    Some(ParticipantKey { joined_at, user_id: Uuid::try_parse(user_id).ok()? })
}

type Shown = Json<objects::Conversation>;

/// `POST /conversations/{id}/participants`
pub async fn add(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Body(request): Body<AddParticipants>,
) -> Result<Shown, ApiError> {
    let users = request.validate()?;
    conversations::add(&edge, &caller, id, &users).await.map(|view| Json(edge.presence.show(view)))
}

/// `DELETE /conversations/{id}/participants/{userId}`
pub async fn remove(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id, user]): Ids<2>,
) -> Result<Json<Value>, ApiError> {
    conversations::remove(&edge, &caller, id, user).await.map(|()| success())
}

/// `PATCH /conversations/{id}/participants/{userId}`
pub async fn set_role(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id, user]): Ids<2>,
    Body(request): Body<SetRole>,
) -> Result<Shown, ApiError> {
    let role = request.validate()?;
    conversations::set_role(&edge, &caller, id, user, role)
        .await
        .map(|view| Json(edge.presence.show(view)))
}

/// `POST /conversations/{id}/join`
pub async fn join(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
) -> Result<Shown, ApiError> {
    conversations::join(&edge, &caller, id).await.map(|view| Json(edge.presence.show(view)))
}

/// `POST /conversations/{id}/leave`
pub async fn leave(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
) -> Result<Json<Value>, ApiError> {
    conversations::remove(&edge, &caller, id, caller.user_id).await.map(|()| success())
}

/// There is nothing to show of what is gone.
fn success() -> Json<Value> {
    Json(json!({ "success": true }))
}
