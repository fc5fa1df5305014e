//! What clients prove by coming back: whoever shows a cursor has everything before it.
//!
//! A connection that ends between a message and the pong behind it has proven nothing, and its client has the message all
//! the same. Its cursor says so, on whichever node it comes back.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::{Seq, UserId};
use crate::domain::receipt::MAX_FOLLOWED;
use crate::edge::Edge;
use crate::store::markers::Return;

use super::attempts::Attempts;

/// Users of one statement, each with a look at all of their conversations: 64 with 20 of them take some 5 ms.
const ROUND: usize = 64;
/// Users who may wait, some 2 MiB. Beyond it the next message or the next read makes up for it.
const MAX_WAITING: usize = 20_000;

/// The furthest cursor of each user who has come back and was not looked after yet.
#[derive(Default)]
pub struct Returned {
    waiting: Mutex<HashMap<UserId, Return>>,
    arrived: Notify,
}

impl Returned {
    /// Somebody has come back; `false` when there is no room to remember it.
    pub fn came(&self, one: Return) -> bool {
        let mut waiting = self.waiting.lock();
        if let Some(known) = waiting.get_mut(&one.user_id) {
            if known.seq < one.seq {
                *known = one;
            }
        } else if waiting.len() < MAX_WAITING {
            waiting.insert(one.user_id, one);
        } else {
            return false;
        }
        drop(waiting);
        self.arrived.notify_one();
        true
    }

    /// Some of those up to whose cursor Postgres has everything, and whether there are others.
    fn take(&self, persisted: Seq) -> (Vec<Return>, bool) {
        let mut waiting = self.waiting.lock();
        let taken: Vec<Return> = waiting
            .extract_if(|_, one| one.seq <= persisted)
            .take(ROUND)
            .map(|(_, one)| one)
            .collect();
        (taken, !waiting.is_empty())
    }
}

/// Moves the markers of those who come back, until cancelled. Those who wait by then come back on another node.
pub async fn commit(edge: Arc<Edge>, stop: CancellationToken) {
    let mut persisted = edge.persisted.clone();
    let mut attempts = Attempts::new("delivery markers of those who come back");
    loop {
        let seen = *persisted.borrow_and_update();
        let (round, more) = edge.deliveries.returned.take(seen);
        if round.is_empty() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = edge.deliveries.returned.arrived.notified() => {}
                changed = persisted.changed(), if more => if changed.is_err() { return },
            }
            continue;
        }
        let outcome = edge.store.mark_returned(&round, MAX_FOLLOWED).await;
        let put_back = |round: Vec<Return>| {
            let came = |one: &Return| edge.deliveries.returned.came(*one);
            let left_out = round.iter().filter(|one| !came(one)).count();
            edge.metrics.deliveries_dropped.inc_by(left_out as u64);
        };
        if let Some((_, moved)) = attempts.taken(outcome, round, put_back) {
            for (delivery, senders) in moved {
                super::announce(&edge, &delivery, senders).await;
            }
        }
        if !attempts.pause(&stop).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn one(user: u128, seq: Seq) -> Return {
        Return { user_id: Uuid::from_u128(user), seq, at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn the_furthest_cursor_waits_until_postgres_has_everything_before_it() {
        let returned = Returned::default();
        for seq in [5, 9, 7] {
            assert!(returned.came(one(1, seq)));
        }
        assert_eq!(returned.take(8), (vec![], true));
        assert_eq!(returned.take(9), (vec![one(1, 9)], false));
        assert_eq!(returned.take(9), (vec![], false));
    }

    #[test]
    fn who_waits_is_bounded() {
        let returned = Returned::default();
        for user in 0..MAX_WAITING as u128 {
            assert!(returned.came(one(user, 1)));
        }
        assert!(!returned.came(one(u128::MAX, 1)));
        assert!(returned.came(one(0, 2)), "who is there already has a place");
        assert_eq!(returned.take(9).0.len(), ROUND);
    }
}
