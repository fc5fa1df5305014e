//! Firebase Cloud Messaging, HTTP v1.
//!
//! The POST is our own: the address can be set, `Retry-After` is seen, and what the other side answers is read up to a
//! bound. The types and error codes are those of the crate `fcm`, which sends to one fixed address and keeps an
//! answer's headers to itself.

pub mod answer;
pub mod credentials;
pub mod payload;
mod tokens;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};

use crate::domain::clock::SharedClock;
use crate::domain::device::Device;

use super::notification::Notification;
use answer::Answer;
use credentials::ServiceAccount;
use payload::Look;
use tokens::{TokenError, Tokens};

/// What became of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// FCM has it.
    Sent,
    /// There is no such device any more; its token should be forgotten.
    TokenGone,
    /// Later it may succeed, and not before `after` if that is given. It may have been sent nevertheless: an answer
    /// can be lost.
    Retry { after: Option<Duration>, reason: String },
    /// This notification can never be sent to this device.
    Rejected { reason: String },
    /// We are not who we say, or may not send. No other notification will succeed either.
    Credentials { reason: String },
}

/// How FCM is reached and what notifications look like.
#[derive(Debug, Clone)]
pub struct Settings {
    pub account: ServiceAccount,
    /// Without a path: `https://fcm.googleapis.com`.
    pub url: String,
    /// For one request, from the connection to the last byte of the answer.
    pub request_timeout: Duration,
    pub look: Look,
    /// Requests under way at a time, so many connections are kept at most.
    pub concurrency: usize,
}

/// Why nothing can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum FcmError {
    #[error("the FCM client cannot be built: {0}")]
    Client(#[source] reqwest::Error),
}

/// A client with its connections and its access token.
pub struct Fcm {
    http: reqwest::Client,
    url: String,
    tokens: Tokens,
    look: Look,
    clock: SharedClock,
}

impl Fcm {
    /// Talks to nobody yet.
    ///
    /// # Errors
    /// When the system's certificates or TLS cannot be used.
    pub fn new(settings: Settings, clock: SharedClock) -> Result<Self, FcmError> {
        let Settings { account, url, request_timeout, look, concurrency } = settings;
        let http = reqwest::Client::builder()
            .timeout(request_timeout)
            .connect_timeout(request_timeout)
            // Who answers with another address is not who was configured, and would be shown our token.
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(concurrency)
            // Google closes idle connections after some minutes; one of ours should not be met half closed.
            .pool_idle_timeout(Duration::from_secs(60))
            .build()
            .map_err(FcmError::Client)?;
        let url = format!(
            "{}/v1/projects/{}/messages:send",
            url.trim_end_matches('/'),
            account.project_id
        );
        let tokens = Tokens::new(http.clone(), account, clock.clone());
        Ok(Self { http, url, tokens, look, clock })
    }

    /// Sends a notification to a device, and says what became of it. Takes two request timeouts at most: one for an
    /// access token where there is none.
    pub async fn send(&self, device: &Device, notification: &Notification) -> Outcome {
        let body = match payload::body(&self.look, device, notification, self.clock.now()) {
            Ok(body) => body,
            Err(error) => return Outcome::Rejected { reason: error.to_string() },
        };
        let token = match self.tokens.get().await {
            Ok(token) => token,
            Err(error) => return not_admitted(error),
        };
        let outcome = self.post(&token.bearer, body).await;
        if matches!(outcome, Outcome::Credentials { .. }) {
            // The token may have been revoked before its time; the next request asks for a new one.
            self.tokens.forget(&token);
        }
        outcome
    }

    /// Can an access token be had? Answers what a notification would be answered without one.
    ///
    /// # Errors
    /// The outcome of sending anything now.
    pub async fn check(&self) -> Result<(), Outcome> {
        self.tokens.get().await.map(drop).map_err(not_admitted)
    }

    async fn post(&self, bearer: &HeaderValue, body: Vec<u8>) -> Outcome {
        let request = self
            .http
            .post(&self.url)
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body);
        match Answer::to(request, self.clock.now()).await {
            Ok(answer) => answer.outcome(),
            Err(reason) => Outcome::Retry { after: None, reason },
        }
    }
}

fn not_admitted(error: TokenError) -> Outcome {
    match error {
        TokenError::Refused(reason) => Outcome::Credentials { reason },
        TokenError::Unavailable { after, reason } => Outcome::Retry { after, reason },
    }
}

#[cfg(test)]
mod tests;
