//! Keeps this node's keys in the bucket, and its knowledge of the others' up to date.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::bus::BusError;
use crate::bus::presence::{Bucket, Entry, Reader};
use crate::domain::presence::EdgeId;
use crate::telemetry::metrics::Metrics;

use super::Presence;
use super::state::Write;

/// Pauses between attempts to read the bucket again.
const BACKOFF: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
];
/// How many times an edge renews its key while it would last: two may get lost.
const RENEWALS: u32 = 3;

/// The one task that talks to the bucket.
pub struct Keeper {
    pub presence: Arc<Presence>,
    pub bucket: Bucket,
    pub edge_ttl: Duration,
    pub metrics: Arc<Metrics>,
}

impl Keeper {
    /// Keeps until cancelled. A node that leaves removes nothing: its clients are on their way to other nodes, and
    /// only those who have not arrived when its key expires are gone.
    pub async fn run(self, stop: CancellationToken) {
        let mut failures = 0_usize;
        loop {
            let fault = tokio::select! {
                () = stop.cancelled() => return,
                fault = self.attend() => fault,
            };
            self.metrics.presence.attached.set(0);
            if self.presence.with(|state, now| state.detach(now.instant)) {
                failures = 0;
                tracing::warn!(cause = %fault, "presence is not known; users of other nodes will count as offline");
            }
            let pause = tokio::time::sleep(BACKOFF[failures.min(BACKOFF.len() - 1)]);
            failures += 1;
            tokio::select! {
                () = stop.cancelled() => return,
                () = pause => self.presence.with(|state, now| state.pass_time(now)),
            }
        }
    }

    /// Reads the bucket and keeps its keys, until something fails.
    async fn attend(&self) -> BusError {
        let mut reader = match self.load().await {
            Ok(reader) => reader,
            Err(fault) => return fault,
        };
        tracing::info!("presence is known");
        self.metrics.presence.attached.set(1);
        let mut renewals = tokio::time::interval(self.edge_ttl / RENEWALS);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut written = None;
        loop {
            if let Err(fault) = self.write(&mut written).await {
                return fault;
            }
            let due = self.presence.with(|state, _| state.here.next_due());
            tokio::select! {
                read = reader.next() => match read {
                    Ok(entries) => self.take(entries),
                    Err(fault) => return fault,
                },
                _ = renewals.tick() => {
                    written = None;
                    if self.presence.with(|state, now| state.is_unheard(now.instant)) {
                        return BusError::unavailable("what is written does not arrive");
                    }
                }
                () = self.presence.changed.notified() => {}
                () = until(due) => {}
            }
        }
    }

    async fn load(&self) -> Result<Reader, BusError> {
        let mut reader = self.bucket.read().await?;
        self.presence.with(|state, _| state.begin());
        while !reader.is_complete() {
            let entries = reader.next().await?;
            self.take(entries);
        }
        self.presence.with(|state, now| state.loaded(now));
        Ok(reader)
    }

    fn take(&self, entries: Vec<Entry>) {
        self.presence.with(|state, now| {
            for entry in entries {
                state.apply(entry, now);
            }
            self.metrics.presence.online.set(i64::try_from(state.online()).unwrap_or(i64::MAX));
        });
    }

    /// Writes what has to be written; its own key first, or what follows would not count. `written` is the life for
    /// which that was done.
    async fn write(&self, written: &mut Option<EdgeId>) -> Result<(), BusError> {
        let (me, writes, dead, dropped) = self.presence.with(|state, now| {
            state.pass_time(now);
            let dead: Vec<EdgeId> = std::iter::from_fn(|| state.bury(now)).collect();
            (state.me(), state.writes(now), dead, state.take_dropped())
        });
        if *written != Some(me) {
            self.bucket.renew(me).await?;
            self.presence.with(|state, now| state.renewed(now.instant));
            *written = Some(me);
        }
        for write in &writes {
            match *write {
                Write::Put(user) => self.bucket.put(me, user).await?,
                Write::Remove(user, last_seen) => self.bucket.remove(me, user, last_seen).await?,
            }
        }
        self.metrics.presence.writes.inc_by(writes.len() as u64);
        for edge in dead {
            tracing::info!(%edge, "a node is gone; its users were announced");
            self.bucket.forget(edge).await?;
        }
        if dropped > 0 {
            self.metrics.presence.dropped.inc_by(dropped);
            tracing::warn!(dropped, "too many announcements wait for the database");
        }
        Ok(())
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
