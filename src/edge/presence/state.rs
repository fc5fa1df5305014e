//! What this node knows of who is there, and what follows from a change. No I/O, and time is a parameter.
//!
//! Who announces: each node sees the changes of the bucket in the same order. The one whose own key was the first
//! of a user's, or the last one to go, knows that by itself when it meets its own write, and no other does. For a
//! dead node the living one with the lowest id speaks.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::bus::presence::{Change, Entry};
use crate::domain::ids::UserId;
use crate::domain::presence::{EdgeId, ProcessId, Status};

use super::directory::Directory;
use super::followers::Followers;
use super::here::{Here, Stay, Told};
use super::news::{News, Waiting};

/// Writes whose arrival was not seen yet. At 150 bytes they are 150 KB on the way; 10,000 users who come at once
/// are ten rounds of a few milliseconds.
const MAX_IN_FLIGHT: usize = 1_024;
/// A write that has not arrived by then is repeated: arriving twice it means the same.
const REWRITE_AFTER: Duration = Duration::from_secs(5);

/// This moment, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub instant: Instant,
    pub wall: Timestamp,
}

impl Now {
    /// The wall's time at an earlier instant.
    fn at(&self, earlier: Instant) -> Timestamp {
        let ago = self.instant.saturating_duration_since(earlier);
        let ago = SignedDuration::try_from(ago).unwrap_or_default();
        self.wall.checked_sub(ago).unwrap_or(self.wall)
    }
}

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long a user without a connection still counts as online.
    pub grace: Duration,
    /// After this without a sign an edge counts as dead.
    pub edge_ttl: Duration,
}

/// A key to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    Put(UserId),
    Remove(UserId, Timestamp),
}

/// The state of one node.
pub struct State {
    timing: Timing,
    me: EdgeId,
    /// When this node's key was last seen to have arrived, or was first written.
    written: Option<Instant>,
    directory: Directory,
    /// What was read of the bucket so far, while it is read from its start.
    loading: Option<Directory>,
    /// Since when the bucket is not read.
    detached: Option<Instant>,
    pub here: Here,
    in_flight: HashMap<UserId, Instant>,
    pub followers: Followers,
    pub waiting: Waiting,
    dropped: u64,
}

impl State {
    pub fn new(timing: Timing, me: EdgeId, now: Instant) -> Self {
        Self {
            timing,
            me,
            written: None,
            directory: Directory::default(),
            loading: None,
            detached: Some(now),
            here: Here::new(timing.grace),
            in_flight: HashMap::new(),
            followers: Followers::default(),
            waiting: Waiting::default(),
            dropped: 0,
        }
    }

    /// This node's present life.
    pub fn me(&self) -> EdgeId {
        self.me
    }

    /// Is the user online? Those on this node are, for certain. Others are what the bucket says; when it was not
    /// read for as long as it takes to notice a death, nothing is known of them, and they count as offline.
    pub fn is_online(&self, user: UserId, now: Instant) -> bool {
        let fresh = self.detached.is_none_or(|since| now < since + self.timing.edge_ttl);
        self.here.is_here(user) || (fresh && self.directory.is_online(user))
    }

    /// The processes where the user is online, this one as soon as a connection is open.
    pub fn processes_of(&self, user: UserId) -> impl Iterator<Item = ProcessId> {
        let me = self.me.process();
        let own = self.here.is_here(user).then_some(me);
        own.into_iter().chain(self.directory.processes_of(user).filter(move |id| *id != me))
    }

    /// Users in the bucket.
    pub fn online(&self) -> usize {
        self.directory.len()
    }

    /// A connection was opened. `true` if a key has to be written.
    pub fn came(&mut self, user: UserId, now: Now) -> bool {
        let new = self.here.came(user, now.instant);
        if new {
            self.here.touch(user);
            self.tell_followers(user, now.wall, now);
        }
        new
    }

