//! How the process stops, and who watches its tasks.
//!
//! There are two stops. The *soft* one (first SIGINT or SIGTERM, or a critical task that died) asks every
//! task to finish what it has and leave. The *hard* one (second signal, or the deadline after the soft one)
//! tells them to leave at once; nothing that was acknowledged is lost by it, because the log has it.
//!
//! *Invariant:* every task is spawned here, so that none dies unseen and all are waited for.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tasks may take to notice the hard stop. They only have to drop what they hold, so this is
/// scheduling time on a busy machine, not work.
const AFTER_HARD_STOP: Duration = Duration::from_secs(2);

/// Tokens, supervised tasks, and the first reason to end with an error. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    /// Finish and leave.
    pub soft: CancellationToken,
    /// Leave now.
    pub hard: CancellationToken,
    tasks: TaskTracker,
    /// How many of each name are running.
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    failure: Arc<Mutex<Option<String>>>,
    hard_deadline: Duration,
}

impl Lifecycle {
    /// Starts to listen to SIGINT and SIGTERM. `hard_deadline` counts from the soft stop.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn start(hard_deadline: Duration) -> std::io::Result<Self> {
        let lifecycle = Self::without_signals(hard_deadline);
        let signals = Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        };
        // Not tracked: it ends with the process, and waiting for it would be waiting for a second signal.
        tokio::spawn(signals.follow(lifecycle.soft.clone(), lifecycle.hard.clone()));
        Ok(lifecycle)
    }

    fn without_signals(hard_deadline: Duration) -> Self {
        Self {
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            tasks: TaskTracker::new(),
            running: Arc::default(),
            failure: Arc::default(),
            hard_deadline,
        }
    }

    /// Spawns a task that the process cannot do without: if it ends, fails or panics before the soft stop,
    /// the process stops softly and exits with an error that names it.
    pub fn spawn_critical<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let lifecycle = self.clone();
        let running = self.running(name);
        self.tasks.spawn(async move {
            let ended = AssertUnwindSafe(future).catch_unwind().await;
            drop(running);
            match describe(ended) {
                Some(reason) => lifecycle.fail(&format!("{name} failed: {reason}")),
                None if !lifecycle.soft.is_cancelled() => {
                    lifecycle.fail(&format!("{name} ended although nothing had asked it to"));
                }
                None => tracing::debug!(task = name, "ended"),
            }
        });
    }

    /// Spawns a task whose end concerns nobody else, such as a connection. A failure or panic is logged.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output: Outcome> + Send + 'static,
    {
        let running = self.running(name);
        self.tasks.spawn(async move {
            let _running = running;
            if let Some(reason) = describe(AssertUnwindSafe(future).catch_unwind().await) {
                tracing::error!(task = name, %reason, "task failed");
            }
        });
    }

    fn running(&self, name: &'static str) -> Running {
        *self.running.lock().entry(name).or_default() += 1;
        Running(self.running.clone(), name)
    }

    /// Stops softly because of an error; the exit code will say so. The first reason is kept.
    pub fn fail(&self, reason: &str) {
        tracing::error!(reason, "stopping");
        self.failure.lock().get_or_insert_with(|| reason.to_owned());
        self.soft.cancel();
    }

    /// The tasks that are running, for people.
    fn names(&self) -> String {
        let running = self.running.lock();
        let each = running.iter().map(|(name, count)| format!("{name} ({count})"));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Waits for the soft stop and then for every task, until the hard stop at the latest.
    ///
    /// The exit code is a success when a signal asked for the stop and every task finished in time.
    pub async fn run_until_stopped(&self) -> ExitCode {
        self.soft.cancelled().await;
        tracing::info!(tasks = self.tasks.len(), "stopping");
        self.tasks.close();
        let finished = tokio::select! {
            () = self.tasks.wait() => true,
            () = self.hard.cancelled() => false,
            () = tokio::time::sleep(self.hard_deadline) => false,
        };
        if !finished {
            let late = self.names();
            self.hard.cancel();
            let in_time = tokio::time::timeout(AFTER_HARD_STOP, self.tasks.wait()).await.is_ok();
            tracing::warn!(
                late,
                left = self.names(),
                in_time,
                "stopped before everything had finished"
            );
        }
        match (self.failure.lock().is_none(), finished) {
            (true, true) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

/// Counts a task while it runs.
struct Running(Arc<Mutex<BTreeMap<&'static str, usize>>>, &'static str);

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.0.lock();
        if let Some(count) = running.get_mut(self.1) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.1);
            }
        }
    }
}

/// What a task may end with.
pub trait Outcome {
    /// What went wrong, if something did.
    fn failure(self) -> Option<String>;
}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Display> Outcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        // The alternate form of `anyhow::Error` is its whole chain.
        self.err().map(|error| format!("{error:#}"))
    }
}

fn describe<O: Outcome>(ended: Result<O, Box<dyn Any + Send>>) -> Option<String> {
    match ended {
        Ok(outcome) => outcome.failure(),
        Err(panic) => {
            let message = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            Some(format!("panicked: {}", message.as_deref().unwrap_or("no message")))
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn follow(mut self, soft: CancellationToken, hard: CancellationToken) {
        let name = self.next().await;
        tracing::info!(signal = name, "stopping; a second signal stops at once");
        soft.cancel();
        let name = self.next().await;
        tracing::warn!(signal = name, "stopping at once");
        hard.cancel();
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle() -> Lifecycle {
        Lifecycle::without_signals(Duration::from_millis(50))
    }

    #[tokio::test]
    async fn a_soft_stop_waits_for_tasks_and_succeeds() {
        let lifecycle = lifecycle();
        let soft = lifecycle.soft.clone();
        lifecycle.spawn_critical("listener", async move { soft.cancelled().await });
        lifecycle.soft.cancel();
        assert_eq!(lifecycle.run_until_stopped().await, ExitCode::SUCCESS);
        assert!(!lifecycle.hard.is_cancelled());
    }

    #[tokio::test]
    async fn a_critical_task_that_ends_fails_or_panics_ends_the_process_with_an_error() {
        let ended = lifecycle();
        ended.spawn_critical("ended", async {});
        assert_eq!(ended.run_until_stopped().await, ExitCode::FAILURE);

        let failed = lifecycle();
        failed.spawn_critical("failed", async { Err::<(), _>("no disk") });
        assert_eq!(failed.run_until_stopped().await, ExitCode::FAILURE);
        assert_eq!(failed.failure.lock().as_deref(), Some("failed failed: no disk"));

        let panicked = lifecycle();
        panicked.spawn_critical("panicked", async {
            assert_eq!(1, 2, "index 3");
        });
        assert_eq!(panicked.run_until_stopped().await, ExitCode::FAILURE);
        let reason = panicked.failure.lock().clone().expect("a reason");
        assert!(reason.starts_with("panicked failed: panicked:"), "{reason}");
        assert!(reason.contains("index 3"), "{reason}");
    }

    #[tokio::test]
    async fn a_task_that_outlives_the_deadline_is_told_to_leave_at_once() {
        let lifecycle = lifecycle();
        let hard = lifecycle.hard.clone();
        lifecycle.spawn("stubborn", async move { hard.cancelled().await });
        assert_eq!(lifecycle.names(), "stubborn (1)");
        lifecycle.soft.cancel();
        assert_eq!(lifecycle.run_until_stopped().await, ExitCode::FAILURE);
        assert_eq!(lifecycle.names(), "");
    }
}
