//! What was removed on purpose is left out of a rebuild.

use std::collections::HashSet;

use deadpool_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId, Seq};
use crate::store::projection::Batch;
use crate::store::{StoreError, row, rows, signed};

use super::Inspector;

impl Inspector {
    /// Are the data of somebody who is, or was, in a conversation being erased just now? Then what the log still says of
    /// them must not be applied again. One that waits for a legal hold to end does nothing meanwhile.
    ///
    /// # Errors
    /// As every statement.
    pub async fn is_erasing(&self, conversation: ConversationId) -> Result<bool, StoreError> {
        is_erasing(&self.client, conversation).await
    }
}

pub(super) async fn is_erasing(
    client: &impl GenericClient,
    conversation: ConversationId,
) -> Result<bool, StoreError> {
    let sql = "
        SELECT 1 FROM user_erasures e
        WHERE e.finished_at IS NULL AND NOT (e.stage = 'closing' AND e.held > 0) AND (
            EXISTS (SELECT 1 FROM conversation_participants p
                WHERE p.conversation_id = $1 AND p.user_id = e.user_id)
            OR EXISTS (SELECT 1 FROM departures d WHERE d.conversation_id = $1 AND d.user_id = e.user_id))
        LIMIT 1";
    Ok(row(client, sql, &[&conversation]).await?.is_some())
}

/// What of a stretch of the log of one conversation is still to be there: nothing about messages that retention has
/// removed, which are those up to `removed_through` without a row; and of who came and went nobody whose data were erased
/// since.
pub(super) async fn without(
    tx: &Transaction<'_>,
    mut batch: Batch,
    removed_through: Seq,
) -> Result<Batch, StoreError> {
    let messages = batch.messages.iter().map(|m| (m.seq, m.id));
    let edits = batch.edits.iter().map(|e| (e.message_seq, e.message_id));
    let deletions = batch.deletions.iter().map(|d| (d.message_seq, d.message_id));
    let old = messages.chain(edits).chain(deletions).filter(|(seq, _)| *seq <= removed_through);
    let mut removed: HashSet<MessageId> = old.map(|(_, id)| id).collect();
    if !removed.is_empty() {
        let ids: Vec<Uuid> = removed.iter().copied().collect();
        for row in rows(tx, "SELECT id FROM messages WHERE id = ANY($1)", &[&ids]).await? {
            removed.remove(&row.try_get::<_, Uuid>("id")?);
        }
        batch.messages.retain(|m| !removed.contains(&m.id));
        batch.edits.retain(|e| !removed.contains(&e.message_id));
        batch.deletions.retain(|d| !removed.contains(&d.message_id));
        batch.media.retain(|u| !removed.contains(&u.message_id));
    }
    let users: Vec<Uuid> = batch.conversations.iter().flat_map(|c| &c.users).copied().collect();
    let sql = "SELECT user_id, CASE WHEN finished_at IS NULL THEN NULL ELSE through END AS through
               FROM user_erasures WHERE user_id = ANY($1)";
    for row in rows(tx, sql, &[&users]).await? {
        let (user, through): (Uuid, Option<i64>) =
            (row.try_get("user_id")?, row.try_get("through")?);
        let is_over = |seq| through.is_none_or(|through| signed(seq) <= through);
        for change in batch.conversations.iter_mut().filter(|change| is_over(change.seq)) {
            change.users.retain(|one| *one != user);
        }
    }
    Ok(batch)
}
