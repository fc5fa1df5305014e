//! What operators ask any process, without a token: is it alive, is it ready, how is it doing.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::metrics::Metrics;

/// Finds out why a process is not ready; nothing means that it is. It bounds its own time.
pub type Check =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<&'static str>> + Send>> + Send + Sync>;

/// Everything that any of these finds; they ask at the same time.
pub fn all(checks: Vec<Check>) -> Check {
    Arc::new(move || {
        let asked = futures_util::future::join_all(checks.iter().map(|check| check()));
        Box::pin(async move { asked.await.concat() })
    })
}

/// `/healthz`, `/readyz` and, unless they are shown elsewhere, `/metrics`.
pub fn app(metrics: Option<Arc<Metrics>>, check: Check) -> Router {
    let app = Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "alive" })) }))
        .route("/readyz", get(move || ready(check.clone())));
    match metrics {
        Some(metrics) => app.route("/metrics", get(move || exposition(metrics.clone()))),
        None => app,
    }
}

/// Listens on an address.
///
/// # Errors
/// One sentence for an operator: the address is taken, or not ours to have.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|cause| cannot_listen(address, &cause))
}

/// The sentence for an address that cannot be listened on.
pub fn cannot_listen(address: SocketAddr, cause: &io::Error) -> anyhow::Error {
    match cause.kind() {
        io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "{address} is in use by another program; stop that one, or choose another address with --listen \
             or MESSAGING_PORT."
        ),
        _ => anyhow::anyhow!("{address} cannot be listened on: {cause}."),
    }
}

/// Serves operators alone, on an address of their own, until stopped.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    check: Check,
    stop: CancellationToken,
) -> io::Result<()> {
    answer(listener, app(Some(metrics), check), HEADERS, stop).await
}

/// What is read of a body at a time, and the most that a request's headers may take. Left to itself it grows to six
/// times that for a connection that uploads: 64 of them would hold 25 MiB.
const READ_BUFFER: usize = 64 * 1024;
/// How long an operator's request may take to arrive.
const HEADERS: Duration = Duration::from_secs(30);
/// A pause when a connection cannot be taken, for want of file descriptors mostly: trying again at once would only
/// burn a core.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Answers every connection until stopped, then lets those that are in a request finish it.
///
/// A connection that does not send a whole head of a request within `patience` is closed: whoever connects and says
/// nothing would hold it for ever.
///
/// # Errors
/// None so far: what goes wrong concerns one connection.
pub async fn answer(
    listener: TcpListener,
    app: Router,
    patience: Duration,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(READ_BUFFER);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(cause) => {
                tracing::warn!(%cause, "a connection cannot be taken");
                tokio::time::sleep(EXHAUSTED).await;
                continue;
            }
        };
        // Frames are written whole; waiting to fill a segment would only delay them.
        if let Err(cause) = socket.set_nodelay(true) {
            tracing::debug!(%cause, "TCP_NODELAY could not be set");
        }
        let service = TowerToHyperService::new(app.clone());
        let serving = http.serve_connection(TokioIo::new(socket), service).with_upgrades();
        let stop = stop.clone();
        connections.spawn(async move {
            let mut serving = pin!(serving);
            let ended = tokio::select! {
                ended = serving.as_mut() => ended,
                () = stop.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            };
            if let Err(cause) = ended {
                tracing::debug!(%cause, "a connection ended early");
            }
        });
    }
    connections.close();
    connections.wait().await;
    Ok(())
}

async fn ready(check: Check) -> Response {
    let reasons = check().await;
    if reasons.is_empty() {
        return Json(json!({ "status": "ready" })).into_response();
    }
    let body = json!({ "status": "unavailable", "reasons": reasons });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

/// OpenMetrics: Prometheus asks for it by this type.
async fn exposition(metrics: Arc<Metrics>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, TYPE)], text).into_response(),
        Err(cause) => {
            tracing::error!(%cause, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
