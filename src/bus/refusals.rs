//! What the server does not allow this process.
//!
//! Such a refusal reaches nobody who waits: a request is not answered, a publish not stored, a subscription silent. It
//! comes as an event of the connection only, so it is written down here for the log and for whoever asks whether
//! the process is ready.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::error;

/// For how long a process that was refused something counts as not ready. What a role cannot do without it
/// tries again within seconds, and is refused again.
const LATELY: Duration = Duration::from_secs(30);

/// Sentences that are logged within [`FORGET`]; whoever misses a permission misses one or a few, and a subject with a
/// conversation's id in it must not fill the log.
const MOST: usize = 32;

/// After this a sentence is worth saying again.
const FORGET: Duration = Duration::from_secs(60);

/// The refusals that one process has met, on all its connections.
#[derive(Debug, Default)]
pub struct Refusals {
    met: Mutex<Met>,
    noted: Notify,
}

#[derive(Debug, Default)]
struct Met {
    last: Option<Instant>,
    told: HashSet<String>,
    telling_since: Option<Instant>,
}

impl Refusals {
    /// Was this process refused something a moment ago?
    pub fn is_refused(&self) -> bool {
        self.met.lock().last.is_some_and(|at| at.elapsed() < LATELY)
    }

    /// Waits until this process is refused something.
    pub async fn refused(&self) {
        loop {
            let noted = self.noted.notified();
            if self.is_refused() {
                return;
            }
            noted.await;
        }
    }

    /// Is it a refusal that the server complains of?
    pub(super) fn is_one(complaint: &str) -> bool {
        complaint.to_ascii_lowercase().starts_with("permissions violation")
    }

    /// Notes a refusal, and logs it unless the same was logged lately.
    pub(super) fn note(&self, connection: &str, complaint: &str) {
        if self.met.lock().is_news(complaint, Instant::now()) {
            error!(
                connection,
                refused = complaint,
                "the NATS user of this process may not do what it has to; see nats/permissions.conf"
            );
        }
        self.noted.notify_waiters();
    }
}

impl Met {
    fn is_news(&mut self, complaint: &str, now: Instant) -> bool {
        self.last = Some(now);
        if self.telling_since.is_none_or(|since| now - since > FORGET) {
            self.told.clear();
            self.telling_since = Some(now);
        }
        self.told.len() < MOST && self.told.insert(complaint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_said_once_a_minute_and_never_too_many_of_them() {
        let (mut met, start) = (Met::default(), Instant::now());
        assert!(met.is_news("a", start));
        assert!(!met.is_news("a", start + FORGET));
        let told = (0..1_000).filter(|n| met.is_news(&n.to_string(), start + FORGET)).count();
        assert_eq!(told, MOST - 1);
        assert!(met.is_news("a", start + 2 * FORGET));
    }

    #[test]
    fn what_may_not_be_done_is_told_from_other_complaints() {
        assert!(Refusals::is_one("Permissions Violation for Publish to \"chat.00.x\""));
        assert!(!Refusals::is_one("Stale Connection"));
    }
}
