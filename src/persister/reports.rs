//! How many reports wait for an operator, for whoever watches from outside.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

use super::Health;
use super::rounds::Rounds;

/// Between two counts, of what an index holds: a third of what Prometheus usually waits between two looks.
const EVERY: Duration = Duration::from_secs(4);

/// The leader's task; others say zero.
pub struct Counter {
    pub store: Store,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

impl Counter {
    /// Counts while this process leads, until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let safety = &self.metrics.safety;
        let rounds = Rounds {
            every: EVERY,
            health: &self.health,
            failures: &safety.read_failures,
            meaning: "reports cannot be counted",
        };
        let stands_by = || _ = safety.reports_open.set(0);
        rounds.while_leading(&stop, || self.round(), stands_by).await;
    }

    async fn round(&self) -> Result<(), StoreError> {
        let open = self.store.open_reports().await?;
        self.metrics.safety.reports_open.set(i64::try_from(open).unwrap_or(i64::MAX));
        Ok(())
    }
}
