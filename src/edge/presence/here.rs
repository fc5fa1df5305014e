//! The users of this node: who is connected, who may come back, whose key may have to be written.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ids::UserId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    Connected,
    /// The last connection has ended; another one may come.
    Leaving(Instant),
    /// None has come, since the last one ended.
    Gone(Instant),
}

impl Stay {
    /// Does the user count as online?
    pub fn is_here(self) -> bool {
        !matches!(self, Self::Gone(_))
    }
}

/// What others believe of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Offline,
    Online,
    /// It depends on who speaks for a dead node. Said once more, either is right.
    Either,
}

/// A user with connections on this node, or who had some a moment ago. With its place in the table an entry
/// takes some 80 bytes.
#[derive(Debug)]
struct Entry {
    connections: u32,
    stay: Stay,
    told: Told,
    /// Stands in `changed`.
    changed: bool,
    /// Stands in `leaving`.
    leaving: bool,
}

impl Entry {
    fn gone(now: Instant) -> Self {
        let stay = Stay::Gone(now);
        Self { connections: 0, stay, told: Told::Offline, changed: false, leaving: false }
    }
}

/// The users of this node. Both queues have each user once at most.
#[derive(Debug)]
pub struct Here {
    grace: Duration,
    users: HashMap<UserId, Entry>,
    changed: VecDeque<UserId>,
    leaving: BinaryHeap<Reverse<(Instant, UserId)>>,
}

impl Here {
    /// A user without a connection still counts as online for `grace`.
    pub fn new(grace: Duration) -> Self {
        Self { grace, users: HashMap::new(), changed: VecDeque::new(), leaving: BinaryHeap::new() }
    }

    pub fn users(&self) -> Vec<UserId> {
        self.users.keys().copied().collect()
    }

    /// `None` for somebody who is not known here any more.
    pub fn stay(&self, user: UserId) -> Option<Stay> {
        self.users.get(&user).map(|entry| entry.stay)
    }

    /// The same; somebody who is not known here any more has gone just now.
    pub fn stay_or_gone(&mut self, user: UserId, now: Instant) -> Stay {
        self.users.entry(user).or_insert_with(|| Entry::gone(now)).stay
    }

    pub fn is_here(&self, user: UserId) -> bool {
        self.stay(user).is_some_and(Stay::is_here)
    }

    /// A connection was opened. `true` if the user was not here.
    pub fn came(&mut self, user: UserId, now: Instant) -> bool {
        let entry = self.users.entry(user).or_insert_with(|| Entry::gone(now));
        entry.connections += 1;
        let was = std::mem::replace(&mut entry.stay, Stay::Connected);
        !was.is_here()
    }

    /// A connection has ended. `true` if it was the user's last one.
    pub fn went(&mut self, user: UserId, now: Instant) -> bool {
        let Some(entry) = self.users.get_mut(&user) else { return false };
        entry.connections = entry.connections.saturating_sub(1);
        if entry.connections > 0 {
            return false;
        }
        entry.stay = Stay::Leaving(now);
        if !std::mem::replace(&mut entry.leaving, true) {
            self.leaving.push(Reverse((now + self.grace, user)));
        }
        true
    }

    /// When [`Here::next_gone`] may find somebody.
    pub fn next_due(&self) -> Option<Instant> {
        self.leaving.peek().map(|Reverse((due, _))| *due)
    }

    /// Somebody whose grace is over, and when the last connection ended.
    pub fn next_gone(&mut self, now: Instant) -> Option<(UserId, Instant)> {
        while self.next_due().is_some_and(|due| due <= now) {
            let Reverse((_, user)) = self.leaving.pop()?;
            let Some(entry) = self.users.get_mut(&user) else { continue };
            entry.leaving = false;
            let Stay::Leaving(since) = entry.stay else { continue };
            let due = since + self.grace;
            if due > now {
                // Came back in between and left again.
                entry.leaving = true;
                self.leaving.push(Reverse((due, user)));
                continue;
            }
            entry.stay = Stay::Gone(since);
            return Some((user, since));
        }
        None
    }

    /// Notes that the user's key may have to be written.
    pub fn touch(&mut self, user: UserId) {
        let Some(entry) = self.users.get_mut(&user) else { return };
        if !std::mem::replace(&mut entry.changed, true) {
            self.changed.push_back(user);
        }
    }

    /// Notes it of everybody.
    pub fn touch_all(&mut self) {
        for user in self.users() {
            self.touch(user);
        }
    }

    /// The next user whose key may have to be written.
    pub fn next_changed(&mut self) -> Option<UserId> {
        let user = self.changed.pop_front()?;
        if let Some(entry) = self.users.get_mut(&user) {
            entry.changed = false;
        }
        Some(user)
    }

    /// What others believe of the user.
    pub fn told(&self, user: UserId) -> Told {
        self.users.get(&user).map_or(Told::Offline, |entry| entry.told)
    }

    pub fn set_told(&mut self, user: UserId, told: Told) {
        if let Some(entry) = self.users.get_mut(&user) {
            entry.told = told;
        }
    }

    /// Others have been told that nobody of this node is online.
    pub fn nobody_is_told(&mut self) {
        self.users.values_mut().for_each(|entry| entry.told = Told::Offline);
    }

    /// Forgets somebody who is gone.
    pub fn forget(&mut self, user: UserId) {
        self.users.remove(&user);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ADA: UserId = Uuid::from_u128(1);
    const GRACE: Duration = Duration::from_secs(5);

    #[test]
    fn grace_counts_from_the_last_time_the_user_left() {
        let mut here = Here::new(GRACE);
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert!(here.came(ADA, start) && here.went(ADA, start));
        assert!(!here.came(ADA, start + second), "within the grace nothing has changed");
        assert!(here.went(ADA, start + 2 * second));
        assert_eq!(here.next_gone(start + GRACE), None);
        assert!(here.is_here(ADA));
        let over = start + 2 * second + GRACE;
        assert_eq!(here.next_due(), Some(over));
        assert_eq!(here.next_gone(over), Some((ADA, start + 2 * second)));
        assert!(!here.is_here(ADA));
        assert_eq!(here.next_due(), None);
    }

    #[test]
    fn with_two_connections_the_first_to_end_changes_nothing() {
        let mut here = Here::new(GRACE);
        let now = Instant::now();
        assert!(here.came(ADA, now) && !here.came(ADA, now));
        assert!(!here.went(ADA, now));
        assert_eq!(here.next_due(), None);
        assert!(here.went(ADA, now));
    }

    #[test]
    fn somebody_stands_in_each_queue_once() {
        let mut here = Here::new(GRACE);
        let now = Instant::now();
        for _ in 0..3 {
            here.came(ADA, now);
            here.went(ADA, now);
            here.touch(ADA);
        }
        assert_eq!((here.changed.len(), here.leaving.len()), (1, 1));
    }
}
