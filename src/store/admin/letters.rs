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
    /// read meanwhile. `false` when that was done before, or its device is gone.
    ///
    /// # Errors
    /// As every statement.
    pub async fn retry_push(
        &self,
        dead: &DeadPush,
        died_at: Timestamp,
        (audit, dry_run): (&Audit, bool),
    ) -> Result<bool, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            if was_retried(&tx, audit, died_at).await? {
                return Ok(false);
            }
            let sql =
                "INSERT INTO push_jobs (conversation_id, user_id, device_id, seq, kind, due_at)
                       SELECT $1, $2, $3, $4, $5, $6
                       WHERE EXISTS (SELECT FROM devices WHERE id = $3 AND user_id = $2)
                       ON CONFLICT DO NOTHING";
            let DeadPush { conversation, user, device, seq, kind } = dead;
            let now = self.now();
            let made =
                execute(&tx, sql, &[conversation, user, device, &signed(*seq), kind, &now]).await?;
            audit::finish(tx, audit, dry_run).await?;
            Ok(made > 0)
        })
        .await
    }
}
