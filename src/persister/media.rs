//! Erases files that nothing names any more: those of deleted messages, those that no message ever named, and what is
//! left of uploads that failed.
//!
//! Postgres says what has to go, and goes on saying so until it is gone: a crash or an object store that is away delays
//! it and loses nothing. It runs beside the batches, which never wait for the object store.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::domain::clock::SharedClock;
use crate::media::objects::{ObjectError, Objects};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

use super::Health;
use super::rounds::Rounds;

/// How often to look: an index that is empty nearly always.
const EVERY: Duration = Duration::from_secs(1);
/// Files of one round: three requests each to the object store, some seconds in all.
const ROUND: u32 = 100;
/// More failures than successes by so many mean the store, and not the files. Each may take the store's own patience.
const FAILURES: u32 = 2;
/// What could not be erased is tried again so much later, by whoever leads then.
const AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// The leader's task. One that does not know yet that it was replaced erases what the next one erases too, which is
/// harmless.
pub struct Collector {
    pub store: Store,
    pub objects: Objects,
    pub clock: SharedClock,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
}

impl Collector {
    /// Collects while this process leads, until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let rounds = Rounds {
            every: EVERY,
            health: &self.health,
            failures: &self.metrics.media.failures,
            meaning: "files wait to be erased",
        };
        rounds.while_leading(&stop, || self.round(), || {}).await;
    }

    async fn round(&self) -> Result<(), Fault> {
        loop {
            let now = self.clock.now();
            let keys = self.store.media_to_erase(now, now + AGAIN, ROUND).await?;
            let (mut erased, mut failed) = (0, 0);
            let mut outcome = Ok::<(), Fault>(());
            for key in &keys {
                // One that cannot be erased does not keep the others, a store that is away keeps all.
                if let Err(cause) = self.objects.delete(*key).await {
                    outcome = Err(cause.into());
                    failed += 1;
                    if failed > erased + FAILURES {
                        break;
                    }
                    continue;
                }
                // One at a time: what was erased is not asked for again, whatever comes next.
                self.store.forget_media(&[*key]).await?;
                self.metrics.media.erased.inc();
                erased += 1;
            }
            outcome?;
            if keys.len() < ROUND as usize {
                return Ok(());
            }
        }
    }
}
