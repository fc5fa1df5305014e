//! Messages that are to be deleted on another word than a client's. The deletion itself is an event like any other: the
//! persister's leader puts it into the log, so that every client and every ring drops the message in its place.

use deadpool_postgres::GenericClient;

use crate::domain::ids::MessageId;

use super::audit::{self, Audit};
use super::expiry::Expired;
use super::leadership::Leader;
use super::{Store, StoreError, execute, row, rows, signed, unsigned};

/// Rows that are looked at for whether they are done; those that are stand first, because they were taken first.
const FORGOTTEN: i64 = 1_000;

/// Asks for messages to be deleted, in the caller's transaction; returns how many were not asked for before.
pub(super) async fn request(
    client: &impl GenericClient,
    messages: &[MessageId],
) -> Result<u64, StoreError> {
    let sql = "INSERT INTO due_deletions (message_id)
               SELECT DISTINCT id FROM UNNEST($1::uuid[]) AS asked(id) ORDER BY id
               ON CONFLICT DO NOTHING";
    execute(client, sql, &[&messages]).await
}

impl Store {
    /// Asks for a message to be deleted for everyone, on behalf of an operator. Asking again is harmless. `false` when
    /// its conversation is under legal hold.
    ///
    /// # Errors
    /// As every statement; nothing was changed then.
    pub async fn admin_delete_message(
        &self,
        message: MessageId,
        audit: &Audit,
        dry_run: bool,
    ) -> Result<bool, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let sql = "SELECT FROM messages m JOIN conversations c ON c.id = m.conversation_id
                       WHERE m.id = $1 AND c.held_at IS NOT NULL";
            if row(&tx, sql, &[&message]).await?.is_some() {
                return Ok(false);
            }
            request(&tx, &[message]).await?;
            audit::finish(tx, audit, dry_run).await?;
            Ok(true)
        })
        .await
    }
}

impl Leader {
    /// Messages that are to be deleted and are no tombstones yet, those that wait longest first, at most `limit`.
    /// Forgets those that are.
    ///
    /// # Errors
    /// As every statement.
    pub async fn due_deletions(&self, limit: u32) -> Result<Vec<Expired>, StoreError> {
        let sql = "WITH first AS MATERIALIZED (
                       SELECT message_id FROM due_deletions ORDER BY requested_at, message_id LIMIT $1)
                   DELETE FROM due_deletions d USING first
                   WHERE d.message_id = first.message_id AND NOT EXISTS (
                       SELECT FROM messages m WHERE m.id = d.message_id AND m.deleted_at IS NULL)";
        execute(&self.client, sql, &[&FORGOTTEN]).await?;
        let sql = "SELECT m.id, m.conversation_id, m.seq
                   FROM due_deletions d JOIN messages m ON m.id = d.message_id
                   WHERE m.deleted_at IS NULL
                   ORDER BY d.requested_at, d.message_id LIMIT $1";
        let due = |row: &tokio_postgres::Row| {
            Ok(Expired {
                message_id: row.try_get("id")?,
                conversation_id: row.try_get("conversation_id")?,
                seq: unsigned(row, "seq")?,
            })
        };
        rows(&self.client, sql, &[&signed(limit.into())]).await?.iter().map(due).collect()
    }
}
