//! Messages that are sent later.

use std::time::Duration;

use jiff::Timestamp;

/// The furthest that a message may be put off. Past a season, whoever wrote it has forgotten it.
pub const MAX_AHEAD: Duration = Duration::from_secs(90 * 24 * 3600);

/// A time that lies no further back than this is now: clocks of phones differ, and a request takes its time.
pub const LATE: Duration = Duration::from_secs(30);

/// Scheduled messages of one user, those included that could not be sent. With 70 KB each at most, 7 MB.
pub const MAX_SCHEDULED: u32 = 100;

/// What becomes of a message with a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Now,
    At(Timestamp),
}

/// Why a time is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeRefused {
    Past,
    TooFar,
}

/// When to send what should be sent at `at`.
///
/// # Errors
/// When that has passed, or is too far away.
pub fn when(at: Timestamp, now: Timestamp) -> Result<When, TimeRefused> {
    if at <= now {
        let late = now.duration_since(at).unsigned_abs();
        return if late <= LATE { Ok(When::Now) } else { Err(TimeRefused::Past) };
    }
    let ahead = at.duration_since(now).unsigned_abs();
    if ahead <= MAX_AHEAD { Ok(When::At(at)) } else { Err(TimeRefused::TooFar) }
}

/// How far a scheduled message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It can be cancelled.
    Waiting,
    /// Its time has come.
    Sending,
    /// Its sender was no longer a participant then, or the log's reader refused it.
    Failed,
    Cancelled,
}

impl State {
    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Sending, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_has_just_passed_is_now_and_others_have_to_lie_ahead() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let now = at(1_000_000);
        assert_eq!(when(at(1_000_001), now), Ok(When::At(at(1_000_001))));
        assert_eq!(when(now, now), Ok(When::Now));
        assert_eq!(when(at(999_970), now), Ok(When::Now));
        assert_eq!(when(at(999_969), now), Err(TimeRefused::Past));
        assert_eq!(when(at(1_000_000 + 7_776_000), now), Ok(When::At(at(8_776_000))));
        assert_eq!(when(at(1_000_001 + 7_776_000), now), Err(TimeRefused::TooFar));
        assert_eq!(when(Timestamp::MAX, now), Err(TimeRefused::TooFar));
        assert_eq!(when(Timestamp::MIN, now), Err(TimeRefused::Past));
    }
}
