//! What the service says about itself: `/openapi.json`, `/asyncapi.json` and `/docs`, without a token.
//!
//! Everything is written once, when the router is made, and answered from memory.

mod asyncapi;
mod events;
mod openapi;
mod pages;
pub mod responses;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use serde_json::Value;

use crate::edge::Edge;

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
/// Documents change with a release: five minutes are forgiving to a proxy, and the tag spares the rest.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// Pages get everything from here. Swagger UI styles its elements one by one and draws icons from data.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The documents' routes. `routes` is what the router has collected.
pub fn routes(routes: utoipa::openapi::OpenApi) -> Router<Arc<Edge>> {
    let openapi = openapi::document(routes);
    let asyncapi = asyncapi::document();
    let ui = Router::new()
        .route("/docs/rest", get(|| async { Redirect::permanent("/docs/rest/") }))
        .route("/docs/rest/", get(|headers: HeaderMap| async move { pages::ui("", &headers) }))
        .route("/docs/rest/{file}", get(pages::ui_file));
    Router::new()
        .merge(ui)
        .route("/openapi.json", served(JSON, json(&openapi)))
        .route("/asyncapi.json", served(JSON, json(&asyncapi)))
        .route("/docs/events", served(HTML, events::page(&asyncapi)))
        .route("/docs", served(HTML, pages::index()))
}

fn json(document: &Value) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

fn served(kind: &'static str, body: Vec<u8>) -> axum::routing::MethodRouter<Arc<Edge>> {
    let file = File::new(kind, body.into());
    get(move |headers: HeaderMap| async move { file.answer(&headers) })
}

/// Something that stays as it is for as long as the process lives.
#[derive(Clone)]
struct File {
    kind: HeaderValue,
    body: Bytes,
    tag: HeaderValue,
}

impl File {
    fn new(kind: &str, body: Bytes) -> Self {
        // A version 5 UUID is a hash of the content.
        let tag = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &body).simple();
        let text = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
        Self { kind: text(kind), body, tag: text(&format!("\"{tag}\"")) }
    }

    /// The file, unless the asker has it (RFC 9110, section 13.1.2).
    fn answer(&self, asked: &HeaderMap) -> Response {
        let known = asked.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let tag = self.tag.to_str().unwrap_or_default();
        let is_known = known.is_some_and(|tags| {
            tags.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
        });
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, self.kind.clone())], self.body.clone()).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.tag.clone());
        headers.insert(header::CACHE_CONTROL, CACHED);
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_document_does_not_get_it_again() {
        let file = File::new(JSON, Bytes::from_static(b"{}"));
        let mut headers = HeaderMap::new();
        assert_eq!(file.answer(&headers).status(), 200);
        let tags = format!("\"other\", W/{}", file.tag.to_str().expect("text"));
        headers.insert(header::IF_NONE_MATCH, tags.parse().expect("a value"));
        assert_eq!(file.answer(&headers).status(), 304);
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        assert_eq!(file.answer(&headers).status(), 200);
    }
}
