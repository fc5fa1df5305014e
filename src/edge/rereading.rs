//! What every node holds in memory of what any of them may change: read again every few seconds.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::store::StoreError;

/// A call that was not heard is made up for within this. One small query of each node for each thing.
pub const EVERY: Duration = Duration::from_secs(5);
/// A reading begins so long before the one before it: what was committed late is found although newer changes were seen. No
/// transaction of ours takes so long.
pub const OVERLAP: SignedDuration = SignedDuration::from_secs(60);

/// How one of these things is kept current.
pub struct Rereading<'a> {
    pub every: Duration,
    /// Makes it sooner. Who rings may not be heard, so nothing rests on it.
    pub bell: Option<&'a Notify>,
    /// What cannot be read while it fails, for the log.
    pub what: &'static str,
}

impl Rereading<'_> {
    /// Reads again and again, until cancelled. While that fails, what was read before counts; the log says so once an outage.
    pub async fn run<F, T>(&self, stop: &CancellationToken, read: impl Fn() -> F)
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.rung() => {}
                _ = ticks.tick() => {}
            }
            match read().await {
                Ok(_) => told = false,
                Err(cause) if !told => {
                    tracing::warn!(%cause, "cannot read {}", self.what);
                    told = true;
                }
                Err(_) => {}
            }
        }
    }

    async fn rung(&self) {
        match self.bell {
            Some(bell) => bell.notified().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_read_every_few_seconds_and_when_the_bell_rings_whether_that_works_or_not() {
        let (bell, stop, begun) = (Notify::new(), CancellationToken::new(), Instant::now());
        let reads = RefCell::new(Vec::new());
        let every = Duration::from_secs(5);
        let rereading = Rereading { every, bell: Some(&bell), what: "what was changed" };
        let read = || {
            reads.borrow_mut().push(begun.elapsed().as_secs());
            std::future::ready(Err::<(), _>(StoreError::Settings("no database".to_owned())))
        };
        let rings = async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            bell.notify_one();
            tokio::time::sleep(Duration::from_secs(4)).await;
            stop.cancel();
        };
        let both = async { tokio::join!(rereading.run(&stop, read), rings) };
        timeout(Duration::from_secs(20), both).await.expect("it stops");
        assert_eq!(reads.take(), [0, 5, 7, 10]);
    }
}
