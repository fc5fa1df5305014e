//! Who is online on which edge, as the bucket has it.
//!
//! An entry is 41 bytes and the table between half and nearly full: a million users online are 50 to 95 MB on
//! each edge, and those of one edge that dies are found by looking through them once (some 10 ms).

use std::collections::HashMap;

use jiff::Timestamp;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::bus::presence::{Change, Entry};
use crate::domain::ids::UserId;
use crate::domain::presence::{EdgeId, ProcessId};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Lives,
    /// Its key has expired, or was never seen: its users do not count.
    Dead,
    /// The bucket was lost and the edge has not written its keys again. Its users count until then.
    Remembered(Instant),
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    standing: Standing,
    /// The last sign of it.
    seen_at: Timestamp,
    /// This node has taken care of its users.
    buried: bool,
}

/// Edges and their users.
#[derive(Debug, Default)]
pub struct Directory {
    edges: HashMap<EdgeId, Edge>,
    /// Most people have one device, or all of them on one edge: no allocation.
    users: HashMap<UserId, SmallVec<[EdgeId; 2]>>,
}

impl Directory {
    fn counts(&self, edge: EdgeId) -> bool {
        self.edges.get(&edge).is_some_and(|edge| edge.standing != Standing::Dead)
    }

    /// Has the edge renewed its key in time?
    pub fn lives(&self, edge: EdgeId) -> bool {
        self.edges.get(&edge).is_some_and(|edge| edge.standing == Standing::Lives)
    }

    /// Is the user on an edge that counts?
    pub fn is_online(&self, user: UserId) -> bool {
        self.users.get(&user).is_some_and(|edges| edges.iter().any(|edge| self.counts(*edge)))
    }

    /// The same, looking at other edges than `me` only.
    pub fn is_online_beside(&self, user: UserId, me: EdgeId) -> bool {
        let elsewhere = |edge: &EdgeId| *edge != me && self.counts(*edge);
        self.users.get(&user).is_some_and(|edges| edges.iter().any(elsewhere))
    }

    /// Does the bucket have the user's key for that edge?
    pub fn is_on(&self, user: UserId, edge: EdgeId) -> bool {
        self.users.get(&user).is_some_and(|edges| edges.contains(&edge))
    }

    /// The processes where the user is online.
    pub fn processes_of(&self, user: UserId) -> impl Iterator<Item = ProcessId> {
        let edges = self.users.get(&user).into_iter().flatten();
        edges.filter(|edge| self.counts(**edge)).map(|edge| edge.process())
    }