    /// Does what is due: grace that is over, writes that got lost, edges that were remembered for long enough.
    pub fn pass_time(&mut self, now: Now) {
        while let Some((user, since)) = self.here.next_gone(now.instant) {
            self.settle(user, now);
            self.tell_followers(user, now.at(since), now);
        }
        let lost = |sent: &Instant| now.instant >= *sent + REWRITE_AFTER;
        let lost: Vec<UserId> =
            self.in_flight.iter().filter(|(_, sent)| lost(sent)).map(|(user, _)| *user).collect();
        for user in lost {
            self.in_flight.remove(&user);
            self.here.touch(user);
        }
        for edge in self.directory.lapsed(now.instant) {
            self.edge_died(edge, now);
        }
        if let Some(since) = self.detached {
            self.tell_all_followers(now.at(since), now);
        }
    }

    /// Compares what should be with what the bucket has, and announces what became true by it.
    fn settle(&mut self, user: UserId, now: Now) {
        let elsewhere = self.directory.is_online_beside(user, self.me);
        if self.directory.is_on(user, self.me) {
            // Also for somebody who is gone by now, or whose key was given up and arrives after all: others have seen
            // it, and leave the announcement to us.
            let stay = self.here.stay_or_gone(user, now.instant);
            if self.here.told(user) != Told::Online && !elsewhere {
                self.announce(Status::new(user, true, None), now);
            }
            self.here.set_told(user, Told::Online);
            if !stay.is_here() {
                self.here.touch(user);
            }
            return;
        }
        match self.here.stay(user) {
            Some(Stay::Gone(since)) if !self.in_flight.contains_key(&user) => {
                if self.here.told(user) != Told::Offline && !elsewhere {
                    self.announce(Status::new(user, false, Some(now.at(since))), now);
                }
                self.here.forget(user);
            }
            Some(_) => self.here.touch(user),
            None => {}
        }
    }

    fn announce(&mut self, status: Status, now: Now) {
        if !self.waiting.tell_contacts(News { status, at: now.wall }) {
            self.dropped += 1;
        }
    }

    /// Keys to write now, as many as may be on the way.
    pub fn writes(&mut self, now: Now) -> Vec<Write> {
        let mut writes = Vec::new();
        while self.in_flight.len() < MAX_IN_FLIGHT {
            let Some(user) = self.here.next_changed() else { break };
            if self.in_flight.contains_key(&user) {
                continue; // Its arrival will bring it here again.
            }
            let has = self.directory.is_on(user, self.me);
            let write = match self.here.stay(user) {
                Some(Stay::Connected | Stay::Leaving(_)) if !has => Write::Put(user),
                Some(Stay::Gone(since)) if has => Write::Remove(user, now.at(since)),
                _ => {
                    self.settle(user, now);
                    continue;
                }
            };
            self.in_flight.insert(user, now.instant);
            writes.push(write);
        }
        writes
    }

    /// This node's key was written.
    pub fn renewed(&mut self, now: Instant) {
        self.written.get_or_insert(now);
    }

    /// Was this node's key written long ago and has not arrived since? Then others count it as dead.
    pub fn is_unheard(&self, now: Instant) -> bool {
        self.written.is_some_and(|seen| now >= seen + self.timing.edge_ttl)
    }

    /// The next dead edge that this node has to bury: its users are announced, its keys are to be removed.
    pub fn bury(&mut self, now: Now) -> Option<EdgeId> {
        let (edge, seen_at) = self.directory.bury(self.me)?;
        for user in self.directory.users_of(edge) {
            if self.directory.is_online(user) {
                continue;
            }
            if self.here.stay(user).is_some() {
                // Whose key is not written yet, or is about to go.
                self.here.set_told(user, Told::Either);
            } else {
                self.announce(Status::new(user, false, Some(seen_at)), now);
            }
        }
        Some(edge)
    }

