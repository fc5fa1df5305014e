//! Loading the profile and conversations of users who connect, many at a time: a reconnect storm becomes a few
//! large queries.

use tokio_util::sync::CancellationToken;

use crate::store::Store;
use crate::store::users::{Arrival, Arrived};

use super::rounds::{Rounds, Size, Work, rounds};

/// At 2,000 connects a second a round of 5 ms gathers 10; the bound is for storms, and keeps a round under 20 ms.
/// Eight rounds that wait are 100 ms or so.
const SIZE: Size = Size { round: 256, at_once: 1, waiting: 8 * 256 };

/// Where connections ask.
pub struct Arrivals {
    rounds: Rounds<Arrival, Option<Arrived>>,
}

/// The work behind [`Arrivals`].
pub struct Loader {
    work: Work<Arrival, Option<Arrived>>,
    store: Store,
    max_conversations: u32,
}

/// Makes both ends.
pub fn arrivals(store: Store, max_conversations: u32) -> (Arrivals, Loader) {
    let (rounds, work) = rounds(SIZE);
    (Arrivals { rounds }, Loader { work, store, max_conversations })
}

impl Arrivals {
    /// The stored profile and the conversations of a user. `None` when the database cannot be reached.
    pub async fn arrive(&self, arrival: Arrival) -> Option<Arrived> {
        self.rounds.ask(arrival).await?
    }
}

impl Loader {
    /// Serves until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let Self { work, store, max_conversations } = self;
        work.run(stop, async |arrivals| load(&store, arrivals, max_conversations).await).await;
    }
}

async fn load(
    store: &Store,
    arrivals: Vec<Arrival>,
    max_conversations: u32,
) -> Vec<Option<Arrived>> {
    match store.arrivals(&arrivals, max_conversations).await {
        Ok(users) => arrivals.iter().map(|arrival| users.get(&arrival.user_id).cloned()).collect(),
        Err(cause) => {
            tracing::warn!(%cause, users = arrivals.len(), "cannot load who is connecting");
            vec![None; arrivals.len()]
        }
    }
}
