//! Access tokens: one is kept, asked for ahead of its end, by one request at a time.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use crate::domain::clock::SharedClock;

use super::answer::Answer;
use super::credentials::ServiceAccount;

/// What is left of a token's life when the next one is asked for. Google's live for an hour; five minutes are
/// room for many attempts.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// A token that is nearly over may be over when it arrives.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);
/// How long a failure stands for those who come after it, so that many who wait do not each ask a server that just
/// failed.
const FAILURE_STANDS: SignedDuration = SignedDuration::from_secs(1);
/// Any token's life is taken to be at most this, whatever its issuer says.
const LONGEST_LIFE: i64 = 24 * 3600;

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {
    /// The issuer knows us and says no, or does not know us.
    Refused(String),
    /// It cannot be asked now.
    Unavailable { after: Option<Duration>, reason: String },
}

/// What stands before `Authorization`'s value.
#[derive(Debug)]
pub struct Token {
    pub bearer: HeaderValue,
    refresh_at: Timestamp,
    over_at: Timestamp,
}

/// The token and how to get one.
pub struct Tokens {
    http: reqwest::Client,
    account: ServiceAccount,
    clock: SharedClock,
    kept: Mutex<Option<Arc<Token>>>,
    /// Held by the one who asks; the last failure and when it was.
    asking: tokio::sync::Mutex<Option<(Timestamp, TokenError)>>,
}

impl Tokens {
    pub fn new(http: reqwest::Client, account: ServiceAccount, clock: SharedClock) -> Self {
        Self { http, account, clock, kept: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// A token that is valid now. Waits only where there is none.
    pub async fn get(&self) -> Result<Arc<Token>, TokenError> {
        let now = self.clock.now();
        let valid = self.kept.lock().clone().filter(|token| now < token.over_at);
        let Some(valid) = valid else {
            let mut failed = self.asking.lock().await;
            return self.ask(&mut failed, |token, now| now < token.over_at).await;
        };
        if now < valid.refresh_at {
            return Ok(valid);
        }
        // One asks ahead of time; all others, and it too if nobody answers, go on with what there is.
        let Ok(mut failed) = self.asking.try_lock() else { return Ok(valid) };
        match self.ask(&mut failed, |token, now| now < token.refresh_at).await {
            Ok(token) => Ok(token),
            Err(error) => {
                tracing::warn!(?error, "the next access token for FCM cannot be had yet");
                Ok(valid)
            }
        }
    }

    /// Drops a token that was refused.
    pub fn forget(&self, token: &Arc<Token>) {
        let mut kept = self.kept.lock();
        if kept.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, token)) {
            *kept = None;
        }
    }

    /// Asks the issuer, unless somebody has just done so.
    async fn ask(
        &self,
        failed: &mut Option<(Timestamp, TokenError)>,
        good: impl Fn(&Token, Timestamp) -> bool,
    ) -> Result<Arc<Token>, TokenError> {
        let now = self.clock.now();
        if let Some(token) = self.kept.lock().clone().filter(|token| good(token, now)) {
            return Ok(token);
        }
        if let Some((at, error)) = failed.as_ref()
            && now.duration_since(*at).abs() < FAILURE_STANDS
        {
            return Err(error.clone());
        }
        match self.exchange(now).await {
            Ok(token) => {
                let token = Arc::new(token);
                *self.kept.lock() = Some(token.clone());
                *failed = None;
                Ok(token)
            }
            Err(error) => {
                *failed = Some((self.clock.now(), error.clone()));
                Err(error)
            }
        }
    }

    /// RFC 7523: an assertion for a token.
    async fn exchange(&self, now: Timestamp) -> Result<Token, TokenError> {
        let assertion =
            self.account.assertion(now).map_err(|error| TokenError::Refused(error.to_string()))?;
        // Everything in it is base64url and dots: nothing to encode.
        let form = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"
        );
        let request = self
            .http
            .post(&self.account.token_url)
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let answer = Answer::to(request, now).await.map_err(|reason| TokenError::Unavailable {
            after: None,
            reason: format!("the token server: {reason}"),
        })?;
        read(&answer, now)
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<i64>,
}

/// RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Denied {
    error: String,
}

fn read(answer: &Answer, now: Timestamp) -> Result<Token, TokenError> {
    let unavailable =
        |reason: String| TokenError::Unavailable { after: answer.retry_after, reason };
    if answer.status == 200 {
        let granted: Granted = serde_json::from_slice(&answer.body)
            .map_err(|_| unavailable("the token server answers nonsense".into()))?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", granted.access_token))
            .map_err(|_| unavailable("the token server's token is none".into()))?;
        bearer.set_sensitive(true);
        let life =
            SignedDuration::from_secs(granted.expires_in.unwrap_or(3600).clamp(0, LONGEST_LIFE));
        // A short one is renewed at half its time.
        let (over_at, refresh_at) =
            (now + (life - MARGIN.min(life / 2)), now + (life - AHEAD.min(life / 2)));
        return Ok(Token { bearer, refresh_at, over_at });
    }
    // A gateway's page is no verdict on us: only the issuer's own words are.
    match serde_json::from_slice::<Denied>(&answer.body) {
        Ok(Denied { error })
            if matches!(answer.status, 400 | 401 | 403) && error != "temporarily_unavailable" =>
        {
            let error: String = error.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
            Err(TokenError::Refused(format!("the token server refuses the credentials ({error})")))
        }
        _ => Err(unavailable(format!("the token server answers {}", answer.status))),
    }
}
