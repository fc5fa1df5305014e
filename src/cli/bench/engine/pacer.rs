//! Wakes the engine when messages of an open loop are due. `epoll` counts in milliseconds, which is
//! more than a message takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::Waker;

/// Ticks are no closer than this: at higher rates several messages leave on one tick.
const SHORTEST_TICK: Duration = Duration::from_micros(100);

/// Nor further apart than this, so that a stop is noticed.
const LONGEST_TICK: Duration = Duration::from_millis(100);

/// A ticking thread, stopped when dropped.
#[derive(Debug)]
pub struct Pacer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pacer {
    /// Ticks at `first` and then `rate` times a second, less often for rates above 10,000.
    pub fn start(first: Instant, rate: f64, waker: Arc<Waker>) -> std::io::Result<Self> {
        let tick = Duration::from_secs_f64(1.0 / rate).clamp(SHORTEST_TICK, LONGEST_TICK);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let tick_until_stopped = move || {
            let mut next = first;
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(next.saturating_duration_since(super::world::instant()));
                // Ticks stay on their grid; those that were missed are left out.
                while next <= super::world::instant() {
                    next += tick;
                }
                if waker.wake().is_err() {
                    // The engine is gone.
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("pacer".into()).spawn(tick_until_stopped)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It holds nothing and ends within a tick; a panic in it has nothing to add.
            thread.join().ok();
        }
    }
}
