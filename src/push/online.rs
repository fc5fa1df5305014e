//! Who has a connection, as the bucket `PRESENCE` has it.
//!
//! Knowing nothing is an answer of its own: alerts then wait as if everybody were connected.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use smallvec::SmallVec;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::BusError;
use crate::bus::presence::{Bucket, Change, Entry};
use crate::domain::ids::UserId;
use crate::domain::presence::EdgeId;

/// Pauses between attempts to read the bucket.
const BACKOFF: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

/// Users and their edges. An entry is some 50 bytes: a million users online are 50 to 100 MB.
#[derive(Debug, Default)]
struct State {
    /// Edges that renew their keys.
    living: HashSet<EdgeId>,
    users: HashMap<UserId, SmallVec<[EdgeId; 2]>>,
    /// From when on all this is to be believed; `None` while the bucket is not read.
    known_from: Option<Instant>,
}

impl State {
    fn take(&mut self, change: Change) {
        match change {
            Change::Lives(edge) => {
                self.living.insert(edge);
            }
            Change::Expired(edge) => {
                self.living.remove(&edge);
            }
            Change::Forgotten(edge) => {
                self.living.remove(&edge);
                self.users.retain(|_, edges| {
                    edges.retain(|other| *other != edge);
                    !edges.is_empty()
                });
            }
            Change::Came(edge, user) => {
                let edges = self.users.entry(user).or_default();
                if !edges.contains(&edge) {
                    edges.push(edge);
                }
            }
            Change::Went(edge, user, _) => {
                if let Some(edges) = self.users.get_mut(&user) {
                    edges.retain(|other| *other != edge);
                    if edges.is_empty() {
                        self.users.remove(&user);
                    }
                }
            }
        }
    }

    fn is_online(&self, user: UserId) -> bool {
        let edges = self.users.get(&user).into_iter().flatten();
        edges.into_iter().any(|edge| self.living.contains(edge))
    }
}

/// Who is online, for many readers.
#[derive(Debug, Clone, Default)]
pub struct Online(Arc<RwLock<State>>);

/// A look at who is online at one moment; `None` when that is not known.
pub struct Look<'a>(Option<parking_lot::RwLockReadGuard<'a, State>>);

impl Look<'_> {
    /// Is it known at all?
    pub fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// Is the user known to have a connection?
    pub fn is_online(&self, user: UserId) -> bool {
        self.0.as_ref().is_some_and(|state| state.is_online(user))
    }

    /// Is the user known to have none?
    pub fn is_offline(&self, user: UserId) -> bool {
        self.0.as_ref().is_some_and(|state| !state.is_online(user))
    }
}

impl Online {
    /// Looks; nothing changes while the answer is kept.
    pub fn look(&self, now: Instant) -> Look<'_> {
        let state = self.0.read();
        let known = state.known_from.is_some_and(|from| from <= now);
        Look(known.then_some(state))
    }

    /// Reads the bucket until cancelled.
    ///
    /// One that was lost is empty until the edges have written their keys again, which they have within `edge_ttl`: until
    /// then nothing is known. So it is for a bucket without any edge, which is the same seen from a new process.
    pub async fn follow(&self, bucket: Bucket, edge_ttl: Duration, stop: CancellationToken) {
        let mut failures = 0_usize;
        let mut before = false;
        loop {
            let session = self.session(&bucket, before, edge_ttl);
            let fault = tokio::select! {
                () = stop.cancelled() => return,
                fault = session => fault,
            };
            let was_known = self.0.write().known_from.take().is_some();
            before |= was_known;
            failures = if was_known { 0 } else { failures + 1 };
            if failures <= 1 {
                tracing::warn!(cause = %fault, "presence is not known; alerts wait as if everybody were connected");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(BACKOFF[failures.min(BACKOFF.len() - 1)]) => {}
            }
        }
    }

    async fn session(&self, bucket: &Bucket, again: bool, edge_ttl: Duration) -> BusError {
        let mut reader = match bucket.read().await {
            Ok(reader) => reader,
            Err(fault) => return fault,
        };
        let mut state = State::default();
        while !reader.is_complete() {
            match reader.next().await {
                Ok(entries) => {
                    entries.into_iter().for_each(|Entry { change, .. }| state.take(change))
                }
                Err(fault) => return fault,
            }
        }
        let settle = if again || state.living.is_empty() { edge_ttl } else { Duration::ZERO };
        state.known_from = Some(Instant::now() + settle);
        tracing::info!(users = state.users.len(), "presence is followed");
        *self.0.write() = state;
        loop {
            match reader.next().await {
                Ok(entries) => {
                    let mut state = self.0.write();
                    entries.into_iter().for_each(|Entry { change, .. }| state.take(change));
                }
                Err(fault) => return fault,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    const ADA: UserId = Uuid::from_u128(1);

    #[test]
    fn a_user_is_online_as_long_as_one_living_edge_says_so() {
        let (here, there) = (EdgeId::first(1), EdgeId::first(2));
        let mut state = State::default();
        state.take(Change::Came(here, ADA));
        assert!(!state.is_online(ADA), "an edge without a key of its own");
        state.take(Change::Lives(here));
        state.take(Change::Lives(there));
        state.take(Change::Came(there, ADA));
        state.take(Change::Went(here, ADA, Timestamp::UNIX_EPOCH));
        assert!(state.is_online(ADA));
        state.take(Change::Expired(there));
        assert!(!state.is_online(ADA));
        state.take(Change::Lives(there));
        assert!(state.is_online(ADA));
        state.take(Change::Forgotten(there));
        assert!(state.users.is_empty() && !state.is_online(ADA));
    }

    #[test]
    fn what_is_not_known_is_neither_online_nor_offline() {
        let online = Online::default();
        let now = Instant::now();
        let look = online.look(now);
        assert!(!look.is_known() && !look.is_online(ADA) && !look.is_offline(ADA));
        drop(look);
        online.0.write().known_from = Some(now + Duration::from_secs(1));
        assert!(!online.look(now).is_known());
        assert!(online.look(now + Duration::from_secs(1)).is_offline(ADA));
    }
}
