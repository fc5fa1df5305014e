//! Brings the index of words behind what is persisted.
//!
//! It follows Postgres, not the log: what it indexes is committed, and its place is committed with what it has indexed. It
//! runs beside the batches on a connection of the pool, so that they never wait for it; behind it falls only the index.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

use super::Health;

/// How often to look for something new: a query of two rows.
const EVERY: Duration = Duration::from_millis(250);
/// Messages of one transaction: some 80 ms, after which a rebuild may have its turn.
const BATCH: u32 = 1_000;
/// Rounds that are left out after failures on end, at most: a quarter of a minute.
const LONGEST_PAUSE: u32 = 60;

/// The leader's task. One that does not know yet that it was replaced takes turns with the next one.
pub struct Indexer {
    pub store: Store,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

impl Indexer {
    /// Indexes while this process leads, until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut failures, mut left_out) = (0_u32, 0);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if !self.health.is_leading() {
                self.metrics.search.lag.set(0);
                continue;
            }
            if left_out > 0 {
                left_out -= 1;
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                round = self.round() => match round {
                    Ok(()) => failures = 0,
                    Err(cause) => {
                        failures = failures.saturating_add(1);
                        left_out = 2_u32.saturating_pow(failures).min(LONGEST_PAUSE);
                        self.metrics.search.failures.inc();
                        tracing::warn!(%cause, failures, "messages wait to be indexed");
                    }
                },
            }
        }
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
