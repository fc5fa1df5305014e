//! Announcing committed changes of conversations in the log.
//!
//! A change and its announcement commit together; publishing follows at once, and what that misses (the process
//! was killed, NATS was away) a sweep finds.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::bus::BusError;
use crate::bus::publish::Record;
use crate::domain::ids::ConversationId;
use crate::store::outbox::OutboxRow;
use crate::wire::event::EventKind;

use super::Edge;

/// How often the sweep looks.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Younger announcements are still in the hands of the request that made them.
const SWEEP_AGE: Duration = Duration::from_secs(2);
/// Conversations of one sweep; the next begins where this one ended.
const SWEEP_LIMIT: u32 = 100;
/// Announcements hold a database connection until the log answers, 10 s at worst. Two of a pool of 16 leave
/// the others to requests; what finds no place is the sweep's.
pub const MAX_ANNOUNCING: usize = 2;

/// Publishes what a conversation has to announce. A failure is left to the sweep: the change is committed.
pub async fn publish(edge: &Edge, conversation: ConversationId) {
    let waiting = tokio::time::timeout(SWEEP_AGE, edge.announcing.acquire()).await;
    let Ok(Ok(_place)) = waiting else { return };
    if let Err(cause) = drain(edge, conversation).await {
        tracing::warn!(%cause, "an announcement is left to the sweep");
    }
}

/// Publishes what was left behind, until cancelled.
pub async fn sweep(edge: Arc<Edge>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let before = edge.clock.now() - SWEEP_AGE;
        let left = match edge.store.outbox_conversations(before, SWEEP_LIMIT).await {
            Ok(left) => left,
            Err(cause) => {
                tracing::warn!(%cause, "the outbox cannot be read");
                continue;
            }
        };
        for conversation in left {
            if let Err(cause) = drain(&edge, conversation).await {
                tracing::warn!(%cause, "announcements have to wait");
                break;
            }
        }
    }
}

async fn drain(edge: &Edge, conversation: ConversationId) -> anyhow::Result<()> {
    edge.store.drain_outbox(conversation, |row| announce(edge, row)).await?;
    Ok(())
}

async fn announce(edge: &Edge, row: OutboxRow) -> Result<(), BusError> {
    let kind = EventKind::parse(&row.event)
        .ok_or_else(|| BusError::refused("an announcement of an unknown kind"))?;
    let record = Record {
        conversation: row.conversation_id,
        kind,
        msg_id: row.msg_id.to_string(),
        payload: row.payload.into(),
        ttl: None,
        trace: None,
    };
    edge.publisher.publish(record).await.map(|_| ())
}
