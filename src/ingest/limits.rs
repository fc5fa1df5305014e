//! How fast one service may ask.

use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::wire::error::ApiError;

/// What a service saves up while quiet, in seconds' worth.
const BURST: u32 = 3;
/// Services that are remembered before the quiet ones are forgotten. Their names are those that the server lets
/// through: as many as it has users.
const MANY: usize = 1_024;

type Limiter = RateLimiter<String, DashMapStateStore<String>, DefaultClock, NoOpMiddleware>;

/// Requests of one service to this process. What it publishes is not limited: that waits in its queue.
pub struct Limits(Option<Limiter>);

impl Limits {
    /// Requests a second, 0 for no limit.
    pub fn new(per_second: u32) -> Self {
        let quota = |per_second: NonZeroU32| {
            let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1));
            Quota::per_second(per_second).allow_burst(burst)
        };
        Self(NonZeroU32::new(per_second).map(|n| RateLimiter::keyed(quota(n))))
    }

    /// Counts a request.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn request(&self, service: &str) -> Result<(), ApiError> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        if limiter.len() > MANY {
            limiter.retain_recent();
        }
        limiter.check_key(&service.to_owned()).map_err(|until| {
            ApiError::rate_limited(until.wait_time_from(DefaultClock::default().now()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_service_waits_and_others_do_not() {
        let limits = Limits::new(1);
        for _ in 0..3 {
            limits.request("events").expect("within the burst");
        }
        assert!(limits.request("events").is_err());
        limits.request("orders").expect("another service");
        let off = Limits::new(0);
        for _ in 0..1_000 {
            off.request("events").expect("no limit");
        }
    }
}
