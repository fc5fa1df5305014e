//! Messages whose time is over.

use jiff::Timestamp;

use crate::domain::ids::{ConversationId, MessageId, Seq};

use super::leadership::Leader;
use super::{StoreError, rows, signed, unsigned};

/// A message that has to become a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub seq: Seq,
}

impl Leader {
    /// Messages that have vanished by `now` and are no tombstones yet, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn expired(&self, now: Timestamp, limit: u32) -> Result<Vec<Expired>, StoreError> {
        let sql = "SELECT id, conversation_id, seq FROM messages
                   WHERE expires_at IS NOT NULL AND deleted_at IS NULL AND expires_at <= $1
                   ORDER BY expires_at LIMIT $2";
        let found = rows(&self.client, sql, &[&now, &signed(limit.into())]).await?;
        let expired = |row: &tokio_postgres::Row| {
            Ok(Expired {
                message_id: row.try_get("id")?,
                conversation_id: row.try_get("conversation_id")?,
                seq: unsigned(row, "seq")?,
            })
        };
        found.iter().map(expired).collect()
    }
}
