//! Rounds of markers for a Postgres that may be away: what it did not take waits, and is tried again after a moment.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::StoreError;

/// How long it is waited before Postgres is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How the rounds of one kind fare.
pub struct Attempts {
    /// What is written, for the log.
    what: &'static str,
    failing: bool,
}

impl Attempts {
    /// Of which none has failed.
    pub fn new(what: &'static str) -> Self {
        Self { what, failing: false }
    }

    /// The round with what came of it, if Postgres took it. Otherwise the log says so, once an outage, and `put_back` gets
    /// the round unless another try would fare no better.
    pub fn taken<R, T>(
        &mut self,
        outcome: Result<T, StoreError>,
        round: R,
        put_back: impl FnOnce(R),
    ) -> Option<(R, T)> {
        match outcome {
            Ok(outcome) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("{} are written again", self.what);
                }
                Some((round, outcome))
            }
            Err(cause) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%cause, "{} cannot be written", self.what);
                }
                if matches!(cause, StoreError::Unavailable(_)) {
                    put_back(round);
                }
                None
            }
        }
    }

    /// After a failure, waits before the next try. Returns `false` when cancelled meanwhile.
    pub async fn pause(&self, stop: &CancellationToken) -> bool {
        if !self.failing {
            return true;
        }
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(RETRY) => true,
        }
    }
}