    /// Users in the bucket.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    pub fn came(&mut self, edge: EdgeId, user: UserId, at: Timestamp) {
        // An edge says that it lives before it writes anything else.
        let known =
            Edge { standing: Standing::Dead, seen_at: Timestamp::UNIX_EPOCH, buried: false };
        let entry = self.edges.entry(edge).or_insert(known);
        entry.seen_at = entry.seen_at.max(at);
        let edges = self.users.entry(user).or_default();
        if !edges.contains(&edge) {
            edges.push(edge);
        }
    }

    pub fn went(&mut self, edge: EdgeId, user: UserId) {
        let Some(edges) = self.users.get_mut(&user) else { return };
        edges.retain(|other| *other != edge);
        if edges.is_empty() {
            self.users.remove(&user);
        }
    }

    /// The edge has renewed its key. `true` if it did not count before.
    pub fn renewed(&mut self, edge: EdgeId, at: Timestamp) -> bool {
        let counted = self.counts(edge);
        self.edges.insert(edge, Edge { standing: Standing::Lives, seen_at: at, buried: false });
        !counted
    }

    /// The edge has died. `true` if it counted before.
    pub fn died(&mut self, edge: EdgeId) -> bool {
        let counted = self.counts(edge);
        if let Some(edge) = self.edges.get_mut(&edge) {
            edge.standing = Standing::Dead;
        }
        counted
    }

    /// The last sign of an edge.
    pub fn seen_at(&self, edge: EdgeId) -> Option<Timestamp> {
        self.edges.get(&edge).map(|edge| edge.seen_at)
    }

    /// Takes in a change.
    pub fn take(&mut self, entry: Entry) {
        match entry.change {
            Change::Lives(edge) => {
                self.renewed(edge, entry.at);
            }
            Change::Expired(edge) => {
                self.died(edge);
            }
            Change::Forgotten(edge) => self.forget(edge),
            Change::Came(edge, user) => self.came(edge, user, entry.at),
            Change::Went(edge, user, _) => self.went(edge, user),
        }
    }

    /// Removes an edge and its users.
    pub fn forget(&mut self, edge: EdgeId) {
        self.edges.remove(&edge);
        self.users.retain(|_, edges| {
            edges.retain(|other| *other != edge);
            !edges.is_empty()
        });
    }

    /// The users of an edge, by looking through all.
    pub fn users_of(&self, edge: EdgeId) -> Vec<UserId> {
        let here = self.users.iter().filter(|(_, edges)| edges.contains(&edge));
        here.map(|(user, _)| *user).collect()
    }

    /// Edges that were remembered for long enough.
    pub fn lapsed(&self, now: Instant) -> Vec<EdgeId> {
        let lapsed =
            |edge: &Edge| matches!(edge.standing, Standing::Remembered(until) if until <= now);
        self.edges.iter().filter(|(_, edge)| lapsed(edge)).map(|(id, _)| *id).collect()
    }

    /// The next dead edge that nobody on this node has taken care of, and when it was last seen; it counts as taken
    /// care of from now on. Only the living edge with the lowest id does so: all read the same changes in the same
    /// order, so all agree on which one that is.
    pub fn bury(&mut self, me: EdgeId) -> Option<(EdgeId, Timestamp)> {
        let lives = |edge: &Edge| edge.standing == Standing::Lives;
        let lowest = self.edges.iter().filter(|(_, edge)| lives(edge)).map(|(id, _)| *id).min();
        if lowest != Some(me) {
            return None;
        }
        let mut dead = self.edges.iter_mut();
        let (id, edge) = dead.find(|(_, edge)| edge.standing == Standing::Dead && !edge.buried)?;
        edge.buried = true;
        Some((*id, edge.seen_at))
    }

    /// Is there nothing left of what was there `before`? Then the bucket was lost with the memory of its servers.
    pub fn lacks_all_of(&self, before: &Self) -> bool {
        !before.edges.is_empty() && before.edges.keys().all(|edge| !self.edges.contains_key(edge))
    }

    /// Takes over the edges that counted in a bucket that was lost, except for `me`: they are about to write their
    /// keys again.
    pub fn remember(&mut self, mut before: Self, me: EdgeId, until: Instant) {
        before.forget(me);
        let counted: Vec<EdgeId> =
            before.edges.keys().copied().filter(|edge| before.counts(*edge)).collect();
        for id in counted {
            if let Some(mut edge) = before.edges.get(&id).copied() {
                edge.standing = match edge.standing {
                    Standing::Remembered(earlier) => Standing::Remembered(earlier),
                    _ => Standing::Remembered(until),
                };
                self.edges.insert(id, edge);
            }
        }
        for (user, edges) in before.users {
            for edge in edges.into_iter().filter(|edge| self.edges.contains_key(edge)) {
                let known = self.users.entry(user).or_default();
                if !known.contains(&edge) {
                    known.push(edge);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ADA: UserId = Uuid::from_u128(1);
    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn users_of_an_edge_that_has_not_said_that_it_lives_do_not_count() {
        let mut directory = Directory::default();
        let edge = EdgeId::first(1);
        directory.came(edge, ADA, AT);
        assert!(!directory.is_online(ADA));
        assert!(directory.renewed(edge, AT));
        assert!(directory.is_online(ADA));
        assert!(directory.died(edge) && !directory.died(edge));
        assert!(!directory.is_online(ADA) && directory.is_on(ADA, edge));
    }

    #[test]
    fn the_lowest_living_edge_buries_the_dead_and_does_it_once() {
        let mut directory = Directory::default();
        let (low, high, dead) = (EdgeId::first(1), EdgeId::first(2), EdgeId::first(0));
        for edge in [low, high, dead] {
            directory.renewed(edge, AT);
        }
        directory.died(dead);
        assert_eq!(directory.bury(high), None);
        assert_eq!(directory.bury(low), Some((dead, AT)));
        assert_eq!(directory.bury(low), None);
        directory.died(low);
        assert_eq!(directory.bury(high), Some((low, AT)));
        assert_eq!(directory.bury(high), None);
    }

    #[test]
    fn a_lost_bucket_is_remembered_for_a_while_and_the_node_itself_is_not() {
        let mut before = Directory::default();
        let (me, other) = (EdgeId::first(1), EdgeId::first(2));
        let ben = Uuid::from_u128(2);
        for edge in [me, other] {
            before.renewed(edge, AT);
        }
        before.came(other, ADA, AT);
        before.came(me, ben, AT);
        let mut after = Directory::default();
        assert!(after.lacks_all_of(&before));
        let now = Instant::now();
        after.remember(before, me, now);
        assert!(after.is_online(ADA) && !after.is_online(ben) && !after.lives(other));
        assert_eq!(after.lapsed(now), [other]);
    }
}
