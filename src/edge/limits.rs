//! How fast one user may be.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::domain::clock::SharedClock;
use crate::domain::ids::{ConversationId, UserId};
use crate::wire::error::ApiError;
use crate::wire::frames;

use super::flood::{self, Flood};

/// What a user saves up while quiet, in seconds' worth: apps send in bursts.
const BURST: u32 = 3;
/// How often users who have been quiet are forgotten. The map holds those who asked for something since:
/// with 100 bytes each, 100,000 users of a minute are 10 MB.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Operations a second, 0 for no limit.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub messages_per_second: u32,
    pub signals_per_second: u32,
    pub requests_per_second: u32,
    pub same_text: flood::Settings,
}

type Limiter = RateLimiter<UserId, DashMapStateStore<UserId>, DefaultClock, NoOpMiddleware>;

/// The limits of this node. A user connected to several has each of them: what they protect is a node.
pub struct Limits {
    settings: Settings,
    messages: Option<Limiter>,
    signals: Option<Limiter>,
    requests: Option<Limiter>,
    flood: Flood,
}

impl Limits {
    /// Everybody may ask at once.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            messages: limiter(settings.messages_per_second),
            signals: limiter(settings.signals_per_second),
            requests: limiter(settings.requests_per_second),
            flood: Flood::new(settings.same_text),
        }
    }

    /// Counts a send, an edit, a deletion or a reaction.
    ///
    /// # Errors
    /// `rate_limited`, as the others.
    pub fn message(&self, user: UserId) -> Result<(), ApiError> {
        check(self.messages.as_ref(), user)
    }

    /// Counts a typing signal or a read.
    pub fn signal(&self, user: UserId) -> Result<(), ApiError> {
        check(self.signals.as_ref(), user)
    }

    /// Counts a REST call.
    pub fn request(&self, user: UserId) -> Result<(), ApiError> {
        check(self.requests.as_ref(), user)
    }

    /// Counts the text of a message into a conversation.
    pub fn text(
        &self,
        user: UserId,
        conversation: ConversationId,
        content: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        self.flood.check(user, conversation, content, now)
    }

    /// What a client is told when it connects, so that it can pace itself. 0 is no limit.
    pub fn stated(&self, edge: &super::Settings) -> frames::Limits {
        frames::Limits {
            messages_per_second: self.settings.messages_per_second,
            signals_per_second: self.settings.signals_per_second,
            requests_per_second: self.settings.requests_per_second,
            burst_seconds: BURST,
            connects_per_second: edge.connects_per_second,
            max_connections_per_user: edge.max_connections_per_user,
            max_queued_frames: edge.max_queued_frames,
            max_content_chars: edge.max_content_chars,
            max_frame_bytes: edge.max_frame_bytes,
            max_group_participants: edge.max_group_participants,
            same_text_conversations: self.settings.same_text.conversations,
            same_text_seconds: self.settings.same_text.window.as_secs(),
        }
    }

    /// Forgets users who have been quiet, until cancelled.
    pub async fn forget_the_quiet(&self, clock: &SharedClock, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(FORGET_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.flood.forget(clock.now());
            for limiter in [&self.messages, &self.signals, &self.requests].into_iter().flatten() {
                limiter.retain_recent();
                limiter.shrink_to_fit();
            }
        }
    }
}

fn limiter(per_second: u32) -> Option<Limiter> {
    let per_second = NonZeroU32::new(per_second)?;
    let burst = per_second.saturating_mul(NonZeroU32::new(BURST)?);
    Some(RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)))
}

fn check(limiter: Option<&Limiter>, user: UserId) -> Result<(), ApiError> {
    let Some(limiter) = limiter else { return Ok(()) };
    limiter.check_key(&user).map_err(|until| {
        ApiError::rate_limited(until.wait_time_from(DefaultClock::default().now()))
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::wire::error::Code;

    #[test]
    fn a_burst_passes_and_then_the_user_waits_and_others_do_not() {
        let settings = Settings {
            messages_per_second: 2,
            signals_per_second: 0,
            requests_per_second: 1,
            same_text: flood::Settings { conversations: 0, window: Duration::from_secs(60) },
        };
        let limits = Limits::new(settings);
        let (ada, bayo) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for _ in 0..6 {
            limits.message(ada).expect("within the burst");
        }
        let refusal = limits.message(ada).expect_err("too fast");
        assert_eq!(refusal.code, Code::RateLimited);
        assert!(refusal.retry_after.is_some_and(|wait| wait <= Duration::from_millis(500)));
        limits.message(bayo).expect("another user");
        for _ in 0..1000 {
            limits.signal(ada).expect("0 is no limit");
        }
    }
}
