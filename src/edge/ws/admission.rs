//! How many new connections a node takes in a second.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::Semaphore;

use crate::wire::error::ApiError;

/// The longest that a new connection waits for its turn: a client would give up soon after.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets new connections in at a steady rate.
pub struct Gate {
    limiter: Option<DefaultDirectRateLimiter>,
    /// Those who wait. More than the rate admits within the patience would wait in vain.
    waiting: Semaphore,
}

impl Gate {
    /// At most `per_second`, 0 for any number.
    pub fn new(per_second: u32) -> Self {
        let limiter =
            NonZeroU32::new(per_second).map(|rate| RateLimiter::direct(Quota::per_second(rate)));
        let waiting =
            usize::try_from(per_second).unwrap_or(usize::MAX) * PATIENCE.as_secs() as usize;
        Self { limiter, waiting: Semaphore::new(waiting.min(Semaphore::MAX_PERMITS)) }
    }

    /// Waits for its turn.
    ///
    /// # Errors
    /// `rate_limited` when the turn does not come soon enough.
    pub async fn pass(&self) -> Result<(), ApiError> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if limiter.check().is_ok() {
            return Ok(());
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(ApiError::rate_limited(PATIENCE));
        };
        tokio::time::timeout(PATIENCE, limiter.until_ready())
            .await
            .map_err(|_| ApiError::rate_limited(PATIENCE))
    }
}
