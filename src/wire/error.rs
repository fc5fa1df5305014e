//! Codes are part of the protocol: each says what happened and whether to come back.

use std::borrow::Cow;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::names;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// No token, a bad signature, or an expired one. Come back with a new token.
    Unauthenticated,
    /// The role is too low, or the other side has blocked.
    Forbidden,
    /// The conversation is not the user's; also when it does not exist, so that ids cannot be probed.
    NotAParticipant,
    /// Not there for this user.
    NotFound,
    /// The state does not allow it: editing a tombstone, the last admin leaving.
    Conflict,
    /// Validation; `errors` names each field.
    Invalid,
    /// A body, frame or file over its limit.
    PayloadTooLarge,
    /// A file type that is not allowed or not what it claims to be.
    UnsupportedMedia,
    /// Too fast; come back after `Retry-After`.
    RateLimited,
    /// NATS or Postgres cannot be reached now; retry with the same `clientMessageId`.
    Unavailable,
    /// A bug; details only in the log.
    Internal,
}

impl Code {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotAParticipant => "not_a_participant",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMedia => "unsupported_media",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Unauthenticated => 401,
            Self::Forbidden | Self::NotAParticipant => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Invalid => 400,
            Self::PayloadTooLarge => 413,
            Self::UnsupportedMedia => 415,
            Self::RateLimited => 429,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }

    /// A short title for people, the same for every occurrence (RFC 9457, section 3.1.3).
    pub fn title(self) -> &'static str {
        match self {
            Self::Unauthenticated => "Authentication needed",
            Self::Forbidden => "Not allowed",
            Self::NotAParticipant => "Not a participant of this conversation",
            Self::NotFound => "Not found",
            Self::Conflict => "Not possible in this state",
            Self::Invalid => "Invalid request",
            Self::PayloadTooLarge => "Too large",
            Self::UnsupportedMedia => "Media type not supported",
            Self::RateLimited => "Too many requests",
            Self::Unavailable => "Temporarily unavailable",
            Self::Internal => "Internal error",
        }
    }
}

/// One field and what is wrong with it.
/// `field` is a path into the request, such as `metadata.location.latitude`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FieldError {
    pub field: Cow<'static, str>,
    pub message: Cow<'static, str>,
}

/// A refusal as clients see it. It never carries SQL, subjects, paths or another user's data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct ApiError {
    pub code: Code,
    /// A sentence for the developer of the client.
    pub detail: Cow<'static, str>,
    pub errors: Vec<FieldError>,
    /// For [`Code::RateLimited`] and [`Code::Unavailable`].
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// A refusal, with a sentence about this case.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// One field is wrong.
    pub fn field(
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut problems = FieldErrors::default();
        problems.push(field, message);
        problems.into_error()
    }

    /// The conversation is not the asker's, or is none: the answer is the same.
    pub fn not_a_participant() -> Self {
        Self::new(Code::NotAParticipant, "you are not a participant of this conversation")
    }

    /// There is no such message for the asker.
    pub fn message_not_found() -> Self {
        Self::new(Code::NotFound, "there is no such message for you")
    }

    /// Storage cannot be reached; the same request may be repeated.
    pub fn unavailable() -> Self {
        let mut error = Self::new(
            Code::Unavailable,
            "the service cannot reach its storage now; retry with the same clientMessageId",
        );
        error.retry_after = Some(Duration::from_secs(1));
        error
    }

    /// A bug of ours. What it is stands in the log alone.
    pub fn internal() -> Self {
        Self::new(Code::Internal, "something went wrong here; it has been logged")
    }

    /// Too fast: again after `retry_after`.
    pub fn rate_limited(retry_after: Duration) -> Self {
        let mut error = Self::new(Code::RateLimited, "too many requests; slow down");
        error.retry_after = Some(retry_after);
        error
    }

    /// As [`Self::rate_limited`], with what else is to be said.
    pub fn too_soon(detail: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        let mut error = Self::new(Code::RateLimited, detail);
        error.retry_after = Some(retry_after);
        error
    }

    /// The body of an `application/problem+json` answer (RFC 9457), under the code's own status or one that says in HTTP
    /// what the protocol's codes cannot.
    pub fn problem_with(&self, status: u16) -> Problem<'_> {
        Problem {
            kind: format!("urn:mecabal:messaging:{}", self.code.as_str()),
            title: self.code.title(),
            status,
            code: self.code.as_str(),
            detail: &self.detail,
            errors: &self.errors,
        }
    }

    /// The `error` of a WebSocket reply.
    pub fn frame(&self) -> FrameError<'_> {
        FrameError { code: self.code.as_str(), message: &self.detail, errors: &self.errors }
    }
}

/// Collects what is wrong, field by field, so that a client learns everything at once.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    pub fn push(
        &mut self,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    /// Is nothing wrong so far?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Ok` if nothing was wrong.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(self.into_error()) }
    }

    fn into_error(self) -> ApiError {
        let mut error = ApiError::new(Code::Invalid, "the request is not valid");
        if let [only] = self.0.as_slice() {
            error.detail = format!("{} {}", only.field, only.message).into();
        }
        error.errors = self.0;
        error
    }
}

/// A refusal over REST: a problem as in RFC 9457.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    #[schemars(with = "names::Code")]
    code: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

/// A refusal over a socket.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FrameError<'a> {
    #[schemars(with = "names::Code")]
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

/// Why the server closes a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// A frame that is not of the protocol. Come back after fixing it.
    Malformed,
    /// The token is missing, invalid or expired. Come back with a new one.
    Unauthenticated,
    /// Revoked by an operator. Do not come back.
    Revoked,
    /// No sign of life for two heartbeats. Come back.
    HeartbeatMissed,
    /// The outbound queue was full. Come back with the cursor: nothing is lost.
    TooSlow,
    /// A frame over the limit. Come back.
    FrameTooLarge,
    /// Too many connections or requests. Come back after a while.
    TooMany,
    /// The node is draining or a dependency is down. Come back after the delay.
    Draining,
}

impl CloseCode {
    /// All of them, for those who describe them.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::Revoked,
        Self::HeartbeatMissed,
        Self::TooSlow,
        Self::FrameTooLarge,
        Self::TooMany,
        Self::Draining,
    ];

    /// The WebSocket close code, in the private range (RFC 6455, section 7.4.2).
    pub fn code(self) -> u16 {
        match self {
            Self::Malformed => 4400,
            Self::Unauthenticated => 4401,
            Self::Revoked => 4403,
            Self::HeartbeatMissed => 4408,
            Self::TooSlow => 4409,
            Self::FrameTooLarge => 4413,
            Self::TooMany => 4429,
            Self::Draining => 4503,
        }
    }

    /// What a client does about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Malformed => "come back after fixing the frame",
            Self::Unauthenticated => "come back with a new token",
            Self::Revoked => "do not come back",
            Self::HeartbeatMissed | Self::FrameTooLarge => "come back",
            Self::TooSlow => "come back with the cursor: nothing is lost",
            Self::TooMany => "come back after a while",
            Self::Draining => "come back after the delay that `reconnect` named, or a moment",
        }
    }

    /// For people who read a client's log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed frame",
            Self::Unauthenticated => "token missing, invalid or expired",
            Self::Revoked => "revoked",
            Self::HeartbeatMissed => "heartbeat missed",
            Self::TooSlow => "too slow a reader",
            Self::FrameTooLarge => "frame too large",
            Self::TooMany => "too many connections or requests",
            Self::Draining => "going away",
        }
    }
}
