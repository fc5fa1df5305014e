//! Where files are looked at and images made smaller: one thread that has the processor while nobody else wants it, so
//! that messages never wait for it.
//!
//! One thread also bounds the memory: at most one image is decoded at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::{mpsc, oneshot};

/// Files that wait for their turn: as many as uploads are let in at once, and each holds only a handle.
const WAITING: usize = 64;
/// The lowest there is, for systems that know nothing lower.
const NICE: i32 = 19;

type Job = Box<dyn FnOnce() + Send>;

/// The way into the workshop. The thread ends with the last of them.
#[derive(Debug, Clone)]
pub struct Workshop {
    jobs: mpsc::Sender<Job>,
}

/// The work did not end: it panicked, which has been logged.
#[derive(Debug, thiserror::Error)]
#[error("the work on a file did not end")]
pub struct Gone;

impl Workshop {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start() -> std::io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING);
        std::thread::Builder::new().name("media".to_owned()).spawn(move || {
            if let Err(cause) = step_back() {
                tracing::warn!(%cause, "work on files has the priority of everything else");
            }
            while let Some(job) = waiting.blocking_recv() {
                // The panic hook has logged where and why; who waits learns that nothing comes.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Does the work there, in its turn. Whoever stops waiting does not stop work that has begun.
    ///
    /// # Errors
    /// [`Gone`] when it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (done, outcome) = oneshot::channel();
        let job = Box::new(move || {
            if !done.is_closed() {
                // Nobody may be waiting any more.
                let _ = done.send(work());
            }
        });
        self.jobs.send(job).await.map_err(|_| Gone)?;
        outcome.await.map_err(|_| Gone)
    }
}

/// Gives this thread what others leave. A nice value alone does not: whoever wakes up has to wait for the end of the
/// thread's slice, and between control groups it counts for nothing. With it messages took seven times as long at the 99th
/// percentile while photos were made small, so twice (two cores), and the photos were done no sooner.
fn step_back() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let unused = libc::sched_param { sched_priority: 0 };
        // SAFETY: the thread is the calling one (0), and the structure lives until the call has ended.
        if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const unused) } == 0 {
            return Ok(());
        }
    }
    // On Linux this is the thread's own.
    Ok(rustix::process::setpriority_process(None, NICE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_one_piece_of_work_concerns_no_other() {
        let workshop = Workshop::start().expect("a thread");
        assert!(workshop.run(|| panic!("on purpose")).await.is_err());
        assert_eq!(workshop.run(|| 7).await.expect("a number"), 7);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn its_thread_alone_has_only_what_others_leave() {
        let workshop = Workshop::start().expect("a thread");
        // SAFETY: no pointers; 0 is the calling thread.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let here = policy();
        assert_eq!(workshop.run(policy).await.expect("a number"), libc::SCHED_IDLE);
        assert_eq!(policy(), here);
        assert_ne!(here, libc::SCHED_IDLE);
    }
}