    /// Reading begins at the start.
    pub fn begin(&mut self) {
        self.loading = Some(Directory::default());
    }

    /// Takes in a change.
    pub fn apply(&mut self, entry: Entry, now: Now) {
        if let Some(loading) = &mut self.loading {
            return loading.take(entry);
        }
        match entry.change {
            Change::Lives(edge) => {
                if edge == self.me {
                    self.written = Some(now.instant);
                }
                if self.directory.renewed(edge, entry.at) {
                    self.tell_all_followers(now.wall, now);
                }
            }
            Change::Expired(edge) => self.edge_died(edge, now),
            Change::Forgotten(edge) => {
                self.edge_died(edge, now);
                self.directory.forget(edge);
            }
            Change::Came(edge, user) => {
                self.directory.came(edge, user, entry.at);
                self.changed(edge, user, now);
                self.tell_followers(user, now.wall, now);
            }
            Change::Went(edge, user, last_seen) => {
                self.directory.went(edge, user);
                self.changed(edge, user, now);
                self.tell_followers(user, last_seen, now);
            }
        }
    }

    fn changed(&mut self, edge: EdgeId, user: UserId, now: Now) {
        if edge == self.me {
            // A write of our own has arrived.
            self.in_flight.remove(&user);
            self.settle(user, now);
        } else {
            self.unknown_if_offline(user);
        }
    }

    /// Whoever removed the last key of a user tells others. If the user is here after all, that is news again.
    fn unknown_if_offline(&mut self, user: UserId) {
        if !self.directory.is_online(user) {
            self.here.set_told(user, Told::Offline);
        }
    }

    fn edge_died(&mut self, edge: EdgeId, now: Now) {
        let last_sign = self.directory.seen_at(edge).unwrap_or(now.wall);
        if self.directory.died(edge) {
            for user in self.directory.users_of(edge) {
                self.unknown_if_offline(user);
            }
            self.tell_all_followers(last_sign, now);
        }
        if edge == self.me {
            self.begin_anew();
        }
    }

    /// The others have given this node up: it lives on under another name, and writes everything again.
    fn begin_anew(&mut self) {
        self.me = self.me.next();
        self.written = None;
        self.in_flight.clear();
        self.here.touch_all();
    }

    /// Everything that the bucket held was read.
    pub fn loaded(&mut self, now: Now) {
        let Some(loaded) = self.loading.take() else { return };
        let before = std::mem::replace(&mut self.directory, loaded);
        let lost = self.directory.lacks_all_of(&before);
        if lost {
            let until = now.instant + self.timing.edge_ttl;
            self.directory.remember(before, self.me, until);
        }
        self.detached = None;
        let given_up = self.written.take().is_some() && !self.directory.lives(self.me);
        if given_up {
            self.me = self.me.next();
            if !lost {
                // Somebody has announced that they are gone.
                self.here.nobody_is_told();
            }
        }
        self.in_flight.clear();
        for user in self.here.users() {
            self.settle(user, now);
        }
        self.tell_all_followers(now.wall, now);
    }

    /// The bucket cannot be read. `true` if it could be until now.
    pub fn detach(&mut self, now: Instant) -> bool {
        self.loading = None;
        let attached = self.detached.is_none();
        self.detached.get_or_insert(now);
        attached
    }

    /// `last_seen` is when the user was, if that turns out to be offline.
    fn tell_followers(&mut self, user: UserId, last_seen: Timestamp, now: Now) {
        if self.followers.is_empty() {
            return;
        }
        let online = self.is_online(user, now.instant);
        if self.followers.is_news(user, online) {
            let status = Status::new(user, online, Some(last_seen));
            self.waiting.tell_followers(News { status, at: now.wall });
        }
    }

    fn tell_all_followers(&mut self, last_seen: Timestamp, now: Now) {
        for user in self.followers.followed() {
            self.tell_followers(user, last_seen, now);
        }
    }

    /// Announcements dropped since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests;
