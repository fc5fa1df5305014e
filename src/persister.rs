//! From the log into Postgres: the only writer of messages.
//!
//! One instance is active, the one whose database session holds an advisory lock; the same session writes the
//! batches, so a lost session loses both at once and two can never write. Others stand by.
//!
//! The place in the log is `progress.last_seq`, committed with the rows. The durable consumer is begun behind it
//! each time, so whatever a predecessor had received but not committed comes again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::bus::log::Log;
use crate::bus::publish::Publisher;
use crate::bus::{self, BusError};
use crate::domain::clock::SharedClock;
use crate::domain::retention::Retention;
use crate::store::leadership::Office;
use crate::store::projection::ProjectionError;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

mod apply;
mod batch;
mod dead;
mod due;
pub mod erasure;
mod follow;
pub mod media;
mod prune;
pub mod reports;
mod retention;
mod rounds;
pub mod search;
mod sweep;
pub mod verify;

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Events of one transaction at most.
    pub batch_size: usize,
    /// How long an event waits for others to share its transaction.
    pub linger: Duration,
    /// How long messages are kept.
    pub retention: Retention,
}

/// The name of the durable consumer, of its dead letters and of its row in `progress`.
pub const NAME: &str = "persist";

/// Pauses after a failure: the first is short enough for a restart of Postgres to go unnoticed, the last keeps
/// a long outage from filling the log with complaints.
const BACKOFF: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// What the persister works with.
pub struct Persister {
    pub store: Store,
    /// The log, on a connection of the persister's own.
    pub log: Log,
    pub client: bus::Client,
    /// For what the leader itself puts into the log.
    pub publisher: Publisher,
    pub clock: SharedClock,
    pub settings: Settings,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

/// How it is doing, for whoever asks whether the process is ready.
#[derive(Debug, Default)]
pub struct Health {
    /// Turns that have failed since the last event was persisted.
    failures: AtomicUsize,
    leading: AtomicBool,
}

impl Health {
    /// So many failures on end are no restart of Postgres: some two seconds of them.
    const MANY: usize = 4;

    /// Does it fail again and again?
    pub fn is_failing(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= Self::MANY
    }

    /// Is it the active one?
    pub fn is_leading(&self) -> bool {
        self.leading.load(Ordering::Relaxed)
    }
}

/// Why a turn as leader ended.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Persister {
    /// Stands by, leads, and stands by again, until cancelled.
    ///
    /// # Errors
    /// [`BusError::EpochChanged`] when the log is not the one that Postgres follows: an operator must decide.
    pub async fn run(self, stop: CancellationToken) -> Result<(), BusError> {
        let mut failures = 0_usize;
        while !stop.is_cancelled() {
            let mut done = 0;
            let turn = self.turn(&stop, &mut done).await;
            self.leads(false);
            match turn {
                Ok(()) => return Ok(()),
                Err(Fault::Bus(fault @ BusError::EpochChanged { .. })) => return Err(fault),
                Err(fault) => {
                    // Only progress proves that a failure is over.
                    failures = if done > 0 { 0 } else { failures + 1 };
                    self.health.failures.store(failures, Ordering::Relaxed);
                    self.metrics.persister_failures.inc();
                    warn!(cause = %fault, failures, "the persister starts over");
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(BACKOFF[failures.min(BACKOFF.len() - 1)]) => {}
            }
        }
        Ok(())
    }

    /// Waits for the lock and leads until a failure. `Ok` only when cancelled.
    async fn turn(&self, stop: &CancellationToken, done: &mut u64) -> Result<(), Fault> {
        let mut leader = self.store.leader().await?;
        info!("persister standing by");
        let well = || self.health.failures.store(0, Ordering::Relaxed);
        tokio::select! {
            leading = leader.lead(Office::Persister, well) => leading?,
            () = stop.cancelled() => return Ok(()),
        }
        info!("persister leading");
        self.leads(true);
        self.follow(&mut leader, stop, done).await
    }

    fn leads(&self, leading: bool) {
        self.health.leading.store(leading, Ordering::Relaxed);
        self.metrics.persister_leader.set(leading.into());
    }
}
