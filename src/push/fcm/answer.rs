//! What Google answers, and what it means.

use std::error::Error as _;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;

use ::fcm::{ErrorCode, FcmError};

use super::Outcome;

/// What is read of an answer. An error takes a kilobyte; what goes on for ever is cut here.
const MAX_ANSWER: usize = 64 * 1024;
/// The longest that is waited because somebody said so. A day's `Retry-After` would be a day without notifications
/// for the sake of a misconfigured proxy.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// An answer, read up to a bound.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// In words, when there was none in the client's time. Whether the request arrived is then unknown.
    pub async fn to(request: reqwest::RequestBuilder, now: Timestamp) -> Result<Self, String> {
        let mut response = request.send().await.map_err(|error| words(&error))?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers(), now);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| words(&error))? {
            let left = MAX_ANSWER - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(left)]);
            if body.len() == MAX_ANSWER {
                // The connection is dropped with the rest.
                break;
            }
        }
        Ok(Self { status, retry_after, body })
    }

    /// What it means for the notification.
    pub fn outcome(&self) -> Outcome {
        match self.status {
            200 => self.accepted(),
            _ => match serde_json::from_slice::<Refusal>(&self.body) {
                Ok(Refusal { error }) => self.refused(&error),
                // A proxy, a gateway, or an address that is not FCM's.
                Err(_) => self.not_fcm(),
            },
        }
    }

    fn accepted(&self) -> Outcome {
        #[derive(Deserialize)]
        struct Accepted {
            name: String,
        }
        match serde_json::from_slice::<Accepted>(&self.body) {
            Ok(Accepted { name }) if !name.is_empty() => Outcome::Sent,
            _ => self.retry("FCM answers 200 with nonsense"),
        }
    }

    /// See <https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode> for what each code means.
    fn refused(&self, error: &FcmError) -> Outcome {
        let reason = reason(self.status, error);
        match error.error_code() {
            Some(ErrorCode::Unregistered) => Outcome::TokenGone,
            // One code for a token that never was one and for a message of ours that is wrong. Google's guide to
            // managing tokens says to delete on it only if the payload is known to be valid; so the token goes where
            // the answer names it.
            Some(ErrorCode::InvalidArgument) if names_the_token(error) => Outcome::TokenGone,
            Some(ErrorCode::InvalidArgument) => Outcome::Rejected { reason },
            // The token belongs to another Firebase project. Anybody can register such a token: it must not stop the
            // others' notifications. Nor is it deleted: with a wrong project configured, all of them would be.
            Some(ErrorCode::SenderIdMismatch) => Outcome::Rejected { reason },
            // What Google needs for Apple or for browsers is missing or has expired in the Firebase console. Android is
            // not concerned, and once it is mended the same request succeeds.
            Some(ErrorCode::ThirdPartyAuthError) => self.retry(&reason),
            Some(ErrorCode::QuotaExceeded | ErrorCode::Unavailable | ErrorCode::Internal) => {
                self.retry(&reason)
            }
            _ => self.by_status(&reason, error),
        }
    }

    /// Where FCM gives no code of its own, or one that nobody has heard of.
    fn by_status(&self, reason: &str, error: &FcmError) -> Outcome {
        let reason = reason.to_owned();
        match self.status {
            400 if names_the_token(error) => Outcome::TokenGone,
            401 | 403 => Outcome::Credentials { reason },
            // No word about the token: it is the project that is not there.
            404 => Outcome::Credentials { reason },
            408 | 425 | 429 => self.retry(&reason),
            400..=499 => Outcome::Rejected { reason },
            _ => self.retry(&reason),
        }
    }

    fn not_fcm(&self) -> Outcome {
        let reason = format!("the answer is {} and not FCM's", self.status);
        match self.status {
            // Google's front end answers these without JSON to a token that is none.
            401 | 403 => Outcome::Credentials { reason },
            _ => self.retry(&reason),
        }
    }

    fn retry(&self, reason: &str) -> Outcome {
        Outcome::Retry { after: self.retry_after, reason: reason.to_owned() }
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: FcmError,
}

/// Status and codes; Google's own sentence could quote the token.
fn reason(status: u16, error: &FcmError) -> String {
    let code = error.raw_error_code().unwrap_or(&error.status);
    let code: String = code.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    format!("FCM answers {status} {code}")
}

/// Is it the token that was not valid? Either a field violation names it, or the sentence does.
fn names_the_token(error: &FcmError) -> bool {
    let violations =
        error.details.iter().filter_map(|detail| detail.get("fieldViolations")?.as_array());
    let mut fields =
        violations.flatten().filter_map(|violation| violation.get("field").and_then(Value::as_str));
    match fields.next() {
        Some(first) => std::iter::once(first).chain(fields).any(|field| field == "message.token"),
        None => error.message.contains("registration token"),
    }
}

/// Seconds or a date (RFC 9110, section 10.2.3), bounded.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            // A date that has passed is now.
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

/// What went wrong on the way, without the address, which may carry a name and a password.
fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut text =
        if error.is_connect() { "no connection" } else { "the connection broke" }.to_owned();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            text = format!("{text}: {}", io.kind());
            break;
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
