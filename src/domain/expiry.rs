//! Messages that vanish by themselves.

use std::time::Duration;

use jiff::Timestamp;

/// The longest life of a message that vanishes: as long as the log keeps anything.
pub const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// How much longer than the message itself its event may stay in the log.
///
/// Usually the event is erased with the message. This is for a persister that is away: it must find the event when it
/// comes back, or history would lack the tombstone and those who had the message would never be told. A day is longer
/// than any outage that goes unnoticed; after it the log drops the event even if nothing else runs.
pub const GRACE: Duration = Duration::from_secs(24 * 3600);

/// How long the log keeps an event with the content of a message that vanishes at `expires_at`.
pub fn log_ttl(expires_at: Timestamp, now: Timestamp) -> Duration {
    let left = expires_at.duration_since(now);
    Duration::try_from(left).unwrap_or_default() + GRACE
}

/// Has a message vanished by `now`?
pub fn is_over(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn the_log_keeps_an_event_a_day_longer_than_the_message() {
        assert_eq!(log_ttl(at(110), at(100)), Duration::from_secs(10) + GRACE);
        assert_eq!(log_ttl(at(90), at(100)), GRACE, "it is over already");
    }

    #[test]
    fn it_is_over_at_its_time_and_without_one_never() {
        assert!(is_over(Some(at(100)), at(100)));
        assert!(!is_over(Some(at(101)), at(100)));
        assert!(!is_over(None, at(100)));
    }
}
