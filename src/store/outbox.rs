//! What others must learn of a committed change, until the log has it.

use std::future::Future;

use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::ids::ConversationId;

use super::{Store, StoreError, execute, rows, signed};

/// Rows published in one transaction. Each publish takes a millisecond, so that the row locks are held for
/// a fraction of a second.
const DRAIN_LIMIT: i64 = 256;

/// What a transaction announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// The event's name on the wire.
    pub event: &'static str,
    /// Its JSON.
    pub payload: String,
}

/// An announcement that the log does not have yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    pub conversation_id: ConversationId,
    /// The same for every attempt to publish this row.
    pub msg_id: Uuid,
    pub event: String,
    pub payload: String,
}

/// Why an outbox was not drained to its end. What was published before is gone from it.
#[derive(Debug, thiserror::Error)]
pub enum DrainError<E> {
    #[error(transparent)]
    Store(StoreError),
    #[error("publishing failed: {0}")]
    Publish(E),
}

impl<E> From<StoreError> for DrainError<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Adds an announcement. The transaction holds the lock of the conversation's row, which makes the order of
/// ids the order of commits.
pub(super) async fn announce(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    event: &OutboxEvent,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO outbox (conversation_id, msg_id, event, payload, created_at)
               VALUES ($1, $2, $3, $4, $5)";
    execute(tx, sql, &[&conversation, &Uuid::now_v7(), &event.event, &event.payload, &now]).await?;
    Ok(())
}

impl Store {
    /// Conversations with announcements from before `older_than`, the longest waiting first.
    pub async fn outbox_conversations(
        &self,
        older_than: Timestamp,
        limit: u32,
    ) -> Result<Vec<ConversationId>, StoreError> {
        self.within(async {
            let sql = "SELECT conversation_id FROM outbox WHERE created_at < $1
                       GROUP BY conversation_id ORDER BY min(id) LIMIT $2";
            rows(&self.client().await?, sql, &[&older_than, &signed(limit.into())])
                .await?
                .iter()
                .map(|row| Ok(row.try_get("conversation_id")?))
                .collect()
        })
        .await
    }

    /// Publishes what a conversation has to announce, in order, and returns how many that were. Two callers
    /// for the same conversation follow each other. `publish` bounds its own time; a row that it fails
    /// on, and those behind it, stay.
    pub async fn drain_outbox<E, F, Fut>(
        &self,
        conversation: ConversationId,
        publish: F,
    ) -> Result<u64, DrainError<E>>
    where
        F: Fn(OutboxRow) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        let mut published = 0;
        loop {
            let (done, full, failed) = self.drain_some(conversation, &publish).await?;
            published += done;
            if let Some(error) = failed {
                return Err(DrainError::Publish(error));
            }
            if !full {
                return Ok(published);
            }
        }
    }

    async fn drain_some<E, F, Fut>(
        &self,
        conversation: ConversationId,
        publish: &F,
    ) -> Result<(u64, bool, Option<E>), StoreError>
    where
        F: Fn(OutboxRow) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let sql = "SELECT id, conversation_id, msg_id, event, payload FROM outbox
                   WHERE conversation_id = $1 ORDER BY id LIMIT $2 FOR UPDATE";
        let waiting = rows(&tx, sql, &[&conversation, &DRAIN_LIMIT]).await?;
        let mut published = Vec::with_capacity(waiting.len());
        let mut failed = None;
        for row in &waiting {
            let outbox_row = OutboxRow {
                conversation_id: row.try_get("conversation_id")?,
                msg_id: row.try_get("msg_id")?,
                event: row.try_get("event")?,
                payload: row.try_get("payload")?,
            };
            if let Err(error) = publish(outbox_row).await {
                failed = Some(error);
                break;
            }
            published.push(row.try_get::<_, i64>("id")?);
        }
        execute(&tx, "DELETE FROM outbox WHERE id = ANY($1)", &[&published]).await?;
        tx.commit().await?;
        Ok((published.len() as u64, waiting.len() as i64 == DRAIN_LIMIT, failed))
    }
}
