//! How far Postgres is behind the log, seen from an edge: whoever watches the service must learn of it also when there
//! is no persister left to tell.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::ids::Seq;

use super::Edge;

/// How often it is looked at: operators scrape every few seconds.
const TICK: Duration = Duration::from_secs(1);
/// Far longer than any healthy lag: somebody should know.
const TOO_LONG: Duration = Duration::from_secs(10);

/// Keeps the metrics, and says when Postgres falls behind and when it is back, until cancelled.
pub async fn watch(edge: &Edge, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    let mut told = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let (events, age) = behind(edge).await;
        edge.metrics.postgres_behind_events.set(i64::try_from(events).unwrap_or(i64::MAX));
        let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        edge.metrics.postgres_behind_seconds.set(seconds);
        if age >= TOO_LONG && !told {
            tracing::warn!(events, ?age, "Postgres is behind the log; is a persister running?");
            told = true;
        } else if age < TICK && told {
            tracing::info!("Postgres has caught up with the log");
            told = false;
        }
    }
}

/// The number of events that Postgres lacks, and the age of the oldest of them that is still kept here.
async fn behind(edge: &Edge) -> (u64, Duration) {
    let known = *edge.persisted.borrow();
    if age(edge, known) < TICK {
        return (count(edge, known), age(edge, known));
    }
    // Notices can be lost; the database knows, if it can be asked.
    let persisted = edge.store.progress().await.map_or(known, |progress| progress.last_seq);
    (count(edge, persisted), age(edge, persisted))
}

fn age(edge: &Edge, persisted: Seq) -> Duration {
    let stored_at = edge.hub.stored_behind(persisted);
    let age = stored_at.map(|at| edge.clock.now().as_nanosecond() - i128::from(at));
    Duration::from_nanos(age.and_then(|age| u64::try_from(age).ok()).unwrap_or(0))
}

/// Nothing when what lies between was erased.
fn count(edge: &Edge, persisted: Seq) -> u64 {
    let lacks = edge.hub.stored_behind(persisted).is_some();
    if lacks { edge.hub.last_seq().saturating_sub(persisted) } else { 0 }
}
