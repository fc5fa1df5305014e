//! Announcing committed changes of conversations in the log, for every role that makes some.
//!
//! A change and its announcement commit together; publishing follows at once, and what that misses (the process
//! was killed, NATS was away) a sweep finds.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::bus::BusError;
use crate::bus::publish::{Publisher, Record};
use crate::domain::clock::SharedClock;
use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, UserId};
use crate::store::Store;
use crate::store::outbox::{DrainError, OutboxEvent, OutboxRow};
use crate::wire::event::{Change, ConversationUpdated, EventKind};
use crate::wire::objects::SharedConversation;

/// How often the sweep looks.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Younger announcements are still in the hands of the request that made them.
const SWEEP_AGE: Duration = Duration::from_secs(2);
/// Conversations of one sweep; the next begins where this one ended.
const SWEEP_LIMIT: u32 = 100;
/// Announcements hold a database connection until the log answers, 10 s at worst. Two of a pool of 16 leave
/// the others to requests; what finds no place is the sweep's.
const MAX_ANNOUNCING: usize = 2;

/// What the log learns of a change of a conversation.
pub fn announcement(update: &ConversationUpdated) -> OutboxEvent {
    let payload = serde_json::to_string(update).expect("text, numbers and lists of them are JSON");
    OutboxEvent { event: EventKind::ConversationUpdated.as_str(), payload }
}

/// The same where whoever changes it knows neither who is online nor who has blocked whom: an operator, a service, the end
/// of somebody's data. So it says of nobody when they were here, and clients keep what they know.
pub fn announcement_by(
    actor_id: UserId,
    change: Change,
    user_ids: Vec<UserId>,
    after: &Conversation,
) -> OutboxEvent {
    let mut conversation = SharedConversation::from(after.clone());
    for participant in &mut conversation.participants {
        participant.last_seen_at = None;
    }
    let conversation_id = after.id;
    announcement(&ConversationUpdated {
        conversation_id,
        change,
        actor_id,
        user_ids,
        message_id: None,
        conversation,
    })
}

/// Hands what is in the table `outbox` to the log.
pub struct Outbox {
    store: Store,
    publisher: Publisher,
    clock: SharedClock,
    /// Database connections that may be held while announcements are published.
    places: Semaphore,
}

impl Outbox {
    pub fn new(store: Store, publisher: Publisher, clock: SharedClock) -> Self {
        Self { store, publisher, clock, places: Semaphore::new(MAX_ANNOUNCING) }
    }

    /// Publishes what a conversation has to announce. A failure is left to the sweep: the change is committed.
    pub async fn publish(&self, conversation: ConversationId) {
        let waiting = tokio::time::timeout(SWEEP_AGE, self.places.acquire()).await;
        let Ok(Ok(_place)) = waiting else { return };
        if let Err(cause) = self.drain(conversation).await {
            tracing::warn!(%cause, "an announcement is left to the sweep");
        }
    }

    /// Publishes what was left behind, until cancelled.
    pub async fn sweep(&self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            // Given up in the middle, what was published stays in the table and is published again under the same id.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.sweep_once() => {}
            }
        }
    }

    async fn sweep_once(&self) {
        let before = self.clock.now() - SWEEP_AGE;
        let left = match self.store.outbox_conversations(before, SWEEP_LIMIT).await {
            Ok(left) => left,
            Err(cause) => {
                tracing::warn!(%cause, "the outbox cannot be read");
                return;
            }
        };
        for conversation in left {
            if let Err(cause) = self.drain(conversation).await {
                tracing::warn!(%cause, "announcements have to wait");
                return;
            }
        }
    }

    /// As [`Self::publish`], for those who must know that everything was announced.
    ///
    /// # Errors
    /// When the database or the log cannot be reached; what was not published stays.
    pub async fn drain(&self, conversation: ConversationId) -> Result<(), DrainError<BusError>> {
        self.store.drain_outbox(conversation, |row| self.announce(row)).await?;
        Ok(())
    }

    async fn announce(&self, row: OutboxRow) -> Result<(), BusError> {
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
        self.publisher.publish(record).await.map(|_| ())
    }
}
