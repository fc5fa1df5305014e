//! Legal hold: what is said in a conversation is kept, whoever deletes it.

use jiff::Timestamp;

use crate::domain::ids::{ConversationId, MessageId};

use super::audit::{self, Audit};
use super::{Store, StoreError, execute, projection, row, rows, unsigned};

/// Whether a conversation is under hold, and what was kept because of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Since when; `None` when it is not.
    pub since: Option<Timestamp>,
    pub reason: Option<String>,
    /// Versions of messages that were edited or deleted meanwhile.
    pub kept: u64,
}

impl Store {
    /// Whether a conversation is under hold; `None` if there is none.
    ///
    /// # Errors
    /// As every statement.
    pub async fn hold(&self, conversation: ConversationId) -> Result<Option<Hold>, StoreError> {
        let sql = "SELECT c.held_at, c.held_reason,
                          (SELECT count(*) FROM held_messages h WHERE h.conversation_id = c.id) AS kept
                   FROM conversations c WHERE c.id = $1";
        self.within(async {
            let found = row(&self.client().await?, sql, &[&conversation]).await?;
            found
                .map(|row| {
                    Ok(Hold {
                        since: row.try_get("held_at")?,
                        reason: row.try_get("held_reason")?,
                        kept: unsigned(&row, "kept")?,
                    })
                })
                .transpose()
        })
        .await
    }

    /// Puts a conversation under hold. `false` if it is already, or there is none.
    ///
    /// # Errors
    /// As every statement; nothing was changed then.
    pub async fn set_hold(
        &self,
        conversation: ConversationId,
        now: Timestamp,
        noted: &Audit,
        dry_run: bool,
    ) -> Result<bool, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let sql = "UPDATE conversations SET held_at = $2, held_reason = $3
                       WHERE id = $1 AND held_at IS NULL";
            if execute(&tx, sql, &[&conversation, &now, &noted.reason]).await? == 0 {
                return Ok(false);
            }
            audit::finish(tx, noted, dry_run).await?;
            Ok(true)
        })
        .await
    }

    /// Releases a hold: what was kept because of it goes, files of deleted messages too. `false` if there is none.
    ///
    /// # Errors
    /// As every statement; nothing was changed then.
    pub async fn release_hold(
        &self,
        conversation: ConversationId,
        noted: &Audit,
        dry_run: bool,
    ) -> Result<bool, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let sql = "UPDATE conversations SET held_at = NULL, held_reason = NULL
                       WHERE id = $1 AND held_at IS NOT NULL";
            if execute(&tx, sql, &[&conversation]).await? == 0 {
                return Ok(false);
            }
            let sql = "DELETE FROM held_messages WHERE conversation_id = $1 RETURNING message_id";
            let kept = rows(&tx, sql, &[&conversation]).await?;
            let kept = kept.iter().map(|row| Ok(row.try_get("message_id")?));
            let kept = kept.collect::<Result<Vec<MessageId>, StoreError>>()?;
            let sql = "SELECT id FROM messages WHERE id = ANY($1) AND deleted_at IS NOT NULL";
            let gone = rows(&tx, sql, &[&kept]).await?;
            let gone = gone.iter().map(|row| Ok(row.try_get("id")?));
            let gone = gone.collect::<Result<Vec<MessageId>, StoreError>>()?;
            projection::release_files(&tx, &gone).await?;
            audit::finish(tx, noted, dry_run).await?;
            Ok(true)
        })
        .await
    }
}
