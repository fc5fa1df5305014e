//! Edits and deletions, in the order of the log.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::ids::{MessageId, Seq};
use crate::store::{StoreError, execute, signed};

use super::{Deletion, Edit, media};

/// Applies edits: the last of each message stands, older ones than what is there change nothing, and a tombstone
/// stays one.
pub async fn edits(tx: &Transaction<'_>, edits: &[Edit]) -> Result<(), StoreError> {
    if edits.is_empty() {
        return Ok(());
    }
    let last: BTreeMap<MessageId, &Edit> =
        edits.iter().map(|edit| (edit.message_id, edit)).collect();
    let ids: Vec<Uuid> = last.keys().copied().collect();
    keep_held(tx, &ids).await?;
    let contents: Vec<&str> = last.values().map(|e| e.content.as_str()).collect();
    let times: Vec<Timestamp> = last.values().map(|e| e.edited_at).collect();
    let seqs: Vec<i64> = last.values().map(|e| signed(e.seq)).collect();
    let sql = "
        UPDATE messages m
        SET content = d.content, edited_at = d.at, updated_at = d.at, changed_seq = d.seq
        FROM UNNEST($1::uuid[], $2::text[], $3::timestamptz[], $4::bigint[]) AS d(id, content, at, seq)
        WHERE m.id = d.id AND m.deleted_at IS NULL AND m.changed_seq < d.seq";
    execute(tx, sql, &[&ids, &contents, &times, &seqs]).await?;
    // An edit that was under way while its message was deleted holds content that must not stay.
    let all: Vec<(Seq, Uuid, Uuid, Seq)> =
        edits.iter().map(|e| (e.seq, e.conversation_id, e.message_id, e.message_seq)).collect();
    note(tx, &all, "edit").await?;
    let seqs: Vec<i64> = edits.iter().map(|e| signed(e.seq)).collect();
    let ids: Vec<Uuid> = edits.iter().map(|e| e.message_id).collect();
    let sql = "
        INSERT INTO erasures (seq)
        SELECT d.seq FROM UNNEST($1::bigint[], $2::uuid[]) AS d(seq, id)
        JOIN messages m ON m.id = d.id WHERE m.deleted_at IS NOT NULL
        ON CONFLICT DO NOTHING";
    execute(tx, sql, &[&seqs, &ids]).await?;
    Ok(())
}

/// Turns messages into tombstones, empties the quotes of them, drops the reactions to them, and notes which
/// places of the log held their content: the message itself and all its edits, of this batch and of earlier ones.
pub async fn deletions(tx: &Transaction<'_>, deletions: &[Deletion]) -> Result<(), StoreError> {
    if deletions.is_empty() {
        return Ok(());
    }
    // The first deletion counts (and of a message that had vanished before, that moment); there is nothing left for a second.
    let mut first: BTreeMap<MessageId, &Deletion> = BTreeMap::new();
    for deletion in deletions {
        first.entry(deletion.message_id).or_insert(deletion);
    }
    let ids: Vec<Uuid> = first.keys().copied().collect();
    keep_held(tx, &ids).await?;
    let times: Vec<Timestamp> = first.values().map(|d| d.deleted_at).collect();
    let seqs: Vec<i64> = first.values().map(|d| signed(d.seq)).collect();
    let sql = "
        UPDATE messages m
        SET content = '', metadata = '{}', mentions = '{}', reply_to = NULL,
            deleted_at = LEAST(d.at, m.expires_at), updated_at = LEAST(d.at, m.expires_at),
            changed_seq = d.seq
        FROM UNNEST($1::uuid[], $2::timestamptz[], $3::bigint[]) AS d(id, at, seq)
        WHERE m.id = d.id AND m.deleted_at IS NULL";
    execute(tx, sql, &[&ids, &times, &seqs]).await?;
    let sql = "
        UPDATE messages m SET reply_to = jsonb_set(m.reply_to, '{content}', '\"\"')
        WHERE m.reply_to_message_id = ANY($1) AND m.reply_to IS NOT NULL";
    execute(tx, sql, &[&ids]).await?;
    let sql = "
        INSERT INTO erasures (seq)
        SELECT m.seq FROM messages m WHERE m.id = ANY($1)
        UNION
        SELECT c.seq FROM message_changes c WHERE c.message_id = ANY($1) AND c.kind = 'edit'
        ON CONFLICT DO NOTHING";
    execute(tx, sql, &[&ids]).await?;
    execute(tx, "DELETE FROM reactions WHERE message_id = ANY($1)", &[&ids]).await?;
    execute(tx, "DELETE FROM message_pins WHERE message_id = ANY($1)", &[&ids]).await?;
    media::release(tx, &ids).await?;
    let all: Vec<(Seq, Uuid, Uuid, Seq)> =
        deletions.iter().map(|d| (d.seq, d.conversation_id, d.message_id, d.message_seq)).collect();
    note(tx, &all, "delete").await
}

/// Keeps what messages under legal hold say now, before that changes. Of several edits in one batch the last stands, and what it
/// replaces is the version before all of them.
async fn keep_held(tx: &Transaction<'_>, ids: &[Uuid]) -> Result<(), StoreError> {
    let sql = "
        INSERT INTO held_messages
            (message_id, changed_seq, conversation_id, seq, sender_id, type, content, metadata, created_at)
        SELECT m.id, m.changed_seq, m.conversation_id, m.seq, m.sender_id, m.type, m.content, m.metadata, m.created_at
        FROM messages m JOIN conversations c ON c.id = m.conversation_id
        WHERE m.id = ANY($1) AND m.deleted_at IS NULL AND c.held_at IS NOT NULL
        ON CONFLICT DO NOTHING";
    execute(tx, sql, &[&ids]).await?;
    Ok(())
}

async fn note(
    tx: &Transaction<'_>,
    changes: &[(Seq, Uuid, Uuid, Seq)],
    kind: &str,
) -> Result<(), StoreError> {
    let seqs: Vec<i64> = changes.iter().map(|c| signed(c.0)).collect();
    let conversations: Vec<Uuid> = changes.iter().map(|c| c.1).collect();
    let messages: Vec<Uuid> = changes.iter().map(|c| c.2).collect();
    let places: Vec<i64> = changes.iter().map(|c| signed(c.3)).collect();
    let sql = "
        INSERT INTO message_changes (seq, conversation_id, message_id, message_seq, kind)
        SELECT d.seq, d.conversation_id, d.message_id, d.message_seq, $5
        FROM UNNEST($1::bigint[], $2::uuid[], $3::uuid[], $4::bigint[])
            AS d(seq, conversation_id, message_id, message_seq)
        ON CONFLICT DO NOTHING";
    execute(tx, sql, &[&seqs, &conversations, &messages, &places, &kind]).await?;
    Ok(())
}
