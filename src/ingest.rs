//! What other services have to say: system messages, profiles and what conversations are about.
//!
//! It comes by the work queue ([`queue`]), where nothing is lost while nobody is there, or as a request that is answered
//! ([`requests`]). Both are read the same ([`item`]) and dealt with the same ([`deliver`]). Any number of processes may
//! do this at once: every id follows from the service, its key and the conversation, so whoever repeats something
//! repeats it under the same id, which the log and Postgres know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::bus::dead_letter::services::Letters;
use crate::bus::log::Log;
use crate::bus::publish::{self, Publisher};
use crate::bus::{self, BusError};
use crate::domain::clock::SharedClock;
use crate::lifecycle::Lifecycle;
use crate::outbox::Outbox;
use crate::store::outbox::DrainError;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

mod announce;
mod deliver;
mod item;
mod letters;
mod limits;
mod notices;
mod queue;
mod requests;
mod window;

pub use limits::Limits;
pub use window::Window;

/// The name of its dead letters in the metrics.
pub const NAME: &str = "ingest";

/// What an operator may set; 0 turns a limit off.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Messages dealt with together at most.
    pub batch_size: usize,
    /// Requests under way at a time.
    pub max_requests: usize,
    pub max_content_chars: usize,
}

/// What it works with.
pub struct Ingest {
    pub store: Store,
    /// The log, to look at what Postgres does not have yet.
    pub log: Log,
    /// The connection for the queue and for requests.
    pub client: bus::Client,
    pub publisher: Publisher,
    pub outbox: Outbox,
    pub letters: Letters,
    pub window: Window,
    pub limits: Limits,
    pub clock: SharedClock,
    pub settings: Settings,
    pub health: Arc<Health>,
    /// There are contexts whose conversations have to be told.
    pub told: Notify,
    pub metrics: Arc<Metrics>,
}

/// How it is doing, for whoever asks whether the process is ready.
#[derive(Debug, Default)]
pub struct Health {
    /// Batches that have failed since the last that was dealt with.
    failures: AtomicUsize,
    behind: AtomicBool,
}

impl Health {
    /// So many failures on end are no restart of Postgres: some two seconds of them.
    const MANY: usize = 4;

    /// Does it fail again and again?
    pub fn is_failing(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= Self::MANY
    }

    /// Is Postgres too far behind the log to tell what was sent before?
    pub fn is_waiting_for_postgres(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    fn failed(&self, fault: &Fault) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.behind.store(matches!(fault, Fault::Behind), Ordering::Relaxed);
    }

    fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.behind.store(false, Ordering::Relaxed);
    }
}

/// Why something could not be dealt with now. Doing it again is harmless.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Outbox(#[from] DrainError<BusError>),
    /// Neither the log nor Postgres could tell whether a message was sent before.
    #[error("Postgres is so far behind the log that a repeated message would not be recognised")]
    Behind,
}

impl Ingest {
    /// Runs it as tasks of `lifecycle`; `driver` is the publisher's.
    pub fn spawn(self: Arc<Self>, driver: publish::Driver, lifecycle: &Lifecycle) {
        let soft = &lifecycle.soft;
        // What is under way when it stops is finished; the publisher ends behind it.
        let last = CancellationToken::new();
        lifecycle.spawn_critical("ingest's publisher", driver.run(last.clone()));
        lifecycle.spawn_critical("ingest", {
            let (ingest, soft) = (self.clone(), soft.clone());
            async move {
                let ended = tokio::try_join!(
                    queue::run(ingest.clone(), soft.clone()),
                    requests::run(ingest, soft)
                );
                last.cancel();
                ended.map(|_| ())
            }
        });
        lifecycle.spawn_critical("news of contexts", announce::run(self.clone(), soft.clone()));
        lifecycle.spawn_critical("ingest's outbox sweep", {
            let soft = soft.clone();
            async move { self.outbox.sweep(soft).await }
        });
    }
}

/// Pauses after a failure, as the persister makes them.
const BACKOFF: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Waits before the next attempt; `false` when cancelled.
async fn pause(failures: usize, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(BACKOFF[failures.min(BACKOFF.len() - 1)]) => true,
    }
}
