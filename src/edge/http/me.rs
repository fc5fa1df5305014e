//! `/messaging/me`: what somebody may ask of their own data.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use jiff::SignedDuration;

use crate::domain::ids::UserId;
use crate::edge::export::{self, Copy, Ready};
use crate::edge::media::download;
use crate::edge::{Edge, error};
use crate::media::spool::Spooled;
use crate::store::own_data::exports::Export;
use crate::wire::error::{ApiError, Code};
use crate::wire::names::{ErasureStatus, ExportStatus};
use crate::wire::own_data::{ErasureState, ExportProgress};

use super::docs::responses::{Outside, Usual};
use super::extract::Asking;
use super::ranged::{self, ascii};

/// How young the token has to be with which somebody ends everything: whoever finds an open app must sign in first.
const FRESH: SignedDuration = SignedDuration::from_mins(5);
/// Clocks of the issuer and of this machine may differ by so much.
const SKEW: SignedDuration = SignedDuration::from_mins(1);
/// When somebody whose copy is being made had better come back.
const COME_BACK: HeaderValue = HeaderValue::from_static("5");
/// What is read of a file on this node's disk at a time.
const WINDOW: usize = 128 << 10;

/// A copy of everything that the service keeps about the caller: a ZIP archive of NDJSON files, and the files that they
/// have uploaded.
///
/// It is made when it is asked for. Who has little gets it at once; else the answer is 202, and the same request some seconds
/// later. The archive stays for a day and never changes: a download that was cut off goes on with `Range` and `If-Range`.
/// A request without these makes a new one when the last is older than ten minutes.
#[utoipa::path(
    get,
    path = "/me/export",
    operation_id = "exportOwnData",
    tag = "Own data",
    params(("Range" = Option<String>, Header, description = "One range of bytes")),
    responses(
        (status = 200, description = "The archive", content_type = "application/zip"),
        (status = 202, description = "It is being made; `Retry-After` says when to ask again", body = ExportProgress),
        (status = 206, description = "The range", content_type = "application/zip"),
        (status = 304, description = "It is still the one of `If-None-Match`"),
        Usual,
        Outside
    )
)]
pub async fn export(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let goes_on = [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH];
    let resuming = goes_on.iter().any(|name| headers.contains_key(name));
    match export::get(&edge, caller.user_id, resuming).await? {
        Copy::Ready(ready) => hand_out(&edge, caller.user_id, ready, &method, &headers).await,
        Copy::Preparing(export) => Ok(preparing(&export)),
    }
}

fn preparing(export: &Export) -> Response {
    let progress = ExportProgress {
        status: ExportStatus::WORDS[0],
        started_at: export.started_at,
        messages: export.messages,
        files: export.files,
    };
    (StatusCode::ACCEPTED, [(header::RETRY_AFTER, COME_BACK)], Json(progress)).into_response()
}

async fn hand_out(
    edge: &Arc<Edge>,
    user: UserId,
    ready: Ready,
    method: &Method,
    asked: &HeaderMap,
) -> Result<Response, ApiError> {
    let (size, tag) = (ready.size, ascii(&format!("\"{}\"", ready.key))?);
    let mut described = described(&ready, &tag)?;
    if ranged::is_known(asked, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, described).into_response());
    }
    let Some((status, part)) = ranged::part(asked, &tag, size, &mut described)? else {
        return ranged::outside(size);
    };
    tracing::debug!(%user, "a copy of a user's data is handed out");
    let body = match ready.held {
        _ if method == Method::HEAD => Body::empty(),
        Some(file) => Body::from_stream(read(file, part)),
        None => {
            let asked = download::Asked { key: ready.key, thumbnail: false };
            Body::from_stream(download::bytes(edge, asked, part).await?)
        }
    };
    Ok((status, described, body).into_response())
}

fn described(ready: &Ready, tag: &HeaderValue) -> Result<HeaderMap, ApiError> {
    let day = ready.made_at.strftime("%Y-%m-%d");
    let name = format!("attachment; filename=\"messaging-export-{day}.zip\"");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::ETAG, tag.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(header::CONTENT_DISPOSITION, ascii(&name)?);
    Ok(headers)
}

/// Some of a file on this node's disk, window by window.
fn read(
    file: Spooled,
    part: std::ops::Range<u64>,
) -> impl stream::Stream<Item = std::io::Result<Bytes>> + Send {
    stream::try_unfold((file, part), |(file, left)| async move {
        if left.is_empty() {
            return Ok(None);
        }
        let count = WINDOW.min(usize::try_from(left.end - left.start).unwrap_or(WINDOW));
        let bytes = file.read(left.start, count).await?;
        let after = left.start + bytes.len() as u64..left.end;
        Ok(Some((bytes, (file, after))))
    })
}

/// Erases everything that the service keeps about the caller.
///
/// The token has to be younger than five minutes (`iat`). What the caller has written becomes tombstones everywhere, their
/// files, devices, profile and everything else go, and groups go on without them. Connections end, and all requests but this
/// one, which then tells how far it is, are refused until it is done some minutes later. Tokens that were issued before
/// stay worthless; who signs in anew begins anew.
#[utoipa::path(
    delete,
    path = "/me",
    operation_id = "eraseOwnData",
    tag = "Own data",
    responses(
        (status = 202, description = "It is under way, or done", body = ErasureState),
        Usual
    )
)]
pub async fn erase(
    State(edge): State<Arc<Edge>>,
    Asking(caller): Asking,
) -> Result<Response, ApiError> {
    let user = caller.user_id;
    let known = edge.store.erasure_of(user).await.map_err(error::store)?;
    let now = edge.clock.now();
    let begun_after = |at: jiff::Timestamp| caller.issued_at.is_none_or(|issued| issued <= at);
    // A repetition of the request: the answer may have been lost, or somebody wants to know.
    let known = known.filter(|e| e.finished_at.is_none() || begun_after(e.requested_at));
    let erasure = match known {
        Some(erasure) => erasure,
        None => {
            let age = caller.issued_at.map(|at| now.duration_since(at));
            if !age.is_some_and(|age| (-SKEW..=FRESH).contains(&age)) {
                let sentence = "this needs a token that was issued within the last five minutes: sign in again";
                return Err(ApiError::new(Code::Unauthenticated, sentence));
            }
            let asked = edge.store.request_erasure(user, now).await.map_err(error::store)?;
            // The others look within seconds; here it holds at once.
            if let Err(cause) = crate::edge::erased::refresh(&edge).await {
                tracing::debug!(%cause, "connections end a little later");
            }
            asked
        }
    };
    let status = ErasureStatus::WORDS[usize::from(erasure.finished_at.is_some())];
    let (requested_at, finished_at) = (erasure.requested_at, erasure.finished_at);
    let state = ErasureState { status, requested_at, finished_at };
    Ok((StatusCode::ACCEPTED, Json(state)).into_response())
}
