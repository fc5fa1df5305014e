//! Leading: batches from the log, committed and acknowledged.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::log::Entry;
use crate::bus::pull::{Chunk, Kind, Pull};
use crate::bus::{BusError, progress};
use crate::store::leadership::{Leader, Position};

use super::prune::Pruning;
use super::retention::Walk;
use super::sweep::Sweep;
use super::{Fault, NAME, Persister};

/// How long the server waits for an acknowledgement before it delivers again. A pull that sees a redelivery
/// starts over, so this is for a leader that hangs; longer than the longest outage of Postgres that should pass
/// without one.
const ACK_WAIT: Duration = Duration::from_secs(300);

impl Persister {
    pub(super) async fn follow(
        &self,
        leader: &mut Leader,
        stop: &CancellationToken,
        done: &mut u64,
    ) -> Result<(), Fault> {
        // After an outage it may be another one, whose sequences mean something else.
        let end = self.log.check_epoch().await?;
        let mut position = leader.position(NAME).await?;
        self.adopt_epoch(leader, &mut position).await?;
        // What a predecessor left undone.
        self.erase(leader).await?;
        let batch = self.settings.batch_size;
        // Two batches may be on the way while one is being written.
        let max_ack_pending = i64::try_from(batch * 4).unwrap_or(i64::MAX);
        let kind =
            Kind::Durable { name: NAME, max_ack_pending, ack_wait: ACK_WAIT, headers_only: false };
        let mut pull = Pull::begin(&self.log, &kind, position.last_seq + 1, batch * 2).await?;
        let mut pruning = Pruning::due();
        let mut walk = Walk::begin();
        let mut sweep = Sweep::behind(end);
        sweep.applied(position.last_seq, pull.pending() == 0);
        loop {
            self.prune(leader, &mut pruning).await?;
            self.retain(leader, &mut walk).await?;
            self.sweep(leader, &mut sweep, position.last_seq).await?;
            let first = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                first = pull.next() => first?,
                // Looking for what is due shows the database that an idle leader lives; see `Leader::lead`.
                () = tokio::time::sleep_until(sweep.due()) => {
                    self.metrics.persister_lag_messages.set(0);
                    continue;
                }
            };
            let (entries, last) = self.gather(&mut pull, first).await?;
            let count = entries.len() as u64;
            self.commit(leader, &mut position, entries).await?;
            last.acknowledge().await?;
            progress::announce(&self.client, position.last_seq).await?;
            self.metrics.persister_lag_messages.set(i64::try_from(last.pending()).unwrap_or(0));
            sweep.applied(position.last_seq, last.pending() == 0);
            *done += count;
            self.health.failures.store(0, Ordering::Relaxed);
        }
    }

    /// The rows in Postgres count in the sequences of one epoch of the log. A first start adopts the epoch; any
    /// other difference means that the log was recreated, with sequences that start above what is persisted.
    async fn adopt_epoch(&self, leader: &mut Leader, position: &mut Position) -> Result<(), Fault> {
        let epoch = self.log.epoch();
        if position.epoch.as_deref() == Some(epoch) {
            return Ok(());
        }
        let first = self.log.first_seq();
        let lost = position.epoch.is_some() && first <= position.last_seq;
        if lost {
            let expected = position.epoch.clone().unwrap_or_default();
            return Err(BusError::EpochChanged { expected, found: epoch.to_owned() }.into());
        }
        tracing::info!(epoch, from = position.last_seq + 1, "following a new epoch of the log");
        leader.adopt_epoch(NAME, epoch).await?;
        position.epoch = Some(epoch.to_owned());
        Ok(())
    }

    /// Waits a moment for what shares the transaction.
    async fn gather(&self, pull: &mut Pull, first: Chunk) -> Result<(Vec<Entry>, Chunk), Fault> {
        let mut last = first;
        let mut entries = std::mem::take(&mut last.entries);
        let deadline = Instant::now() + self.settings.linger;
        while entries.len() < self.settings.batch_size {
            match tokio::time::timeout_at(deadline, pull.next()).await {
                Err(_) => break,
                // What is here is good; the fault shows again at the next pull.
                Ok(Err(_)) => break,
                Ok(Ok(mut more)) => {
                    entries.append(&mut more.entries);
                    last = more;
                }
            }
        }
        Ok((entries, last))
    }

    async fn commit(
        &self,
        leader: &mut Leader,
        position: &mut Position,
        entries: Vec<Entry>,
    ) -> Result<(), Fault> {
        let count = entries.len() as u64;
        let events = entries.iter().filter_map(|entry| entry.as_ref().ok());
        let noted: Vec<_> =
            events.map(|event| (event.stored_at, event.trace.clone(), event.seq)).collect();
        self.persist(leader, position, entries).await?;
        self.metrics.persister_batches.inc();
        self.metrics.persister_batch_size.observe_value(count as f64, 1);
        self.metrics.persisted.inc_by(count);
        let now = Timestamp::now().as_nanosecond();
        for (stored_at, trace, seq) in noted {
            let took = u64::try_from(now - i128::from(stored_at)).unwrap_or(0);
            self.metrics.stored_to_persisted.observe(Duration::from_nanos(took));
            if let Some(trace) = trace {
                tracing::info!(trace, seq, "persisted");
            }
        }
        Ok(())
    }
}
