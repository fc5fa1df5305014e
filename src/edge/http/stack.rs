//! What every request passes, and what answers when no handler does.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::edge::Edge;
use crate::edge::error::PROBLEM_JSON;
use crate::telemetry::trace::{self, TraceParent};
use crate::wire::error::{ApiError, Code};

/// How long a browser may remember what it is allowed to do: the longest that Chromium honours.
const PREFLIGHT_AGE: Duration = Duration::from_secs(7200);

/// The trace that a request belongs to, if anybody wants to follow it.
#[derive(Debug, Clone, Copy)]
pub struct Traced(pub Option<TraceParent>);

/// Measures, and ties the request to the caller's trace.
pub async fn observe(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let began = tokio::time::Instant::now();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let asked = request.headers().get(trace::HEADER).and_then(|value| value.to_str().ok());
    let parent = TraceParent::continue_or_begin(asked, edge.sampler);
    let wanted = asked.is_some() || parent.is_sampled();
    request.extensions_mut().insert(Traced(wanted.then_some(parent)));
    let mut response = next.run(request).await;
    if let Some(code) = response.extensions().get::<Code>() {
        edge.metrics.error(code.as_str());
    }
    let route = matched.as_ref().map_or("unmatched", MatchedPath::as_str);
    edge.metrics.http_request(route, response.status().as_u16(), began.elapsed());
    // Everything here is somebody's own; no cache in between may keep it.
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A panic in a handler is a bug of ours and one client's `internal`, not the end of the connection.
pub async fn catch_panic(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        // The panic hook has logged where and why.
        Err(_) => ApiError::internal().into_response(),
    }
}

/// Checks the token and that its user may take part, then the caller's rate; a profile that is news is stored.
pub async fn authenticate(
    State(edge): State<Arc<Edge>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (caller, stays) = edge.leaving_caller_of(request.headers())?;
    let path = request.extensions().get::<MatchedPath>();
    let is_asked_again = *request.method() == Method::DELETE
        && path.is_some_and(|path| path.as_str() == super::ERASE);
    if !is_asked_again {
        stays.clone()?;
    }
    edge.limits.request(caller.user_id)?;
    // A profile that is being erased is not written again.
    if stays.is_ok()
        && edge.auth.is_news(&caller)
        && edge.arrivals.arrive(caller.arrival()).await.is_some()
    {
        edge.auth.remember(&caller);
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Browsers of these origins may call; `*` is every origin. Tokens travel in a header that a page has to set
/// itself, so that no credentials of the browser are involved.
pub fn cors(origins: &[String]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let headers = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::RANGE,
        HeaderName::from_static("idempotency-key"),
        HeaderName::from_static(trace::HEADER),
    ];
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(AllowMethods::list(methods))
        .allow_headers(AllowHeaders::list(headers))
        .expose_headers([header::RETRY_AFTER, header::CONTENT_RANGE, header::ETAG])
        .max_age(PREFLIGHT_AGE)
}

/// The answer where nothing is.
pub async fn no_such_route() -> ApiError {
    ApiError::new(Code::NotFound, "there is no such route")
}

/// The contract has no code for a wrong method: the request is invalid, and the status says in which way.
pub async fn no_such_method() -> Response {
    let error = ApiError::new(Code::Invalid, "this route does not know this method");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let body = serde_json::to_vec(&error.problem_with(status.as_u16())).unwrap_or_default();
    let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
    response.extensions_mut().insert(Code::Invalid);
    response
}
