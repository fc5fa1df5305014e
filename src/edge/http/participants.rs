//! `/messaging/conversations/{id}/participants` and `leave`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::edge::{Edge, conversations};
use crate::store::participants::ParticipantKey;
use crate::wire::answers::{ParticipantPage, Success};
use crate::wire::error::ApiError;
use crate::wire::objects;
use crate::wire::requests::conversations::{AddParticipants, SetRole};

use super::docs::responses::{Conflict, ForMembers, Missing, TooLarge, WithRights};
use super::extract::{Asking, Body, Fields, Ids, Params};

const DEFAULT_LIMIT: u32 = 50;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Option<String>,
}

impl PageQuery {
    /// Behind whom to begin, and how many.
    pub fn read(&self) -> Result<(Option<ParticipantKey>, u32), ApiError> {
        let mut fields = Fields::default();
        let limit = fields.limit(self.limit.as_deref(), DEFAULT_LIMIT);
        let after = fields.read("cursor", self.cursor.as_deref(), "is no cursor", read_cursor);
        fields.finish()?;
        Ok((after, limit))
    }
}

/// Who is in a conversation, in the order they joined.
#[utoipa::path(
    get,
    path = "/conversations/{id}/participants",
    operation_id = "listParticipants",
    tag = "Participants",
    params(("id" = Uuid, Path, description = "The conversation"), PageQuery),
    responses((status = 200, description = "A page", body = ParticipantPage), ForMembers)
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Params(query): Params<PageQuery>,
) -> Result<Json<ParticipantPage>, ApiError> {
    let (after, limit) = query.read()?;
    let page = conversations::participants(&edge, &caller, id, after, limit).await?;
    let mut participants: Vec<objects::Participant> =
        page.participants.into_iter().map(Into::into).collect();
    edge.presence.mark(&mut participants);
    edge.blocks.show_to(caller.user_id, id, &mut participants);
    Ok(Json(ParticipantPage { participants, limit, next_cursor: page.next.map(write_cursor) }))
}

/// A cursor of a list of people: microseconds and the id. Clients treat it as opaque.
pub fn write_cursor(key: ParticipantKey) -> String {
    format!("{}.{}", key.joined_at.as_microsecond(), key.user_id.as_simple())
}

fn read_cursor(text: &str) -> Option<ParticipantKey> {
    let (joined_at, user_id) = text.split_once('.')?;
    let joined_at = Timestamp::from_microsecond(joined_at.parse().ok()?).ok()?;
    Some(ParticipantKey { joined_at, user_id: Uuid::try_parse(user_id).ok()? })
}

type Shown = Json<objects::Conversation>;

/// Adds people; for admins.
#[utoipa::path(
    post,
    path = "/conversations/{id}/participants",
    operation_id = "addParticipants",
    tag = "Participants",
    params(("id" = Uuid, Path, description = "The conversation")),
    request_body = AddParticipants,
    responses(
        (status = 200, description = "The conversation", body = objects::Conversation),
        WithRights, TooLarge
    )
)]
pub async fn add(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Body(request): Body<AddParticipants>,
) -> Result<Shown, ApiError> {
    let users = request.validate()?;
    conversations::add(&edge, &caller, id, &users).await.map(|view| Json(edge.presence.show(view)))
}

/// Removes somebody; for admins, or oneself.
#[utoipa::path(
    delete,
    path = "/conversations/{id}/participants/{userId}",
    operation_id = "removeParticipant",
    tag = "Participants",
    params(("id" = Uuid, Path, description = "The conversation"), ("userId" = Uuid, Path, description = "The participant")),
    responses((status = 200, description = "Done", body = Success), WithRights, Missing)
)]
pub async fn remove(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id, user]): Ids<2>,
) -> Result<Json<Success>, ApiError> {
    conversations::remove(&edge, &caller, id, user).await.map(|()| Json(Success::DONE))
}

/// Gives somebody a role; for admins.
#[utoipa::path(
    patch,
    path = "/conversations/{id}/participants/{userId}",
    operation_id = "setRole",
    tag = "Participants",
    params(("id" = Uuid, Path, description = "The conversation"), ("userId" = Uuid, Path, description = "The participant")),
    request_body = SetRole,
    responses(
        (status = 200, description = "The conversation", body = objects::Conversation),
        WithRights, Missing, TooLarge
    )
)]
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

/// Leaves a group or a community.
#[utoipa::path(
    post,
    path = "/conversations/{id}/leave",
    operation_id = "leaveConversation",
    tag = "Participants",
    params(("id" = Uuid, Path, description = "The conversation")),
    responses((status = 200, description = "Done", body = Success), ForMembers, Conflict)
)]
pub async fn leave(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
) -> Result<Json<Success>, ApiError> {
    conversations::remove(&edge, &caller, id, caller.user_id).await.map(|()| Json(Success::DONE))
}
