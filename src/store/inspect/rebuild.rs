//! Making the projection again where it is wrong: what contradicts the log is dropped, and the log is applied by the
//! statements that the persister uses, so that a repaired row is the row that it would have written.
//!
//! Every transaction holds the conversation's row, as the persister does for each batch with messages of it.

use std::collections::BTreeSet;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, Seq};
use crate::domain::media::MediaKey;
use crate::domain::message::Message;
use crate::store::audit::{self, Audit};
use crate::store::projection::{self, Batch};
use crate::store::{StoreError, execute, row, rows, search, signed, unsigned};

use super::rows::messages as differing;
use super::{Finding, Inspector, Kind, media, removed};

/// What became of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuilt {
    Done,
    /// There is no such conversation: its events are in the dead letters.
    NoSuchConversation,
    /// The data of somebody in it are being erased: nothing was changed.
    Erasing,
}

impl Inspector {
    /// Drops rows that the log does not have. Messages only where the findings name them, and nothing holds them.
    ///
    /// # Errors
    /// As every statement; nothing was changed then.
    pub async fn drop_unknown(
        &mut self,
        conversation: ConversationId,
        findings: &[Finding],
        note: &Audit,
    ) -> Result<(), StoreError> {
        let tx = self.client.transaction().await?;
        if lock(&tx, conversation).await? != Ground::Erasing {
            drop_rows(&tx, conversation, findings).await?;
            audit::insert(&tx, note).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Applies a stretch of the log of one conversation again. Rows that are as the log says stay as they are.
    ///
    /// # Errors
    /// As every statement; nothing of the stretch was changed then.
    pub async fn replay(
        &mut self,
        conversation: ConversationId,
        batch: Batch,
        note: &Audit,
    ) -> Result<Rebuilt, StoreError> {
        let tx = self.client.transaction().await?;
        let removed_through = match lock(&tx, conversation).await? {
            Ground::Nowhere => return Ok(Rebuilt::NoSuchConversation),
            Ground::Erasing => return Ok(Rebuilt::Erasing),
            Ground::Here { removed_through } => removed_through,
        };
        let batch = removed::without(&tx, batch, removed_through).await?;
        // Looked at again behind the lock.
        let wrong = differing(&tx, &batch.messages).await?;
        let wrong: Vec<Uuid> = wrong.iter().filter_map(|finding| finding.id).collect();
        let sql = "DELETE FROM messages WHERE id = ANY($1) RETURNING conversation_id, seq";
        let mut places = places(&rows(&tx, sql, &[&wrong]).await?)?;
        let again: Vec<&Message> =
            batch.messages.iter().filter(|m| wrong.contains(&m.id)).collect();
        forget_reactions(&tx, &batch).await?;
        forget_edits(&tx, &batch).await?;
        projection::replay(&tx, &batch, &again).await?;
        places.extend(touched(&batch));
        search::index::renew_at(&tx, &places).await?;
        audit::insert(&tx, note).await?;
        tx.commit().await?;
        Ok(Rebuilt::Done)
    }

    /// Numbers the messages of a conversation again, and derives from their rows what is counted: their number, the
    /// last one, the participants, and how much everybody has read. `end` is the end of the log.
    ///
    /// # Errors
    /// As every statement; nothing was changed then.
    pub async fn renumber(
        &mut self,
        conversation: ConversationId,
        end: Seq,
        note: &Audit,
    ) -> Result<(), StoreError> {
        let tx = self.client.transaction().await?;
        if lock(&tx, conversation).await? == Ground::Nowhere {
            return Ok(());
        }
        // In the order of everybody who updates several.
        let sql = "SELECT user_id FROM conversation_participants WHERE conversation_id = $1
                   ORDER BY user_id FOR NO KEY UPDATE";
        rows(&tx, sql, &[&conversation]).await?;
        // A history that was cut off at its old end keeps its counters: what is smallest is what was cut off.
        let sql = "
            WITH placed AS (
                SELECT seq, counter, row_number() OVER (ORDER BY seq) AS place
                FROM messages WHERE conversation_id = $1
            ), cut AS (
                SELECT GREATEST(COALESCE(min(counter - place) FILTER (WHERE counter > 0), 0), 0) AS off
                FROM placed
            )
            UPDATE messages m SET counter = p.place + cut.off
            FROM placed p, cut
            WHERE m.conversation_id = $1 AND m.seq = p.seq AND m.counter <> p.place + cut.off";
        let moved = execute(&tx, sql, &[&conversation]).await?;
        let sql = "
            UPDATE conversations c
            SET message_count = COALESCE(l.counter, c.removed_through), last_message_seq = COALESCE(l.seq, 0),
                last_message_id = l.id, last_message_at = l.created_at,
                participant_count = (SELECT count(*) FROM conversation_participants p WHERE p.conversation_id = c.id)
            FROM (VALUES (1)) AS one
            LEFT JOIN LATERAL (SELECT m.counter, m.seq, m.id, m.created_at FROM messages m
                WHERE m.conversation_id = $1 ORDER BY m.seq DESC LIMIT 1) l ON true
            WHERE c.id = $1";
        execute(&tx, sql, &[&conversation]).await?;
        markers(&tx, conversation, end, moved > 0).await?;
        audit::insert(&tx, note).await?;
        Ok(tx.commit().await?)
    }

    /// Lets go of files that nothing names: whoever collects files finds them then.
    ///
    /// # Errors
    /// As every statement; nothing was changed then.
    pub async fn release_files(
        &mut self,
        keys: &[MediaKey],
        now: Timestamp,
        note: &Audit,
    ) -> Result<(), StoreError> {
        let tx = self.client.transaction().await?;
        media::release(&tx, keys, now).await?;
        audit::insert(&tx, note).await?;
        Ok(tx.commit().await?)
    }
}

async fn drop_rows(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    findings: &[Finding],
) -> Result<(), StoreError> {
    let (seqs, _) = Inspector::places(findings, Kind::ChangeUnknown);
    for table in ["message_changes", "conversation_changes", "membership_changes"] {
        let sql = format!("DELETE FROM {table} WHERE conversation_id = $1 AND seq = ANY($2)");
        execute(tx, &sql, &[&conversation, &seqs]).await?;
    }
    let (seqs, _) = Inspector::places(findings, Kind::ReactionUnknown);
    let sql = "DELETE FROM reactions WHERE conversation_id = $1 AND seq = ANY($2)";
    execute(tx, sql, &[&conversation, &seqs]).await?;
    let (seqs, _) = Inspector::places(findings, Kind::MessageUnknown);
    let sql = "DELETE FROM messages WHERE conversation_id = $1 AND seq = ANY($2)
               AND NOT EXISTS (SELECT 1 FROM conversations c WHERE c.id = $1 AND c.held_at IS NOT NULL)
               RETURNING conversation_id, seq";
    let gone = places(&rows(tx, sql, &[&conversation, &seqs]).await?)?;
    search::index::renew_at(tx, &gone).await
}

/// What a conversation is that is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    Nowhere,
    /// The data of somebody in it are being erased.
    Erasing,
    Here {
        /// Messages up to here were removed if they have no row.
        removed_through: Seq,
    },
}

async fn lock(tx: &Transaction<'_>, conversation: ConversationId) -> Result<Ground, StoreError> {
    let sql = "SELECT removed_through_seq FROM conversations WHERE id = $1 FOR NO KEY UPDATE";
    let Some(found) = row(tx, sql, &[&conversation]).await? else { return Ok(Ground::Nowhere) };
    if removed::is_erasing(tx, conversation).await? {
        return Ok(Ground::Erasing);
    }
    Ok(Ground::Here { removed_through: unsigned(&found, "removed_through_seq")? })
}

fn places(found: &[Row]) -> Result<BTreeSet<(ConversationId, i64)>, StoreError> {
    found.iter().map(|row| Ok((row.try_get("conversation_id")?, row.try_get("seq")?))).collect()
}

/// The places of the messages that a stretch of the log is about.
fn touched(batch: &Batch) -> impl Iterator<Item = (ConversationId, i64)> {
    let messages = batch.messages.iter().map(|m| (m.conversation_id, signed(m.seq)));
    let edits = batch.edits.iter().map(|e| (e.conversation_id, signed(e.message_seq)));
    let deletions = batch.deletions.iter().map(|d| (d.conversation_id, signed(d.message_seq)));
    messages.chain(edits).chain(deletions)
}

/// A reaction of the same place that says something else would be taken for applied.
async fn forget_reactions(tx: &Transaction<'_>, batch: &Batch) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = batch.reactions.iter().map(|r| r.message_id).collect();
    let seqs: Vec<i64> = batch.reactions.iter().map(|r| signed(r.seq)).collect();
    let added: Vec<bool> = batch.reactions.iter().map(|r| r.added).collect();
    let sql = "
        DELETE FROM reactions r
        USING UNNEST($1::uuid[], $2::bigint[], $3::boolean[]) AS e(id, seq, added)
        WHERE r.message_id = e.id AND r.seq = e.seq AND r.added <> e.added";
    execute(tx, sql, &[&ids, &seqs, &added]).await?;
    Ok(())
}

/// So would an edit whose place is right and whose content is not, and a payload of a change.
async fn forget_edits(tx: &Transaction<'_>, batch: &Batch) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = batch.edits.iter().map(|e| e.message_id).collect();
    let seqs: Vec<i64> = batch.edits.iter().map(|e| signed(e.seq)).collect();
    let contents: Vec<&str> = batch.edits.iter().map(|e| e.content.as_str()).collect();
    let sql = "
        UPDATE messages m SET changed_seq = e.seq - 1
        FROM UNNEST($1::uuid[], $2::bigint[], $3::text[]) AS e(id, seq, content)
        WHERE m.id = e.id AND m.changed_seq = e.seq AND m.deleted_at IS NULL AND m.content <> e.content";
    execute(tx, sql, &[&ids, &seqs, &contents]).await?;
    let seqs: Vec<i64> = batch.conversations.iter().map(|c| signed(c.seq)).collect();
    let payloads: Vec<&str> = batch.conversations.iter().map(|c| c.payload.as_str()).collect();
    let sql = "
        DELETE FROM conversation_changes c
        USING UNNEST($1::bigint[], $2::text[]) AS e(seq, payload)
        WHERE c.seq = e.seq AND c.payload <> e.payload";
    execute(tx, sql, &[&seqs, &payloads]).await?;
    Ok(())
}

/// Puts markers within their bounds. Where messages were numbered anew, what somebody has read counts anew as well: up
/// to the message that their marker names, and up to where they came.
async fn markers(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    end: Seq,
    anew: bool,
) -> Result<(), StoreError> {
    let sql = "
        UPDATE conversation_participants p
        SET last_read_seq = d.read_seq, delivered_seq = d.delivered_seq,
            last_read_counter = LEAST(c.message_count, GREATEST(d.counter,
                CASE WHEN $3 AND p.joined_seq > 0 THEN d.joined_counter ELSE GREATEST(p.last_read_counter, 0) END))
        FROM conversations c, LATERAL (
            SELECT q.user_id,
                CASE WHEN q.last_read_seq BETWEEN 0 AND $2 THEN q.last_read_seq ELSE c.last_message_seq END AS read_seq,
                CASE WHEN q.delivered_seq BETWEEN 0 AND $2 THEN q.delivered_seq ELSE c.last_message_seq END
                    AS delivered_seq,
                COALESCE((SELECT m.counter FROM messages m WHERE m.conversation_id = c.id
                    AND m.seq <= CASE WHEN q.last_read_seq BETWEEN 0 AND $2 THEN q.last_read_seq
                        ELSE c.last_message_seq END
                    ORDER BY m.seq DESC LIMIT 1), 0) AS counter,
                COALESCE((SELECT m.counter FROM messages m WHERE m.conversation_id = c.id AND m.seq < q.joined_seq
                    ORDER BY m.seq DESC LIMIT 1), 0) AS joined_counter
            FROM conversation_participants q WHERE q.conversation_id = c.id
        ) d
        WHERE c.id = $1 AND p.conversation_id = c.id AND p.user_id = d.user_id";
    execute(tx, sql, &[&conversation, &signed(end), &anew]).await?;
    // A place of an announcement behind the end is none that is known.
    let sql = "UPDATE conversation_participants SET joined_seq = 0
               WHERE conversation_id = $1 AND joined_seq NOT BETWEEN 0 AND $2";
    execute(tx, sql, &[&conversation, &signed(end)]).await?;
    Ok(())
}
