//! Reading what was acknowledged.
//!
//! History comes from Postgres, which follows the log by some milliseconds. A read that begins after an
//! acknowledgement must show what was acknowledged, on any node; so it asks the log's leader for the last
//! sequence of the conversation and waits until Postgres has passed it.

use std::time::Duration;

use crate::bus::{BusError, reads};
use crate::domain::ids::{ConversationId, Seq};

use super::Edge;

/// The longest wait. The persister's lag is some 50 ms under load; after two seconds it is not running, and
/// what is there is better than nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits until Postgres has what the log holds of a conversation now.
pub async fn conversation(edge: &Edge, conversation: ConversationId) {
    settle(edge, reads::last_seq(&edge.log, conversation).await).await;
}

/// Waits until Postgres has all that the log holds now.
pub async fn everything(edge: &Edge) {
    settle(edge, reads::last_seq_of_all(&edge.log).await.map(Some)).await;
}

/// Waits until Postgres has the event at `seq`. Returns whether it has.
pub async fn sequence(edge: &Edge, seq: Seq) -> bool {
    let mut persisted = edge.persisted.clone();
    let reached = async { persisted.wait_for(|known| *known >= seq).await.is_ok() };
    if tokio::time::timeout(PATIENCE, reached).await == Ok(true) {
        return true;
    }
    // Notices can be lost; the database knows.
    edge.store.progress().await.is_ok_and(|progress| progress.last_seq >= seq)
}

async fn settle(edge: &Edge, last: Result<Option<Seq>, BusError>) {
    match last {
        Ok(Some(seq)) => {
            if !sequence(edge, seq).await {
                tracing::warn!(seq, "Postgres is behind; answering with what it has");
            }
        }
        Ok(None) => {}
        // Without NATS nothing new is acknowledged either; what Postgres has is what can be shown.
        Err(cause) => {
            tracing::warn!(%cause, "cannot ask the log how far it is; answering all the same")
        }
    }
}
