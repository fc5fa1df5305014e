//! Brings the index of words behind what is persisted.
//!
//! It follows Postgres, not the log: what it indexes is committed, and its place is committed with what it has indexed. It
//! runs beside the batches on a connection of the pool, so that they never wait for it; behind it falls only the index.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

use super::Health;
use super::rounds::Rounds;

/// How often to look for something new: a query of two rows.
const EVERY: Duration = Duration::from_millis(250);
/// Messages of one transaction: some 300 ms, after which a rebuild may have its turn. A word is counted once in it, however
/// often it is said.
const BATCH: u32 = 4_000;

/// The leader's task. One that does not know yet that it was replaced takes turns with the next one.
pub struct Indexer {
    pub store: Store,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

impl Indexer {
    /// Indexes while this process leads, until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let rounds = Rounds {
            every: EVERY,
            health: &self.health,
            failures: &self.metrics.search.failures,
            meaning: "messages wait to be indexed",
        };
        let stands_by = || {
            self.metrics.search.lag.set(0);
        };
        rounds.while_leading(&stop, || self.round(), stands_by).await;
    }

    /// Until there is nothing new.
    async fn round(&self) -> Result<(), StoreError> {
        loop {
            let at = self.store.index_next(BATCH).await?;
            let lag = at.persisted.saturating_sub(at.through);
            self.metrics.search.lag.set(i64::try_from(lag).unwrap_or(i64::MAX));
            if lag == 0 {
                return Ok(());
            }
        }
    }
}
