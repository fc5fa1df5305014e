//! The role: what it works with, and its tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::bus::log::Log;
use crate::bus::presence::Bucket;
use crate::bus::{self, BusError};
use crate::domain::clock::SharedClock;
use crate::domain::ids::Seq;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

use super::Fcm;
use super::memory::Memory;
use super::online::Online;
use super::plan::Rules;
use super::reads::Reads;

/// The name of the durable consumer, of its dead letters and of its row in `progress`.
pub const NAME: &str = "push";

/// Pauses after a failure; see the persister's.
const BACKOFF: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub rules: Rules,
    /// How long somebody with a connection has to receive a message before they are alerted.
    pub grace: Duration,
    /// Requests to FCM under way at a time.
    pub concurrency: usize,
    /// After this long a job counts as left behind by a worker that is gone. Longer than a request may take.
    pub lease: Duration,
    /// A node that does not renew its key for so long counts as gone.
    pub edge_ttl: Duration,
}

/// The push role.
pub struct Push {
    pub store: Store,
    /// The log, on a connection of this role's own.
    pub log: Log,
    pub client: bus::Client,
    pub bucket: Bucket,
    pub fcm: Fcm,
    pub clock: SharedClock,
    pub settings: Settings,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
    pub(super) online: Online,
    pub(super) reads: Reads,
    /// For operators who ask.
    pub(super) memory: Memory,
    /// The name under which operators know this process.
    pub(super) process: String,
    /// Something was decided: there may be something to send.
    pub(super) wake: Notify,
}

/// What the role is started from.
pub struct Parts {
    pub store: Store,
    pub log: Log,
    pub client: bus::Client,
    pub bucket: Bucket,
    pub fcm: Fcm,
    pub clock: SharedClock,
    pub settings: Settings,
    pub metrics: Arc<Metrics>,
    /// The name under which operators know this process.
    pub process: String,
}

/// How it is doing, for whoever asks whether the process is ready.
#[derive(Debug, Default)]
pub struct Health {
    /// Turns as decider that have failed since the last event was decided.
    failures: AtomicUsize,
    /// FCM does not accept who we are.
    pub(super) refused: AtomicBool,
}

impl Health {
    /// So many failures on end are no restart of Postgres: some two seconds of them.
    const MANY: usize = 4;

    /// Does it fail again and again?
    pub fn is_failing(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= Self::MANY
    }

    /// Does FCM refuse the credentials?
    pub fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Why a turn as decider ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Push {
    pub fn new(parts: Parts) -> Self {
        let Parts { store, log, client, bucket, fcm, clock, settings, metrics, process } = parts;
        Self {
            store,
            log,
            client,
            bucket,
            fcm,
            clock,
            settings,
            health: Arc::default(),
            metrics,
            online: Online::default(),
            reads: Reads::default(),
            memory: Memory::default(),
            process,
            wake: Notify::new(),
        }
    }

    /// Stands by, decides, and stands by again, until cancelled.
    ///
    /// # Errors
    /// [`BusError::EpochChanged`] when the log was made anew: the process must start anew.
    pub async fn decider(self: Arc<Self>, stop: CancellationToken) -> Result<(), BusError> {
        let progress = watch::Sender::new(0);
        tokio::select! {
            // Whatever it waits for: it must not keep the process from leaving.
            () = stop.cancelled() => Ok(()),
            fault = self.decide_always(&progress) => Err(fault),
            () = self.follow_progress(progress.clone()) => Ok(()),
        }
    }

    /// Ends with what cannot be waited out.
    async fn decide_always(&self, progress: &watch::Sender<Seq>) -> BusError {
        let mut failures = 0_usize;
        loop {
            let mut done = 0;
            let Err(fault) = self.decide(progress, &mut done).await;
            self.metrics.push.deciding.set(0);
            if let Fault::Bus(fault @ BusError::EpochChanged { .. }) = fault {
                return fault;
            }
            // Only progress proves that a failure is over.
            failures = if done > 0 { 0 } else { failures + 1 };
            self.health.failures.store(failures, Ordering::Relaxed);
            self.metrics.push.failed("decider");
            tracing::warn!(cause = %fault, failures, "the push decider starts over");
            tokio::time::sleep(BACKOFF[failures.min(BACKOFF.len() - 1)]).await;
        }
    }

    /// A turn goes well.
    pub(super) fn is_well(&self) {
        self.health.failures.store(0, Ordering::Relaxed);
    }

    /// Never ends: without the notices the decider looks by itself.
    async fn follow_progress(&self, progress: watch::Sender<Seq>) {
        loop {
            if let Err(cause) = bus::progress::follow(&self.client, progress.clone()).await {
                tracing::warn!(%cause, "the persister's progress is not heard; it is looked up");
            }
            tokio::time::sleep(BACKOFF[BACKOFF.len() - 1]).await;
        }
    }

    /// Knows who is online, until cancelled.
    pub async fn watch_presence(self: Arc<Self>, stop: CancellationToken) {
        self.online.follow(self.bucket.clone(), self.settings.edge_ttl, stop).await;
    }
}
