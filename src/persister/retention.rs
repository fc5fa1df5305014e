//! Removing what is kept for a limited time: rows, files and what the log still has of them.
//!
//! The leader walks through all conversations and removes the oldest messages of each, in bounded batches, between the batches
//! of the log. Nobody is told: apps that hold a copy keep it, and whoever pages back finds the history to begin later.

use std::time::Duration;

use tokio::time::Instant;

use crate::bus::reads;
use crate::domain::ids::ConversationId;
use crate::store::leadership::Leader;

use super::{Fault, Persister};

/// Conversations of one look: each costs a look at its first messages, together some 20 ms. A million of them are
/// walked through in a quarter of an hour.
const CONVERSATIONS: u32 = 500;
/// Messages that are removed at a time: some 100 ms with what the log still has of them, in which batches wait. 400 a second,
/// which is 34 million a day.
const ROUND: u32 = 200;
/// Between two looks: batches have most of the time.
const EVERY: Duration = Duration::from_millis(500);
/// Between two walks.
const REST: Duration = Duration::from_secs(5);

/// How far the walk is.
pub struct Walk {
    due: Instant,
    after: Option<ConversationId>,
    removed: u64,
}

impl Walk {
    /// Due at once.
    pub fn begin() -> Self {
        Self { due: Instant::now(), after: None, removed: 0 }
    }
}

impl Persister {
    /// Looks, if it is time and anything is kept for a limited time.
    pub(super) async fn retain(&self, leader: &mut Leader, walk: &mut Walk) -> Result<(), Fault> {
        let retention = self.settings.retention;
        if retention.shortest().is_none() || Instant::now() < walk.due {
            return Ok(());
        }
        let now = self.clock.now();
        let overdue = leader.overdue(walk.after, retention, now, (CONVERSATIONS, ROUND)).await?;
        if overdue.is_empty() {
            walk.after = overdue.reached;
            walk.due = Instant::now() + if walk.after.is_none() { REST } else { EVERY };
            if walk.after.is_none() && walk.removed > 0 {
                tracing::info!(messages = walk.removed, "removed past their time");
                walk.removed = 0;
            }
            return Ok(());
        }
        // The same conversations again, until nothing in them is overdue.
        let extent = reads::extent(&self.log).await?;
        let gone = leader.remove_overdue(&overdue, extent.first).await?;
        walk.removed += gone;
        self.erase(leader).await?;
        walk.due = Instant::now() + EVERY;
        Ok(())
    }
}
