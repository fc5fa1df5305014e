//! `/messaging/blocks` and `/messaging/reports`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::edge::{Edge, blocks, reports};
use crate::wire::error::ApiError;
use crate::wire::safety::{BlockList, BlockedUser, FileReport, Filed};

use super::docs::responses::{Conflict, Invalid, Missing, TooLarge, Usual};
use super::extract::{Asking, Body, Ids};

/// Whom the caller has blocked.
#[utoipa::path(
    get,
    path = "/blocks",
    operation_id = "listBlocks",
    tag = "Safety",
    responses(
        (status = 200, description = "All of them, the latest first", body = BlockList),
        Usual
    )
)]
pub async fn list(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
) -> Result<Json<BlockList>, ApiError> {
    let found = blocks::list(&edge, &caller).await?;
    let shown = found.into_iter().map(|blocked| BlockedUser {
        user_id: blocked.user_id,
        display_name: blocked.display_name,
        blocked_at: blocked.at,
    });
    Ok(Json(BlockList { blocks: shown.collect() }))
}

/// Blocks somebody: neither reaches the other in direct conversations, and neither sees whether the other is there. In
/// groups both stay, and the caller's devices are told so that they can fold what the other one says. They are not told
/// who blocked them. Doing it twice is harmless.
#[utoipa::path(
    put,
    path = "/blocks/{userId}",
    operation_id = "block",
    tag = "Safety",
    params(("userId" = Uuid, Path, description = "The user")),
    responses(
        (status = 204, description = "It is so"),
        Usual,
        Invalid,
        Missing,
        Conflict
    )
)]
pub async fn block(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([user]): Ids<1>,
) -> Result<StatusCode, ApiError> {
    blocks::block(&edge, &caller, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a block back. Doing it twice is harmless.
#[utoipa::path(
    delete,
    path = "/blocks/{userId}",
    operation_id = "unblock",
    tag = "Safety",
    params(("userId" = Uuid, Path, description = "The user")),
    responses(
        (status = 204, description = "It is so"),
        Usual,
        Invalid
    )
)]
pub async fn unblock(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Ids([user]): Ids<1>,
) -> Result<StatusCode, ApiError> {
    blocks::unblock(&edge, &caller, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reports a message or a user to the operators. What was said around it is kept with the report as it is now, whatever
/// becomes of it.
#[utoipa::path(
    post,
    path = "/reports",
    operation_id = "report",
    tag = "Safety",
    request_body = FileReport,
    responses(
        (status = 201, description = "It is in the queue", body = Filed),
        (status = 200, description = "The caller has reported the same before, and it is being looked at", body = Filed),
        Usual,
        Invalid,
        Missing,
        TooLarge
    )
)]
pub async fn report(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Body(body): Body<FileReport>,
) -> Result<(StatusCode, Json<Filed>), ApiError> {
    let queued = reports::file(&edge, &caller, body).await?;
    let status = if queued.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Filed { report_id: queued.id })))
}
