//! Loading the profile and conversations of users who connect, many at a time.
//!
//! While one round is with the database, the next gathers: no timer, no delay when it is quiet, and a reconnect
//! storm becomes a few large queries instead of thousands of small ones.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::store::users::{Arrival, Arrived};
use crate::store::{Store, StoreError};

/// Users of one round. At 2,000 connects a second a round of 5 ms gathers 10; the bound is for storms, and
/// keeps a round under 20 ms.
const ROUND: usize = 256;
/// Connections that may wait for a round: eight of them, 100 ms or so.
const WAITING: usize = 8 * ROUND;

type Waiting = (Arrival, oneshot::Sender<Result<Arrived, ()>>);

/// Where connections ask.
pub struct Arrivals {
    queue: mpsc::Sender<Waiting>,
}

/// The work behind [`Arrivals`].
pub struct Loader {
    queue: mpsc::Receiver<Waiting>,
    store: Store,
    max_conversations: u32,
}

/// Makes both ends.
pub fn arrivals(store: Store, max_conversations: u32) -> (Arrivals, Loader) {
    let (sender, queue) = mpsc::channel(WAITING);
    (Arrivals { queue: sender }, Loader { queue, store, max_conversations })
}

impl Arrivals {
    /// The stored profile and the conversations of a user. `None` when the database cannot be reached.
    pub async fn arrive(&self, arrival: Arrival) -> Option<Arrived> {
        let (reply, answer) = oneshot::channel();
        self.queue.send((arrival, reply)).await.ok()?;
        answer.await.ok()?.ok()
    }
}

impl Loader {
    /// Serves until cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut round = Vec::with_capacity(ROUND);
        loop {
            let gathered = tokio::select! {
                () = stop.cancelled() => return,
                gathered = self.queue.recv_many(&mut round, ROUND) => gathered,
            };
            if gathered == 0 {
                return;
            }
            self.load(&mut round).await;
        }
    }

    async fn load(&self, round: &mut Vec<Waiting>) {
        let (arrivals, replies): (Vec<_>, Vec<_>) = round.drain(..).unzip();
        let loaded: Result<_, Arc<StoreError>> =
            self.store.arrivals(&arrivals, self.max_conversations).await.map_err(Arc::new);
        if let Err(cause) = &loaded {
            tracing::warn!(%cause, users = arrivals.len(), "cannot load who is connecting");
        }
        for (arrival, reply) in arrivals.into_iter().zip(replies) {
            let arrived = match &loaded {
                Ok(users) => users.get(&arrival.user_id).cloned().ok_or(()),
                Err(_) => Err(()),
            };
            // The connection may have gone meanwhile.
            let _ = reply.send(arrived);
        }
    }
}
