//! What was missed since a cursor, for a client without a socket: an app in the background.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::ids::Seq;
use crate::edge::hub::queue::Frame;
use crate::edge::hub::replay::Returning;
use crate::edge::resume::{self, Replay, Start, frames};
use crate::edge::{Edge, error, freshness};
use crate::telemetry::metrics::Protocol;
use crate::wire::answers;
use crate::wire::error::ApiError;
use crate::wire::event::Cursor;

use super::docs::responses::{Invalid, Usual};
use super::extract::{Asking, Params};

/// Stretches of one answer: one each of the three sources, and one for what happened meanwhile.
const STRETCHES: usize = 4;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Since {
    /// The last one seen. Without it, the answer is one to begin with.
    #[serde(default)]
    cursor: Option<String>,
}

/// What was missed since a cursor, as a socket would replay it.
#[utoipa::path(
    get,
    path = "/sync",
    operation_id = "sync",
    tag = "Messages",
    params(Since),
    responses(
        (status = 200, description = "The events, in order", body = answers::Missed),
        Usual,
        Invalid
    )
)]
pub async fn since(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    Params(asked): Params<Since>,
) -> Result<Response, ApiError> {
    // What was acknowledged when the request began.
    let extent = freshness::extent(&edge).await.map_err(|cause| error::bus(&cause))?;
    let reached = freshness::routed(&edge, extent.last, freshness::ROUTED_FOR_REPLAY).await;
    let at = match resume::start(&edge, asked.cursor.as_deref()).await? {
        Start::Since(at) => at,
        Start::Fresh => return Ok(answer(&edge, &[], edge.hub.last_seq(), true)),
        Start::Reset(reason) => {
            let at = edge.hub.last_seq();
            let reset = frames::reset(&edge.hub, Protocol::Native, at, reason);
            return Ok(answer(&edge, &[reset], at, true));
        }
    };
    let arrived = edge.arrivals.arrive(caller.arrival()).await;
    let arrived = arrived.ok_or_else(ApiError::unavailable)?;
    let returning = Returning::Asking(caller.user_id, &arrived.conversations);
    let mut replay = Replay::new(&edge, returning, at);
    let mut told = Vec::new();
    let (mut through, mut complete) = (at, false);
    for _ in 0..STRETCHES {
        let page = replay.next().await?;
        told.extend(frames::page(&edge.hub, Protocol::Native, &page));
        through = page.through;
        complete = page.end && reached;
        if page.end || told.len() > edge.settings.replay.in_all {
            break;
        }
    }
    Ok(answer(&edge, &told, through, complete))
}

/// The events are JSON already.
fn answer(edge: &Edge, events: &[Frame], through: Seq, complete: bool) -> Response {
    let cursor = Cursor { epoch: edge.hub.epoch().to_owned(), seq: through };
    let events: Vec<&str> = events.iter().map(|frame| frame.text.as_str()).collect();
    let body = format!(
        "{{\"events\":[{}],\"cursor\":\"{cursor}\",\"complete\":{complete}}}",
        events.join(",")
    );
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
