//! What operators ask any process, without a token: is it alive, is it ready, how is it doing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::metrics::Metrics;

/// Finds out why a process is not ready; nothing means that it is. It bounds its own time.
pub type Check =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<&'static str>> + Send>> + Send + Sync>;

/// `/healthz`, `/readyz` and `/metrics`.
pub fn app(metrics: Arc<Metrics>, check: Check) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "alive" })) }))
        .route("/readyz", get(move || ready(check.clone())))
        .route("/metrics", get(move || exposition(metrics.clone())))
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
