//! Reading what was acknowledged.
//!
//! History comes from Postgres, which follows the log by some milliseconds. A read that begins after an
//! acknowledgement must show what was acknowledged, on any node; so it asks the log's leader for the last
//! sequence of the conversation and waits until Postgres has passed it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::bus::log::Log;
use crate::bus::reads::Extent;
use crate::bus::{BusError, reads};
use crate::domain::ids::{ConversationId, Seq};

use super::Edge;
use super::rounds::{Rounds, Size, Work, rounds};

/// How long a read waits for Postgres where the recent events can make up for what it lacks. Its usual lag is below
/// 100 ms, and what it has is complete (the events lack what concerns one user alone).
pub const PERSISTED_SOON: Duration = Duration::from_millis(250);
/// The same where nothing makes up for it. The persister's lag is some 50 ms under load; after two seconds it is not
/// running, and what is there is better than nothing.
const PERSISTED: Duration = Duration::from_secs(2);
/// How long a read waits for this node's tail. It takes less than a millisecond, or is being made anew.
pub const ROUTED: Duration = Duration::from_secs(1);
/// The same for somebody who comes back with a cursor: a tail that is made anew after an outage takes up to this, and a
/// client that is sent away would only come back to it.
pub const ROUTED_FOR_REPLAY: Duration = Duration::from_secs(2);

/// Whoever asks while one answer is on its way shares the next: at a round trip of half a millisecond, thousands of
/// reads a second are some hundred requests. As many may wait as connections do in a storm.
const SIZE: Size = Size { round: 1024, at_once: 1, waiting: 4 * 1024 };

/// Where it is asked how far the whole log reaches.
pub struct Heads {
    rounds: Rounds<(), Result<Extent, BusError>>,
}

/// The work behind [`Heads`].
pub struct Asker {
    work: Work<(), Result<Extent, BusError>>,
    log: Log,
}

/// Makes both ends.
pub fn heads(log: Log) -> (Heads, Asker) {
    let (rounds, work) = rounds(SIZE);
    (Heads { rounds }, Asker { work, log })
}

impl Asker {
    /// Serves until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let Self { work, log } = self;
        work.run(stop, async |asked| {
            let extent = reads::extent(&log).await;
            vec![extent; asked.len()]
        })
        .await;
    }
}

/// Waits until Postgres has what the log holds of a conversation now. Returns whether it has.
pub async fn conversation(edge: &Edge, conversation: ConversationId) -> bool {
    settle(edge, reads::last_seq(&edge.log, conversation).await).await
}

/// Waits until Postgres has all that the log holds now. Returns whether it has.
pub async fn everything(edge: &Edge) -> bool {
    settle(edge, extent(edge).await.map(|extent| Some(extent.last))).await
}

/// From where to where the whole log reaches.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn extent(edge: &Edge) -> Result<Extent, BusError> {
    let extent = edge.heads.rounds.ask(()).await;
    extent.unwrap_or_else(|| Err(BusError::unavailable("the node is leaving")))
}

/// Waits until this node has routed the event at `seq`, for `patience` at most. Returns whether it has.
pub async fn routed(edge: &Edge, seq: Seq, patience: Duration) -> bool {
    let mut tail = edge.tail.clone();
    let there = tail.wait_for(|status| status.seq >= seq);
    matches!(tokio::time::timeout(patience, there).await, Ok(Ok(_)))
}

/// Waits until Postgres has the event at `seq`. Returns whether it has.
pub async fn sequence(edge: &Edge, seq: Seq) -> bool {
    let mut persisted = edge.persisted.clone();
    let reached = async { persisted.wait_for(|known| *known >= seq).await.is_ok() };
    if tokio::time::timeout(PERSISTED, reached).await == Ok(true) {
        return true;
    }
    // Notices can be lost; the database knows.
    edge.store.progress().await.is_ok_and(|progress| progress.last_seq >= seq)
}

async fn settle(edge: &Edge, last: Result<Option<Seq>, BusError>) -> bool {
    match last {
        Ok(Some(seq)) => {
            let is_there = sequence(edge, seq).await;
            if !is_there {
                tracing::warn!(seq, "Postgres is behind; answering with what it has");
            }
            is_there
        }
        Ok(None) => true,
        // Without NATS nothing new is acknowledged either; what Postgres has is what can be shown.
        Err(cause) => {
            tracing::warn!(%cause, "cannot ask the log how far it is; answering all the same");
            false
        }
    }
}
