//! Whether a repeated message is still recognised by somebody.
//!
//! The log knows the ids of what it stored lately, Postgres of what was persisted. Between the two lies what was stored
//! long ago and is not persisted yet, when the persister is far behind. So before something is published, the oldest event
//! that Postgres lacks must be younger than the log's memory: then everything older is in Postgres, and everything younger
//! is in the log's memory. The age only grows with the clock, so one look is good for a while.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use crate::bus::log::Log;
use crate::bus::reads;
use crate::domain::ids::Seq;

use super::{Fault, Ingest};

/// What is known of the log's memory.
pub struct Window {
    /// Everything that Postgres lacked then, and everything since, was stored after this.
    since: Mutex<Timestamp>,
    /// How old that may get before it is looked at again.
    fresh: SignedDuration,
    /// How old it may be after a look. A publish is tried for 10 s, and clocks differ.
    limit: SignedDuration,
}

impl Window {
    /// For a log that remembers ids for so long.
    pub fn new(memory: Duration) -> Self {
        let memory = SignedDuration::try_from(memory).unwrap_or(SignedDuration::MAX);
        Self { since: Mutex::new(Timestamp::MIN), fresh: memory / 2, limit: memory / 4 * 3 }
    }
}

impl Ingest {
    /// Makes sure that what is looked up in Postgres from now on, and published after that, is recognised if it was
    /// sent before.
    ///
    /// # Errors
    /// [`Fault::Behind`] where it would not be.
    pub(super) async fn recognises_repetitions(&self) -> Result<(), Fault> {
        let now = self.clock.now();
        if now.duration_since(*self.window.since.lock()) < self.window.fresh {
            return Ok(());
        }
        let persisted = self.store.progress().await?.last_seq;
        let since = oldest_lacking(&self.log, persisted).await?.unwrap_or(now);
        *self.window.since.lock() = since;
        if now.duration_since(since) < self.window.limit { Ok(()) } else { Err(Fault::Behind) }
    }
}

async fn oldest_lacking(log: &Log, persisted: Seq) -> Result<Option<Timestamp>, Fault> {
    // A log that was made anew has other sequences: the process must start anew as well.
    if log.check_epoch().await? <= persisted {
        return Ok(None);
    }
    Ok(reads::stored_behind(log, persisted).await?)
}
