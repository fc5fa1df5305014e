//! `/messaging/conversations/{id}/join`, `join-requests` and `bans`: who comes into a community, and who may not.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::edge::Edge;
use crate::edge::conversations::bans;
use crate::edge::conversations::joining::{self, Wish};
use crate::store::joining as store;
use crate::wire::answers::Success;
use crate::wire::communities::{BanPage, Banned, JoinAsked, JoinRequest, JoinRequestPage};
use crate::wire::error::ApiError;
use crate::wire::objects;
use crate::wire::requests::settings::Ban;

use super::docs::responses::{Missing, TooLarge, WithRights};
use super::extract::{Asking, Ids, OptionalBody, Params};
use super::participants::{PageQuery, write_cursor};

/// Joins a community, or asks its admins to be let in.
#[utoipa::path(
    post,
    path = "/conversations/{id}/join",
    operation_id = "joinConversation",
    tag = "Participants",
    params(("id" = Uuid, Path, description = "The conversation")),
    responses(
        (status = 200, description = "The caller is in it", body = objects::Conversation),
        (status = 202, description = "An admin has to let the caller in", body = JoinAsked),
        WithRights
    )
)]
pub async fn join(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
) -> Result<Response, ApiError> {
    Ok(match joining::join(&edge, &caller, id).await? {
        Wish::In(view) => Json(edge.presence.show(*view)).into_response(),
        Wish::Asked(at) => (StatusCode::ACCEPTED, Json(JoinAsked::since(id, at))).into_response(),
    })
}

/// Who waits to be let in, the first first; for admins.
#[utoipa::path(
    get,
    path = "/conversations/{id}/join-requests",
    operation_id = "listJoinRequests",
    tag = "Participants",
    params(("id" = Uuid, Path, description = "The conversation"), PageQuery),
    responses((status = 200, description = "A page", body = JoinRequestPage), WithRights)
)]
pub async fn requests(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Params(query): Params<PageQuery>,
) -> Result<Json<JoinRequestPage>, ApiError> {
    let (after, limit) = query.read()?;
    let page = joining::requests(&edge, &caller, id, after, limit).await?;
    let shown = |asked: store::JoinRequest| JoinRequest {
        user_id: asked.user_id,
        display_name: asked.display_name,
        avatar_url: asked.avatar_url,
        requested_at: asked.requested_at,
    };
    let requests = page.requests.into_iter().map(shown).collect();
    Ok(Json(JoinRequestPage { requests, limit, next_cursor: page.next.map(write_cursor) }))
}

/// Lets somebody in who has asked; for admins.
#[utoipa::path(
    post,
    path = "/conversations/{id}/join-requests/{userId}/approve",
    operation_id = "approveJoinRequest",
    tag = "Participants",
    params(("id" = Uuid, Path, description = "The conversation"), ("userId" = Uuid, Path, description = "Who has asked")),
    responses(
        (status = 200, description = "The conversation", body = objects::Conversation),
        WithRights, Missing
    )
)]
pub async fn approve(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id, user]): Ids<2>,
) -> Result<Json<objects::Conversation>, ApiError> {
    joining::approve(&edge, &caller, id, user).await.map(|view| Json(edge.presence.show(view)))
}

/// Refuses a request to join, for admins; or takes back one's own.
#[utoipa::path(
    delete,
    path = "/conversations/{id}/join-requests/{userId}",
    operation_id = "dropJoinRequest",
    tag = "Participants",
    params(("id" = Uuid, Path, description = "The conversation"), ("userId" = Uuid, Path, description = "Who has asked")),
    responses((status = 200, description = "Done", body = Success), WithRights, Missing)
)]
pub async fn drop(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id, user]): Ids<2>,
) -> Result<Json<Success>, ApiError> {
    joining::drop(&edge, &caller, id, user).await.map(|()| Json(Success::DONE))
}

/// Who is banned from a conversation, the first first; for admins.
#[utoipa::path(
    get,
    path = "/conversations/{id}/bans",
    operation_id = "listBans",
    tag = "Participants",
    params(("id" = Uuid, Path, description = "The conversation"), PageQuery),
    responses((status = 200, description = "A page", body = BanPage), WithRights)
)]
pub async fn list_bans(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id]): Ids<1>,
    Params(query): Params<PageQuery>,
) -> Result<Json<BanPage>, ApiError> {
    let (after, limit) = query.read()?;
    let page = bans::list(&edge, &caller, id, after, limit).await?;
    let shown = |banned: crate::store::bans::Banned| Banned {
        user_id: banned.user_id,
        display_name: banned.display_name,
        avatar_url: banned.avatar_url,
        reason: banned.reason,
        banned_by: banned.banned_by,
        banned_at: banned.banned_at,
    };
    let bans = page.bans.into_iter().map(shown).collect();
    Ok(Json(BanPage { bans, limit, next_cursor: page.next.map(write_cursor) }))
}

/// Bans somebody from a conversation, and removes them; for admins.
#[utoipa::path(
    put,
    path = "/conversations/{id}/bans/{userId}",
    operation_id = "banParticipant",
    tag = "Participants",
    params(("id" = Uuid, Path, description = "The conversation"), ("userId" = Uuid, Path, description = "Whom")),
    request_body = Option<Ban>,
    responses((status = 200, description = "Done", body = Success), WithRights, TooLarge)
)]
pub async fn ban(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id, user]): Ids<2>,
    OptionalBody(request): OptionalBody<Ban>,
) -> Result<Json<Success>, ApiError> {
    let reason = request.validate()?;
    bans::ban(&edge, &caller, id, user, reason.as_deref()).await.map(|()| Json(Success::DONE))
}

/// Lifts a ban; for admins.
#[utoipa::path(
    delete,
    path = "/conversations/{id}/bans/{userId}",
    operation_id = "liftBan",
    tag = "Participants",
    params(("id" = Uuid, Path, description = "The conversation"), ("userId" = Uuid, Path, description = "Whose")),
    responses((status = 200, description = "Done", body = Success), WithRights, Missing)
)]
pub async fn lift_ban(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([id, user]): Ids<2>,
) -> Result<Json<Success>, ApiError> {
    bans::lift(&edge, &caller, id, user).await.map(|()| Json(Success::DONE))
}
