//! What the fake serves: Google's own routes, and `/fake` for tests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::account::PROJECT;
use super::behaviour::{Behaviour, invalid, refusal};
use super::state::{Counts, Fake, Received, check};

/// What FCM takes of a message.
const MAX_MESSAGE_BYTES: usize = 4096;
/// The longest that `/fake/pushes` waits for messages.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub fn app(fake: Arc<Fake>) -> Router {
    Router::new()
        .route("/token", post(token))
        .route("/v1/projects/{project}/messages:send", post(send))
        .route("/fake/pushes", get(pushes).delete(forget))
        .route("/fake/counts", get(counts))
        .route("/fake/behaviour", put(behave))
        .route("/fake/tokens", put(tokens))
        .with_state(fake)
}

#[derive(Deserialize)]
struct TokenRequest {
    grant_type: String,
    assertion: String,
}

async fn token(State(fake): State<Arc<Fake>>, Form(request): Form<TokenRequest>) -> Response {
    let denied = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error })));
    if request.grant_type != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
        return denied("unsupported_grant_type").into_response();
    }
    if fake.issuing().down {
        fake.issue(Instant::now());
        return (StatusCode::BAD_GATEWAY, "<html>Bad gateway").into_response();
    }
    let issued = fake
        .account
        .accepts(&request.assertion, &fake.token_url)
        .then(|| fake.issue(Instant::now()))
        .flatten();
    match issued {
        Some((token, life)) => {
            let life = life.as_secs();
            Json(json!({"access_token": token, "expires_in": life, "token_type": "Bearer"}))
                .into_response()
        }
        None => denied("invalid_grant").into_response(),
    }
}

#[derive(Deserialize)]
struct SendRequest {
    message: Box<RawValue>,
}

async fn send(
    State(fake): State<Arc<Fake>>,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    if !bearer.is_some_and(|token| fake.is_issued(token, Instant::now())) {
        return refusal(401, "UNAUTHENTICATED", None, None);
    }
    if project != PROJECT {
        return refusal(404, "NOT_FOUND", None, None);
    }
    let Ok(SendRequest { message }) = serde_json::from_str(&body) else {
        return invalid("message");
    };
    let read: Value = serde_json::from_str(message.get()).unwrap_or_default();
    if let Err(field) = check(&read) {
        return invalid(field);
    }
    let token = read["token"].as_str().unwrap_or_default();
    if message.get().len() - token.len() > MAX_MESSAGE_BYTES {
        return refusal(400, "INVALID_ARGUMENT", None, None);
    }
    let (behaviour, number) = fake.receive(token, message, Instant::now());
    let _under_way = UnderWay(fake);
    behaviour.answer(&project, number).await
}

/// Counted until it is answered, or until whoever asked has hung up.
struct UnderWay(Arc<Fake>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// `?atLeast=3&withinMs=5000` waits for that many messages to have come since the start.
async fn pushes(
    State(fake): State<Arc<Fake>>,
    Query(query): Query<HashMap<String, u64>>,
) -> Json<Vec<Received>> {
    let of = |name: &str| query.get(name).copied().unwrap_or_default();
    let patience = Duration::from_millis(of("withinMs")).min(LONGEST_WAIT);
    Json(fake.received(of("atLeast"), patience).await)
}

async fn forget(State(fake): State<Arc<Fake>>) -> StatusCode {
    fake.forget();
    StatusCode::NO_CONTENT
}

async fn counts(State(fake): State<Arc<Fake>>) -> Json<Counts> {
    Json(fake.counts())
}

/// `{"token": "…"?, "times": 2?, "behaviour": {"kind": "…"}}`
#[derive(Deserialize)]
struct Behave {
    token: Option<String>,
    times: Option<u64>,
    behaviour: Behaviour,
}

async fn behave(State(fake): State<Arc<Fake>>, Json(order): Json<Behave>) -> StatusCode {
    fake.behave(order.token, order.behaviour, order.times);
    StatusCode::NO_CONTENT
}

/// `{"refuse": true?, "down": true?, "lifeSeconds": 60?, "revoke": true?}`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    refuse: Option<bool>,
    down: Option<bool>,
    life_seconds: Option<u64>,
    #[serde(default)]
    revoke: bool,
}

async fn tokens(State(fake): State<Arc<Fake>>, Json(order): Json<Tokens>) -> StatusCode {
    fake.set_issuing(|issuing| {
        issuing.refuse = order.refuse.unwrap_or(issuing.refuse);
        issuing.down = order.down.unwrap_or(issuing.down);
        issuing.life = order.life_seconds.map_or(issuing.life, Duration::from_secs);
    });
    if order.revoke {
        fake.revoke_all();
    }
    StatusCode::NO_CONTENT
}
