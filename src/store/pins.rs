//! Messages that everyone in a conversation finds at the top.

use deadpool_postgres::Transaction;
use jiff::Timestamp;

use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::domain::membership::{self, MAX_PINS, Refused};
use crate::domain::message::Message;

use super::conversations::ChangeError;
use super::messages::{message, message_columns};
use super::outbox::OutboxEvent;
use super::participants::{announce_and_commit, lock_as};
use super::{Store, StoreError, execute, row, rows, signed};

/// A message that is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    pub message: Message,
    pub pinned_by: UserId,
    pub pinned_at: Timestamp,
}

/// How many messages are pinned; what is left of deleted ones does not count.
async fn count(tx: &Transaction<'_>, conversation: ConversationId) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) AS pins FROM message_pins p
               WHERE p.conversation_id = $1
                 AND NOT EXISTS (SELECT FROM messages m WHERE m.id = p.message_id AND m.deleted_at IS NOT NULL)";
    Ok(row(tx, sql, &[&conversation]).await?.map_or(Ok(0), |row| row.try_get("pins"))?)
}

async fn is_deleted(tx: &Transaction<'_>, id: MessageId) -> Result<bool, StoreError> {
    let sql = "SELECT deleted_at IS NOT NULL AS gone FROM messages WHERE id = $1";
    Ok(row(tx, sql, &[&id]).await?.map_or(Ok(false), |row| row.try_get("gone"))?)
}

impl Store {
    /// Pins a message of the conversation. `false` if it is pinned already.
    pub async fn pin_message(
        &self,
        conversation: ConversationId,
        actor: UserId,
        id: MessageId,
        now: Timestamp,
        event: impl FnOnce(&Conversation) -> OutboxEvent,
    ) -> Result<bool, ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let (kind, _, role) = lock_as(&tx, conversation, actor).await?;
            membership::may_pin(kind, role)?;
            if is_deleted(&tx, id).await? {
                return Err(Refused::Deleted.into());
            }
            let sql = "INSERT INTO message_pins (message_id, conversation_id, pinned_by, pinned_at)
                       VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
            if execute(&tx, sql, &[&id, &conversation, &actor, &now]).await? == 0 {
                return Ok(false);
            }
            if count(&tx, conversation).await? > i64::from(MAX_PINS) {
                return Err(Refused::TooManyPins { max: MAX_PINS }.into());
            }
            announce_and_commit(tx, conversation, now, event).await?;
            Ok(true)
        })
        .await
    }

    /// Unpins a message. `false` if it is not pinned there.
    pub async fn unpin_message(
        &self,
        conversation: ConversationId,
        actor: UserId,
        id: MessageId,
        now: Timestamp,
        event: impl FnOnce(&Conversation) -> OutboxEvent,
    ) -> Result<bool, ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let (kind, _, role) = lock_as(&tx, conversation, actor).await?;
            membership::may_pin(kind, role)?;
            let sql = "DELETE FROM message_pins WHERE message_id = $1 AND conversation_id = $2";
            if execute(&tx, sql, &[&id, &conversation]).await? == 0 {
                return Ok(false);
            }
            announce_and_commit(tx, conversation, now, event).await?;
            Ok(true)
        })
        .await
    }

    /// The pinned messages of a conversation, the last pinned first.
    pub async fn pins(&self, conversation: ConversationId) -> Result<Vec<Pin>, StoreError> {
        let sql = concat!(
            "SELECT pins.pinned_by, pins.pinned_at, ",
            message_columns!(),
            " FROM message_pins pins JOIN messages m ON m.id = pins.message_id
              WHERE pins.conversation_id = $1 AND m.deleted_at IS NULL
              ORDER BY pins.pinned_at DESC, m.seq DESC LIMIT $2"
        );
        self.within(async {
            let client = self.client().await?;
            let found = rows(&client, sql, &[&conversation, &signed(MAX_PINS.into())]).await?;
            let now = self.now();
            let mut pins = Vec::with_capacity(found.len());
            for row in &found {
                let message = message(row, now)?;
                // One that has just vanished.
                if message.deleted_at.is_none() {
                    let (pinned_by, pinned_at) =
                        (row.try_get("pinned_by")?, row.try_get("pinned_at")?);
                    pins.push(Pin { message, pinned_by, pinned_at });
                }
            }
            Ok(pins)
        })
        .await
    }
}
