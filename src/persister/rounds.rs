//! What the leader does beside the batches, round after round; the batches never wait for it.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics::RealCounter;

use super::Health;

/// Rounds that are left out after failures on end, at most: a minute where there is one a second.
const LONGEST_PAUSE: u32 = 60;

/// Rounds of one kind of work.
pub(super) struct Rounds<'a> {
    /// Between two of them.
    pub every: Duration,
    pub health: &'a Health,
    /// Counts those that fail.
    pub failures: &'a RealCounter,
    /// What a failure means, for the log.
    pub meaning: &'static str,
}

impl Rounds<'_> {
    /// Makes rounds while this process leads, until cancelled; while another one leads, `stands_by` is called instead. After
    /// a failure two are left out, then four, and so on.
    pub async fn while_leading<F, E>(
        &self,
        stop: &CancellationToken,
        round: impl Fn() -> F,
        stands_by: impl Fn(),
    ) where
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut failures, mut left_out) = (0_u32, 0);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if !self.health.is_leading() {
                stands_by();
                continue;
            }
            if left_out > 0 {
                left_out -= 1;
                continue;
            }
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = round() => outcome,
            };
            match outcome {
                Ok(()) => failures = 0,
                Err(cause) => {
                    failures = failures.saturating_add(1);
                    left_out = 2_u32.saturating_pow(failures).min(LONGEST_PAUSE);
                    self.failures.inc();
                    tracing::warn!(%cause, failures, "{}", self.meaning);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::sync::atomic::Ordering;

    use tokio::time::{Instant, timeout};

    use super::*;

    /// The seconds at which rounds are made, when `round` says of each whether it goes well, and how often another one led.
    async fn rounds(
        health: &Health,
        seconds: u64,
        goes_well: impl Fn(u64) -> bool,
    ) -> (Vec<u64>, u64) {
        let (failures, stop) = (RealCounter::default(), CancellationToken::new());
        let every = Duration::from_secs(1);
        let rounds = Rounds { every, health, failures: &failures, meaning: "work waits" };
        let (begun, made, idle) = (Instant::now(), RefCell::new(Vec::new()), Cell::new(0));
        let round = || {
            let at = begun.elapsed().as_secs();
            made.borrow_mut().push(at);
            std::future::ready(if goes_well(at) { Ok(()) } else { Err("it is broken") })
        };
        let stands_by = || idle.set(idle.get() + 1);
        let work = rounds.while_leading(&stop, round, stands_by);
        timeout(Duration::from_millis(seconds * 1000 + 500), work).await.expect_err("it goes on");
        let failed = made.borrow().iter().filter(|at| !goes_well(**at)).count();
        assert_eq!(failures.get(), failed as u64);
        (made.take(), idle.get())
    }

    fn leading() -> Health {
        let health = Health::default();
        health.leading.store(true, Ordering::Relaxed);
        health
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_doubles_the_rounds_that_are_left_out_up_to_a_minute_of_them() {
        let (made, _) = rounds(&leading(), 190, |_| false).await;
        assert_eq!(made, [0, 3, 8, 17, 34, 67, 128, 189]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_goes_well_ends_the_pauses() {
        let (made, _) = rounds(&leading(), 8, |at| at != 0 && at != 4).await;
        assert_eq!(made, [0, 3, 4, 7, 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_lead_makes_none() {
        let (made, idle) = rounds(&Health::default(), 4, |_| true).await;
        assert_eq!((made, idle), (vec![], 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_hangs_does_not_keep_it_from_stopping() {
        let (failures, stop, health) =
            (RealCounter::default(), CancellationToken::new(), leading());
        let every = Duration::from_secs(1);
        let rounds = Rounds { every, health: &health, failures: &failures, meaning: "work waits" };
        let round = || {
            stop.cancel();
            std::future::pending::<Result<(), &str>>()
        };
        let work = rounds.while_leading(&stop, round, || {});
        timeout(Duration::from_secs(1), work).await.expect("it stops");
    }
}
