//! Who may write in a conversation, and how often.

use std::time::Duration;

use jiff::Timestamp;

use super::conversation::Role;

/// Longest slow mode: a message each six hours.
pub const MAX_SLOW_MODE_SECONDS: u32 = 6 * 3600;

/// Who writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum PostingPolicy {
    #[default]
    Everyone,
    /// Announcements only: members read and react.
    Admins,
}

impl PostingPolicy {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Admins => "admins",
        }
    }

    /// The policy of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Everyone, Self::Admins].into_iter().find(|p| p.as_str() == name)
    }
}

/// What the admins of a conversation have decided about writing in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Posting {
    pub policy: PostingPolicy,
    /// Between two messages of a member, 0 for none.
    pub slow_mode_seconds: u32,
}

/// Why somebody may not write now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostingRefused {
    /// Only admins write here.
    AdminsOnly,
    /// Slow mode: the member's last message is too young.
    TooSoon { every: Duration, wait: Duration },
    /// Slow mode goes by the time of sending, so there is nothing to schedule.
    NotScheduled,
}

impl Posting {
    /// May everybody write whenever they like?
    pub fn is_free(self) -> bool {
        self == Self::default()
    }

    /// May somebody write `now` whose last message is of `last`?
    pub fn may_write(
        self,
        role: Role,
        last: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), PostingRefused> {
        if role == Role::Admin {
            return Ok(());
        }
        if self.policy == PostingPolicy::Admins {
            return Err(PostingRefused::AdminsOnly);
        }
        let every = Duration::from_secs(self.slow_mode_seconds.into());
        let Some(last) = last.filter(|_| !every.is_zero()) else { return Ok(()) };
        // A last message of the future is that of a clock that runs ahead: it counts as of now.
        let since = Duration::try_from(now.duration_since(last)).unwrap_or(Duration::ZERO);
        match every.checked_sub(since).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(PostingRefused::TooSoon { every, wait }),
            None => Ok(()),
        }
    }

    /// May somebody leave a message to be sent later?
    pub fn may_schedule(self, role: Role) -> Result<(), PostingRefused> {
        match (role, self.policy, self.slow_mode_seconds) {
            (Role::Admin, ..) | (_, PostingPolicy::Everyone, 0) => Ok(()),
            (_, PostingPolicy::Admins, _) => Err(PostingRefused::AdminsOnly),
            _ => Err(PostingRefused::NotScheduled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    const SLOW: Posting = Posting { policy: PostingPolicy::Everyone, slow_mode_seconds: 30 };
    const ANNOUNCING: Posting = Posting { policy: PostingPolicy::Admins, slow_mode_seconds: 0 };

    #[test]
    fn slow_mode_counts_from_the_last_message_and_not_for_admins() {
        assert_eq!(SLOW.may_write(Role::Member, None, at(100)), Ok(()));
        let refused = SLOW.may_write(Role::Member, Some(at(90)), at(100));
        let (every, wait) = (Duration::from_secs(30), Duration::from_secs(20));
        assert_eq!(refused, Err(PostingRefused::TooSoon { every, wait }));
        assert_eq!(SLOW.may_write(Role::Member, Some(at(70)), at(100)), Ok(()));
        assert_eq!(SLOW.may_write(Role::Admin, Some(at(100)), at(100)), Ok(()));
        let ahead = SLOW.may_write(Role::Member, Some(at(200)), at(100));
        assert_eq!(ahead, Err(PostingRefused::TooSoon { every, wait: every }));
    }

    #[test]
    fn announcements_are_the_admins() {
        let refused = Err(PostingRefused::AdminsOnly);
        assert_eq!(ANNOUNCING.may_write(Role::Member, None, at(0)), refused);
        assert_eq!(ANNOUNCING.may_schedule(Role::Member), refused);
        assert_eq!(ANNOUNCING.may_write(Role::Admin, None, at(0)), Ok(()));
        assert_eq!(SLOW.may_schedule(Role::Member), Err(PostingRefused::NotScheduled));
        assert_eq!(Posting::default().may_schedule(Role::Member), Ok(()));
    }
}
