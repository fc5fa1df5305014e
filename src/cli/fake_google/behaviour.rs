//! How the fake answers: as it should, or in one of the ways in which the real one or what stands before it has been
//! seen to fail.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};

/// `{"kind": "quota", "retryAfter": "2"}` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Behaviour {
    /// Accepts.
    Ok,
    /// Accepts after that time.
    Delay { ms: u64 },
    /// Accepts, and the answer gets lost.
    Lost,
    /// The app was uninstalled.
    Unregistered,
    /// The token never was one.
    InvalidToken,
    /// The message is not one that FCM takes.
    InvalidMessage,
    /// Of another project.
    SenderIdMismatch,
    /// Apple's or the browsers' key is missing.
    ThirdPartyAuth,
    /// Too many.
    Quota { retry_after: Option<String> },
    /// Any other status, with JSON.
    Status { status: u16, retry_after: Option<String> },
    /// The access token is refused.
    Unauthenticated,
    /// The account may not send.
    Forbidden,
    /// Says nothing for longer than anybody waits.
    Hang,
    /// A gateway's page, with 200.
    Page,
    /// JSON that is no answer, with 200.
    Garbage,
    /// An answer without an end.
    Endless,
}

/// Longer than any timeout under test, and an end nevertheless.
const LONG: Duration = Duration::from_secs(120);

impl Behaviour {
    /// Whether a device would get to see the message.
    pub fn delivers(&self) -> bool {
        matches!(self, Self::Ok | Self::Delay { .. } | Self::Lost)
    }

    /// The answer to the message of that number.
    pub async fn answer(&self, project: &str, number: u64) -> Response {
        let accepted = || {
            let name = format!("projects/{project}/messages/{number}");
            (StatusCode::OK, axum::Json(json!({ "name": name }))).into_response()
        };
        match self {
            Self::Ok => accepted(),
            Self::Delay { ms } => {
                tokio::time::sleep(Duration::from_millis(*ms)).await;
                accepted()
            }
            Self::Hang => {
                tokio::time::sleep(LONG).await;
                accepted()
            }
            Self::Lost => broken(),
            Self::Endless => endless(),
            Self::Page => "<!DOCTYPE html><title>Sign in to the network</title>".into_response(),
            Self::Garbage => axum::Json(json!({"hello": "world"})).into_response(),
            Self::Unauthenticated => refusal(401, "UNAUTHENTICATED", None, None),
            Self::Forbidden => refusal(403, "PERMISSION_DENIED", None, None),
            Self::Unregistered => refusal(404, "NOT_FOUND", Some("UNREGISTERED"), None),
            Self::InvalidToken => invalid("message.token"),
            Self::InvalidMessage => invalid("message.data[0].value"),
            Self::SenderIdMismatch => {
                refusal(403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), None)
            }
            Self::ThirdPartyAuth => {
                refusal(401, "UNAUTHENTICATED", Some("THIRD_PARTY_AUTH_ERROR"), None)
            }
            Self::Quota { retry_after } => {
                refusal(429, "RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), retry_after.as_deref())
            }
            Self::Status { status, retry_after } => {
                refusal(*status, "INTERNAL", None, retry_after.as_deref())
            }
        }
    }
}

/// An error in FCM's form; `code` is FCM's own.
pub fn refusal(status: u16, name: &str, code: Option<&str>, retry_after: Option<&str>) -> Response {
    let details: Vec<Value> = code.into_iter().map(fcm_detail).collect();
    problem(status, name, &details, retry_after)
}

/// A field that FCM does not take.
pub fn invalid(field: &str) -> Response {
    let violation = json!({
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": field, "description": "not valid"}],
    });
    problem(400, "INVALID_ARGUMENT", &[fcm_detail("INVALID_ARGUMENT"), violation], None)
}

fn fcm_detail(code: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
}

fn problem(status: u16, name: &str, details: &[Value], retry_after: Option<&str>) -> Response {
    let error =
        json!({"code": status, "message": "as ordered", "status": name, "details": details});
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(json!({ "error": error }))).into_response();
    if let Some(wait) = retry_after.and_then(|text| text.parse().ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response
}

/// A connection that breaks in the middle of the answer.
fn broken() -> Response {
    let cut = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let chunks = [Ok(Bytes::from_static(b"{\"na")), Err(cut)];
    Response::new(Body::from_stream(stream::iter(chunks)))
}

fn endless() -> Response {
    let chunk = Bytes::from(vec![b' '; 16 * 1024]);
    Response::new(Body::from_stream(stream::repeat_with(move || {
        Ok::<_, std::io::Error>(chunk.clone())
    })))
}
