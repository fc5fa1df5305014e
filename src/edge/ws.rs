//! WebSockets: the native protocol and Socket.IO on the same session.
//!
//! `native` and `socketio` open a connection and translate frames; `ops` does what a frame asks; `session` reads,
//! writes and watches over one connection; `writer` puts what is ready into the socket in one go.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};

use crate::wire::error::{ApiError, CloseCode};

use super::Edge;
use super::auth::bearer;
use session::Session;

pub mod admission;
pub mod catch_up;
pub mod native;
pub mod ops;
pub mod proof;
pub mod reply;
pub mod session;
pub mod socketio;
pub mod writer;

/// What one read of a socket may bring; every idle connection holds it. The library's default of 128 KiB makes
/// 136 KiB of each, 4 KiB still more than half of the rest (measured); most frames are under 1 KiB, and a larger one
/// grows the buffer while it lasts.
const READ_BUFFER: usize = 2 << 10;
/// Bytes that gather before they are written although more is to come. It is allocated as it fills, by doubling, and
/// kept: with a usual frame on top it stays within 4 KiB, where a full 4 KiB would make 8 of each connection that
/// was once told many things together.
const WRITE_BUFFER: usize = 3_584;
/// Bytes that may be written and not yet taken by the kernel: the outbound queue at the largest frames that
/// the log can hold would be more, but a batch that large belongs to a reader that is too slow.
const MAX_WRITE_BUFFER: usize = 16 << 20;

/// The routes of both protocols, for the main listener and for one of their own.
pub fn routes() -> Router<Arc<Edge>> {
    Router::new()
        .route("/messaging/ws", get(native_upgrade))
        .route("/socket.io/", any(socketio_upgrade))
        .route("/socket.io", any(socketio_upgrade))
}

async fn native_upgrade(
    State(edge): State<Arc<Edge>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.protocols([native::SUBPROTOCOL]),
        Err(rejection) => return rejection.into_response(),
    };
    if let Err(error) = edge.gate.pass().await {
        return turn_away(&edge, upgrade, &error);
    }
    let token =
        bearer(&headers).map(str::to_owned).or_else(|| native::token_in_subprotocols(&headers));
    let cursor = query.as_deref().and_then(|query| parameter(query, "cursor"));
    accept(&edge, upgrade, move |edge, socket| native::open(edge, socket, token, cursor))
}

async fn socketio_upgrade(
    State(edge): State<Arc<Edge>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let query = query.unwrap_or_default();
    let upgrade = match (socketio::check(&query), upgrade) {
        (Err(refusal), _) => return refusal.into_response(),
        (Ok(()), Err(rejection)) => return rejection.into_response(),
        (Ok(()), Ok(upgrade)) => upgrade,
    };
    if let Err(error) = edge.gate.pass().await {
        return turn_away(&edge, upgrade, &error);
    }
    let token = bearer(&headers).map(str::to_owned);
    accept(&edge, upgrade, move |edge, socket| socketio::open(edge, socket, token))
}

/// Upgrades, lets `open` introduce the client, and serves it. The process waits for it at its end.
fn accept<F, Fut>(edge: &Arc<Edge>, upgrade: WebSocketUpgrade, open: F) -> Response
where
    F: FnOnce(Arc<Edge>, WebSocket) -> Fut + Send + 'static,
    Fut: Future<Output = Option<(Session, WebSocket)>> + Send + 'static,
{
    let max_frame = match edge.settings.max_frame_bytes {
        0 => usize::MAX,
        bytes => bytes,
    };
    let edge = edge.clone();
    let running = edge.sessions.token();
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(max_frame)
        .max_frame_size(max_frame)
        .on_failed_upgrade(|cause| tracing::debug!(%cause, "a WebSocket upgrade failed"))
        .on_upgrade(move |socket| {
            // Boxed, and outside of what is awaited: neither the opening's needs nor a second place for the session
            // and its socket are kept while the connection idles.
            let opening = Box::pin(async { open(edge, socket).await.map(Box::new) });
            async move {
                if let Some(mut opened) = opening.await {
                    let (session, socket) = &mut *opened;
                    let code = session.run(socket).await;
                    Box::pin(end(opened, code)).await;
                }
                drop(running);
            }
        })
}

/// Upgrades all the same, to close with a code: browsers are not shown the status of a refused upgrade.
fn turn_away(edge: &Arc<Edge>, upgrade: WebSocketUpgrade, error: &ApiError) -> Response {
    edge.metrics.error(error.code.as_str());
    let code = refusal_code(error);
    accept(edge, upgrade, move |_, socket| async move {
        close(socket, code).await;
        None
    })
}

/// The value of a query parameter. Cursors and Socket.IO's own parameters need no decoding.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// An introduction that takes too long counts as one without a token. A node that leaves waits for none.
async fn in_time<T>(
    edge: &Edge,
    introduction: impl Future<Output = Result<T, Option<CloseCode>>>,
) -> Result<T, Option<CloseCode>> {
    tokio::select! {
        introduced = tokio::time::timeout(edge.settings.opening_timeout, introduction) => {
            introduced.unwrap_or(Err(Some(CloseCode::Unauthenticated)))
        }
        () = edge.leaving.cancelled() => Err(Some(CloseCode::Draining)),
    }
}

/// Closes, unless the peer has gone. A node that leaves waits for nobody who was too slow.
async fn end(opened: Box<(Session, WebSocket)>, code: Option<CloseCode>) {
    let (session, socket) = *opened;
    let leaving = session.edge.leaving.clone();
    drop(session);
    let Some(code) = code else { return };
    tokio::select! {
        () = close(socket, code) => {}
        () = leaving.cancelled(), if code == CloseCode::TooSlow => {}
    }
}

/// Says why and closes; waits a moment for the other side, because closing a socket with unread bytes in it
/// would take the reason away again. Who was too slow has much to read before it comes to the reason.
async fn close(mut socket: WebSocket, code: CloseCode) {
    use axum::extract::ws::{CloseFrame, Message};
    let goodbye = Duration::from_secs(if code == CloseCode::TooSlow { 10 } else { 2 });
    let frame = CloseFrame { code: code.code(), reason: code.reason().into() };
    let farewell = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // A peer that does not read does not get to hold the connection.
    let _ = tokio::time::timeout(goodbye, farewell).await;
}

/// The close code for a refused opening.
fn refusal_code(error: &ApiError) -> CloseCode {
    use crate::wire::error::Code;
    match error.code {
        Code::Unauthenticated => CloseCode::Unauthenticated,
        Code::Forbidden => CloseCode::Revoked,
        Code::RateLimited => CloseCode::TooMany,
        Code::Unavailable | Code::Internal => CloseCode::Draining,
        _ => CloseCode::Malformed,
    }
}
