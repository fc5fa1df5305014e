//! Deleting a conversation for everyone, in steps that each commit: what was interrupted goes on when it is asked for
//! again.

use jiff::Timestamp;

use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, Seq, UserId};

use crate::store::audit::{self, Audit};
use crate::store::outbox::OutboxEvent;
use crate::store::{Store, StoreError, execute, row, rows, signed, unsigned};

use super::conversations::announce;

/// What a conversation still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remains {
    /// Messages that are no tombstones.
    pub messages: u64,
    pub participants: u64,
    /// Messages whose deletion waits for the persister.
    pub waiting: u64,
}

/// How far asking for deletions has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub messages: u64,
    /// Go on behind this one; `None` at the end.
    pub next: Option<Seq>,
}

impl Store {
    /// What is left of a conversation.
    ///
    /// # Errors
    /// As every statement.
    pub async fn admin_remains(&self, conversation: ConversationId) -> Result<Remains, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM messages m
                           WHERE m.conversation_id = $1 AND m.deleted_at IS NULL) AS messages,
                          (SELECT count(*) FROM conversation_participants p
                           WHERE p.conversation_id = $1) AS participants,
                          (SELECT count(*) FROM messages m JOIN due_deletions d ON d.message_id = m.id
                           WHERE m.conversation_id = $1 AND m.deleted_at IS NULL) AS waiting";
        self.within(async {
            let found = row(&self.client().await?, sql, &[&conversation]).await?;
            let found = found.ok_or_else(|| StoreError::bug("a count of nothing"))?;
            Ok(Remains {
                messages: unsigned(&found, "messages")?,
                participants: unsigned(&found, "participants")?,
                waiting: unsigned(&found, "waiting")?,
            })
        })
        .await
    }

    /// The first step: from now on nobody comes in, and the two people of a direct one may begin another. `false` when
    /// it was taken before, or the conversation is under legal hold.
    ///
    /// # Errors
    /// As every statement; nothing was changed then.
    pub async fn admin_close(
        &self,
        conversation: ConversationId,
        now: Timestamp,
        audit: &Audit,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE conversations SET deleted_at = $2, updated_at = $2, title = NULL, description = NULL,
                       avatar_url = NULL, context_title = NULL,
                       direct_key = CASE WHEN direct_key IS NOT NULL THEN 'deleted:' || id END
                   WHERE id = $1 AND deleted_at IS NULL AND held_at IS NULL";
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let closed = execute(&tx, sql, &[&conversation, &now]).await? > 0;
            if closed {
                audit::finish(tx, audit, false).await?;
            }
            Ok(closed)
        })
        .await
    }

    /// The second: removes the next participants, `limit` at most, and announces it; returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn admin_remove_next(
        &self,
        conversation: ConversationId,
        limit: u32,
        now: Timestamp,
        event: impl FnOnce(&Conversation, &[UserId]) -> OutboxEvent,
    ) -> Result<u64, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let sql = "SELECT id FROM conversations WHERE id = $1 FOR UPDATE";
            rows(&tx, sql, &[&conversation]).await?;
            let sql = "DELETE FROM conversation_participants WHERE conversation_id = $1 AND user_id IN (
                           SELECT user_id FROM conversation_participants WHERE conversation_id = $1
                           ORDER BY user_id LIMIT $2)
                       RETURNING user_id";
            let gone = rows(&tx, sql, &[&conversation, &signed(limit.into())]).await?;
            let gone: Vec<UserId> =
                gone.iter().map(|row| row.try_get("user_id")).collect::<Result<_, _>>()?;
            if gone.is_empty() {
                return Ok(0);
            }
            let sql = "UPDATE conversations SET participant_count = participant_count - $2, updated_at = $3
                       WHERE id = $1";
            let by = i32::try_from(gone.len()).unwrap_or(i32::MAX);
            execute(&tx, sql, &[&conversation, &by, &now]).await?;
            announce(&tx, conversation, now, |after| event(after, &gone)).await?;
            tx.commit().await?;
            Ok(gone.len() as u64)
        })
        .await
    }

    /// The third: asks for the next messages to be deleted, `limit` at most.
    ///
    /// # Errors
    /// As every statement.
    pub async fn admin_ask_deletions(
        &self,
        conversation: ConversationId,
        after: Seq,
        limit: u32,
    ) -> Result<Asked, StoreError> {
        let sql = "WITH next AS MATERIALIZED (
                       SELECT id, seq FROM messages
                       WHERE conversation_id = $1 AND seq > $2 AND deleted_at IS NULL
                       ORDER BY seq LIMIT $3
                   ), asked AS (
                       INSERT INTO due_deletions (message_id) SELECT id FROM next ON CONFLICT DO NOTHING)
                   SELECT count(*) AS messages, COALESCE(max(seq), 0) AS last FROM next";
        self.within(async {
            let limit = signed(limit.into());
            let found =
                row(&self.client().await?, sql, &[&conversation, &signed(after), &limit]).await?;
            let found = found.ok_or_else(|| StoreError::bug("a count of nothing"))?;
            let (messages, last) = (unsigned(&found, "messages")?, unsigned(&found, "last")?);
            Ok(Asked { messages, next: (signed(messages) == limit).then_some(last) })
        })
        .await
    }
}
