//! How fast this node takes in files, all uploads together.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// What may be taken in at once after a pause. Timers are good to a millisecond, in which 64 MiB/s bring one chunk: without
/// some credit each would be late. Ten of those are 640 KiB, some milliseconds of a processor.
const CREDIT: Duration = Duration::from_millis(10);

/// One upload at a time does something with what it has read, and no sooner than the rate allows. However many have
/// something to read, messages wait behind one of them, and the others hold no more than they have read.
#[derive(Debug)]
pub struct Pace {
    /// When what was taken in so far is worked off at the rate.
    until: Mutex<Instant>,
    bytes_per_second: u64,
}

/// The turn of one upload; the next one gets it when this is dropped.
pub type Turn<'a> = MutexGuard<'a, Instant>;

impl Pace {
    /// 0 for no limit.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { until: Mutex::new(Instant::now()), bytes_per_second }
    }

    /// Waits for the turn to do something with that many bytes. Turns are given in the order of asking.
    pub async fn turn(&self, bytes: usize) -> Turn<'_> {
        let mut until = self.until.lock().await;
        if self.bytes_per_second > 0 {
            let now = Instant::now();
            let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
            *until = (*until).max(now.checked_sub(CREDIT).unwrap_or(now)) + takes;
            tokio::time::sleep_until(*until).await;
        }
        until
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_uploads_together_keep_to_the_rate() {
        let pace = Arc::new(Pace::new(64 << 20));
        let began = Instant::now();
        let uploads: Vec<_> = (0..8)
            .map(|_| {
                let pace = pace.clone();
                tokio::spawn(async move {
                    for _ in 0..32 {
                        drop(pace.turn(256 << 10).await);
                    }
                })
            })
            .collect();
        for upload in uploads {
            upload.await.expect("it ends");
        }
        // 8 × 32 × 256 KiB are 64 MiB.
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(1) - CREDIT, "{took:?}");
        assert!(took <= Duration::from_secs(1) + CREDIT, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nobody_waits_for_time() {
        let pace = Pace::new(0);
        let began = Instant::now();
        for _ in 0..100 {
            drop(pace.turn(64 << 20).await);
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
