//! The one place where failures inside become refusals that clients see. What clients must not know is logged
//! here, once.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::bus::BusError;
use crate::domain::membership::Refused;
use crate::store::StoreError;
use crate::store::conversations::ChangeError;
use crate::wire::error::{ApiError, Code};

/// What a failure of the database means to a client.
pub fn store(error: StoreError) -> ApiError {
    match error {
        StoreError::Unavailable(_) => {
            tracing::warn!(cause = %error, "the database cannot serve a request");
            ApiError::unavailable()
        }
        StoreError::Refused(_) | StoreError::Bug(_) | StoreError::Settings(_) => {
            tracing::error!(cause = %error, "a request failed on the database");
            ApiError::internal()
        }
    }
}

/// What a failure of NATS means to a client.
pub fn bus(error: &BusError) -> ApiError {
    match error {
        BusError::Unavailable(_) | BusError::Overloaded | BusError::EpochChanged { .. } => {
            tracing::warn!(cause = %error, "NATS cannot serve a request");
            ApiError::unavailable()
        }
        BusError::Refused(_) => {
            tracing::error!(cause = %error, "NATS refused a request");
            ApiError::internal()
        }
    }
}

/// What a change that did not happen means to a client.
pub fn change(error: ChangeError) -> ApiError {
    match error {
        ChangeError::Store(error) => store(error),
        ChangeError::Refused(why) => refused(why),
    }
}

/// The rules' answer in the words of the protocol.
pub fn refused(why: Refused) -> ApiError {
    match why {
        Refused::NotAParticipant => ApiError::not_a_participant(),
        Refused::AdminsOnly => {
            ApiError::new(Code::Forbidden, "only admins of the conversation may do this")
        }
        Refused::Direct => {
            ApiError::new(Code::Conflict, "this is not possible in a direct conversation")
        }
        Refused::LastAdmin => {
            ApiError::new(Code::Conflict, "the last admin has to name another one first")
        }
        Refused::TooMany { max } => {
            ApiError::field("userIds", format!("a group has at most {max} participants"))
        }
        Refused::Blocked => super::blocks::out_of_reach(),
        Refused::NoSuchParticipant => {
            ApiError::new(Code::NotFound, "this person is not in the conversation")
        }
        Refused::Banned => ApiError::new(
            Code::Forbidden,
            "somebody who is banned from the conversation does not come in; an admin can lift the ban",
        ),
        Refused::Oneself => {
            ApiError::new(Code::Conflict, "this is for others; to go, leave the conversation")
        }
        Refused::NoSuchRequest => {
            ApiError::new(Code::NotFound, "this person has not asked to join")
        }
        Refused::TooManyRequests { max } => {
            ApiError::new(Code::Conflict, format!("{max} people wait to be let in already"))
        }
        Refused::NoSuchBan => ApiError::new(Code::NotFound, "this person is not banned"),
        Refused::TooManyBans { max } => {
            ApiError::new(Code::Conflict, format!("{max} people are banned already"))
        }
        Refused::NotJoinable => ApiError::new(
            Code::Conflict,
            "only communities can be joined, with approval or without",
        ),
        Refused::Deleted => ApiError::new(Code::Conflict, "the message was deleted"),
        Refused::TooManyPins { max } => {
            ApiError::new(Code::Conflict, format!("{max} messages are pinned already"))
        }
    }
}

/// RFC 9457.
pub(super) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The answer to a request that is refused.
pub fn response(error: &ApiError) -> Response {
    let status =
        StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response_with(error, status)
}

/// The same under another status, for what HTTP can say and the protocol's codes cannot.
pub fn response_with(error: &ApiError, status: StatusCode) -> Response {
    // Text and numbers only: this cannot fail to be JSON.
    let body = serde_json::to_vec(&error.problem_with(status.as_u16())).unwrap_or_default();
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    if let Some(wait) = error.retry_after {
        // Whole seconds, and never 0: "at once" is what the client just tried.
        let seconds = wait.as_millis().div_ceil(1000).max(1) as u64;
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if error.code == Code::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    // For the metrics, which count refusals by code.
    response.extensions_mut().insert(error.code);
    response
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        response(&self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_refusal_is_a_problem_that_says_when_to_come_back() {
        let response = ApiError::rate_limited(Duration::from_millis(1200)).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
