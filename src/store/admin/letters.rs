//! Dead letters that are tried again: once each, however often somebody asks.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, Seq, UserId};

use crate::store::audit::{self, Audit};
use crate::store::{Store, StoreError, execute, row, signed};

/// An event of the log that could not be persisted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadEvent {
    pub conversation: ConversationId,
    /// Its kind, as on the wire.
    pub event: String,
    /// Its JSON.
    pub payload: String,
}

/// A notification that could not be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadPush {
    pub conversation: ConversationId,
    pub user: UserId,
    pub device: Uuid,
    pub seq: Seq,
    /// `alert` or `refresh`.
    pub kind: String,
}

/// What trying a notification again came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    Now,
    /// That was done before.
    Before,
    /// The device is gone.
    NoDevice,
}

/// Giving up an alert counts as having shown it, or it would be sent together with the next one. This takes that back, unless
/// something newer of the conversation has been shown since.
const NOT_GIVEN_UP: &str = "
UPDATE push_slots SET done_seq = $4 - 1
WHERE conversation_id = $1 AND user_id = $2 AND device_id = $3 AND done_seq = $4 AND shown_seq <> $4";

/// Was this letter, which died then, tried again before?
async fn was_retried(
    tx: &Transaction<'_>,
    audit: &Audit,
    died_at: Timestamp,
) -> Result<bool, StoreError> {
    // One that is asked for twice at once waits here for the other.
    execute(tx, "LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE", &[]).await?;
    let sql = "SELECT FROM audit WHERE target = $1 AND action = $2 AND at >= $3";
    Ok(row(tx, sql, &[&audit.target, &audit.action, &died_at]).await?.is_some())
}

impl Store {
    /// Puts an event back into the log, by way of the outbox. `false` when that was done before.
    ///
    /// # Errors
    /// As every statement.
    pub async fn retry_event(
        &self,
        dead: &DeadEvent,
        died_at: Timestamp,
        (audit, dry_run): (&Audit, bool),
    ) -> Result<bool, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            if was_retried(&tx, audit, died_at).await? {
                return Ok(false);
            }
            let sql = "INSERT INTO outbox (conversation_id, msg_id, event, payload) VALUES ($1, $2, $3, $4)";
            let DeadEvent { conversation, event, payload } = dead;
            execute(&tx, sql, &[conversation, &Uuid::now_v7(), event, payload]).await?;
            audit::finish(tx, audit, dry_run).await?;
            Ok(true)
        })
        .await
    }

    /// Puts a notification back among those to be sent. What it comes to is decided when it is sent: nothing, if it was
    /// read meanwhile.
    ///
    /// # Errors
    /// As every statement.
    pub async fn retry_push(
        &self,
        dead: &DeadPush,
        died_at: Timestamp,
        (audit, dry_run): (&Audit, bool),
    ) -> Result<Retried, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            if was_retried(&tx, audit, died_at).await? {
                return Ok(Retried::Before);
            }
            let DeadPush { conversation, user, device, seq, kind } = dead;
            let sql = "SELECT FROM devices WHERE id = $1 AND user_id = $2 FOR KEY SHARE";
            if row(&tx, sql, &[device, user]).await?.is_none() {
                return Ok(Retried::NoDevice);
            }
            let (seq, now) = (signed(*seq), self.now());
            if kind == "alert" {
                execute(&tx, NOT_GIVEN_UP, &[conversation, user, device, &seq]).await?;
            }
            let sql =
                "INSERT INTO push_jobs (conversation_id, user_id, device_id, seq, kind, due_at)
                       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
            execute(&tx, sql, &[conversation, user, device, &seq, kind, &now]).await?;
            audit::finish(tx, audit, dry_run).await?;
            Ok(Retried::Now)
        })
        .await
    }
}
