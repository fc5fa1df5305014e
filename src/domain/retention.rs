//! How long messages are kept.

use std::time::Duration;

use jiff::Timestamp;

use super::conversation::ConversationType;

/// How long messages of each type of conversation are kept; zero for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    pub direct: Duration,
    pub group: Duration,
    pub community: Duration,
}

impl Retention {
    /// Messages of such a conversation from before this are to go; `None` where they stay.
    pub fn cutoff(self, kind: ConversationType, now: Timestamp) -> Option<Timestamp> {
        let kept = match kind {
            ConversationType::Direct => self.direct,
            ConversationType::Group => self.group,
            ConversationType::Community => self.community,
        };
        (!kept.is_zero()).then(|| now.checked_sub(kept).unwrap_or(Timestamp::MIN))
    }

    /// The shortest of them; `None` where everything is kept for ever.
    pub fn shortest(self) -> Option<Duration> {
        [self.direct, self.group, self.community].into_iter().filter(|kept| !kept.is_zero()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_ever_has_no_cutoff() {
        let week = Duration::from_secs(7 * 86_400);
        let retention = Retention { group: week, ..Retention::default() };
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        assert_eq!(retention.cutoff(ConversationType::Direct, now), None);
        let cutoff = retention.cutoff(ConversationType::Group, now).expect("a time");
        assert_eq!(cutoff.as_second(), 1_800_000_000 - 7 * 86_400);
        assert_eq!(retention.shortest(), Some(week));
        assert_eq!(Retention::default().shortest(), None);
    }
}
