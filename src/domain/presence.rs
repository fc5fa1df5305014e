//! Who is there.

use std::fmt;

use jiff::Timestamp;

use super::ids::UserId;

/// Whether a user is there, as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    pub user_id: UserId,
    pub is_online: bool,
    /// When the last connection ended; `None` while the user is online, and for who never was.
    pub last_seen_at: Option<Timestamp>,
}

impl Status {
    /// The state of a user who was last seen then, or is online now.
    pub fn new(user_id: UserId, is_online: bool, last_seen_at: Option<Timestamp>) -> Self {
        Self { user_id, is_online, last_seen_at: last_seen_at.filter(|_| !is_online) }
    }
}

/// One life of an edge: 48 bits that its process drew by lot, and 16 that count how often it had to begin anew
/// because the others had given it up. Whoever was given up stays dead, so nobody has to know what was done in
/// whose name since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(u64);

impl EdgeId {
    /// The first life of a process; 48 bits of `random` count.
    pub fn first(random: u64) -> Self {
        Self(random << 16)
    }

    /// The next life of the same process.
    pub fn next(self) -> Self {
        // After 65,536 lives of at least a second each the first one has long been forgotten.
        let life = (self.0 as u16).wrapping_add(1);
        Self(self.0 & !0xffff | u64::from(life))
    }

    /// What all lives of a process have in common.
    pub fn process(self) -> ProcessId {
        ProcessId(self.0 >> 16)
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| u64::from_str_radix(text, 16).ok().map(Self))?
    }
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The process of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(u64);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_of_one_process_differ_and_share_its_name() {
        let first = EdgeId::first(u64::MAX);
        let second = first.next();
        assert_ne!(first, second);
        assert_eq!(first.process(), second.process());
        assert_eq!(first.process().to_string(), "ffffffffffff");
        assert_eq!(EdgeId::parse(&second.to_string()), Some(second));
        for forged in ["", "1", "000000000000000g", "+00000000000000f"] {
            assert_eq!(EdgeId::parse(forged), None, "{forged}");
        }
    }

    #[test]
    fn who_is_online_was_not_last_seen() {
        let at = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(Status::new(UserId::nil(), true, at).last_seen_at, None);
        assert_eq!(Status::new(UserId::nil(), false, at).last_seen_at, at);
    }
}
