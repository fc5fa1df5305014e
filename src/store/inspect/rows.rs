//! Each event of a stretch of the log against its row.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::message::Message;
use crate::store::projection::Batch;
use crate::store::{StoreError, rows, signed, unsigned};

use super::{Finding, Inspector, Kind};

impl Inspector {
    /// What of a stretch of the log is not in Postgres as the log has it.
    ///
    /// # Errors
    /// As every statement; [`StoreError::is_refused_data`] when Postgres cannot even be asked about one of the events.
    pub async fn compare(&self, batch: &Batch) -> Result<Vec<Finding>, StoreError> {
        let mut found = messages(&self.client, &batch.messages).await?;
        found.extend(edits(&self.client, batch).await?);
        found.extend(deletions(&self.client, batch).await?);
        found.extend(reactions(&self.client, batch).await?);
        found.extend(changes(&self.client, batch).await?);
        found.extend(super::media::named(&self.client, batch).await?);
        Ok(found)
    }
}

/// Messages that are missing or differ. What was repeated after the log's duplicate window has its row at the first
/// place. A tombstone is right when a deletion is noted for it, or its content is about to be erased from the log.
pub(super) async fn messages(
    client: &impl GenericClient,
    messages: &[Message],
) -> Result<Vec<Finding>, StoreError> {
    fn all<'a, T>(messages: &'a [Message], field: impl Fn(&'a Message) -> T) -> Vec<T> {
        messages.iter().map(field).collect()
    }
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let conversations: Vec<Uuid> = all(messages, |m| m.conversation_id);
    let seqs: Vec<i64> = all(messages, |m| signed(m.seq));
    let ids: Vec<Uuid> = all(messages, |m| m.id);
    let senders: Vec<Uuid> = all(messages, |m| m.sender_id);
    let kinds: Vec<&str> = all(messages, |m| m.kind.as_str());
    let contents: Vec<&str> = all(messages, |m| m.content.as_str());
    let quoted: Vec<Option<Uuid>> = all(messages, |m| m.reply_to_message_id);
    let metadata: Vec<&str> = all(messages, |m| m.metadata.as_str());
    let expiries: Vec<Option<Timestamp>> = all(messages, |m| m.expires_at);
    let created: Vec<Timestamp> = all(messages, |m| m.created_at);
    let sql = "
        SELECT e.conversation_id, e.seq, e.id, m.id IS NULL AS missing,
            m.conversation_id <> e.conversation_id OR m.seq > e.seq AS misplaced,
            m.deleted_at IS NOT NULL AS deleted,
            m.sender_id <> e.sender_id AS sender, m.type <> e.type AS type,
            m.changed_seq = 0 AND m.content <> e.content AS content,
            m.reply_to_message_id IS DISTINCT FROM e.quoted AS quoted,
            m.metadata <> e.metadata::jsonb AS metadata,
            m.expires_at IS DISTINCT FROM e.expires_at AS expires,
            m.created_at <> e.created_at AS created
        FROM UNNEST($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::uuid[],
                $8::text[], $9::timestamptz[], $10::timestamptz[])
            AS e(conversation_id, seq, id, sender_id, type, content, quoted, metadata, expires_at, created_at)
        LEFT JOIN messages m ON m.id = e.id
        -- What is in no conversation was parked by the persister, or went with its conversation; retention removes what is
        -- oldest, and then erases it from the log.
        WHERE (m.id IS NULL AND EXISTS (SELECT 1 FROM conversations c
                    WHERE c.id = e.conversation_id AND c.removed_through_seq < e.seq)
                AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.seq = e.seq))
            OR m.conversation_id <> e.conversation_id OR m.seq > e.seq
            OR (m.seq = e.seq AND m.deleted_at IS NULL AND (
                m.sender_id <> e.sender_id OR m.type <> e.type
                OR (m.changed_seq = 0 AND m.content <> e.content)
                OR m.reply_to_message_id IS DISTINCT FROM e.quoted OR m.metadata <> e.metadata::jsonb
                OR m.expires_at IS DISTINCT FROM e.expires_at OR m.created_at <> e.created_at))
            OR (m.seq = e.seq AND m.deleted_at IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM message_changes c
                    WHERE c.message_id = m.id AND c.kind = 'delete')
                AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.seq = e.seq))";
    let found = rows(
        client,
        sql,
        &[
            &conversations,
            &seqs,
            &ids,
            &senders,
            &kinds,
            &contents,
            &quoted,
            &metadata,
            &expiries,
            &created,
        ],
    )
    .await?;
    found.iter().map(message).collect()
}

fn message(row: &Row) -> Result<Finding, StoreError> {
    let is = |column: &str| {
        Ok::<bool, StoreError>(row.try_get::<_, Option<bool>>(column)?.unwrap_or(false))
    };
    let (kind, detail) = if is("missing")? {
        (Kind::MessageMissing, "it is in the log only".to_owned())
    } else if is("misplaced")? {
        (Kind::MessageDiffers, "its row has another place".to_owned())
    } else if is("deleted")? {
        (Kind::TombstoneUnfounded, "no deletion of it is known".to_owned())
    } else {
        let mut differ = Vec::new();
        for column in ["sender", "type", "content", "quoted", "metadata", "expires", "created"] {
            if is(column)? {
                differ.push(column);
            }
        }
        (Kind::MessageDiffers, format!("not as in the log: {}", differ.join(", ")))
    };
    finding(row, kind, detail)
}

/// A finding about the row's columns `conversation_id`, `seq` and `id`.
pub(super) fn finding(row: &Row, kind: Kind, detail: String) -> Result<Finding, StoreError> {
    Ok(Finding {
        kind,
        conversation_id: row.try_get("conversation_id")?,
        seq: Some(unsigned(row, "seq")?),
        id: row.try_get("id")?,
        detail,
    })
}

/// Edits that were passed by; of the last one that was applied the content is compared too.
async fn edits(client: &impl GenericClient, batch: &Batch) -> Result<Vec<Finding>, StoreError> {
    if batch.edits.is_empty() {
        return Ok(Vec::new());
    }
    let conversations: Vec<Uuid> = batch.edits.iter().map(|e| e.conversation_id).collect();
    let seqs: Vec<i64> = batch.edits.iter().map(|e| signed(e.seq)).collect();
    let ids: Vec<Uuid> = batch.edits.iter().map(|e| e.message_id).collect();
    let contents: Vec<&str> = batch.edits.iter().map(|e| e.content.as_str()).collect();
    let sql = "
        SELECT e.conversation_id, e.seq, e.id, m.changed_seq < e.seq AS behind
        FROM UNNEST($1::uuid[], $2::bigint[], $3::uuid[], $4::text[]) AS e(conversation_id, seq, id, content)
        JOIN messages m ON m.id = e.id
        WHERE m.deleted_at IS NULL
            AND (m.changed_seq < e.seq OR (m.changed_seq = e.seq AND m.content <> e.content))";
    let found = rows(client, sql, &[&conversations, &seqs, &ids, &contents]).await?;
    let edit = |row: &Row| match row.try_get("behind")? {
        true => finding(row, Kind::EditMissing, "the row is from before this edit".to_owned()),
        false => finding(row, Kind::MessageDiffers, "not as in the log: content".to_owned()),
    };
    found.iter().map(edit).collect()
}

async fn deletions(client: &impl GenericClient, batch: &Batch) -> Result<Vec<Finding>, StoreError> {
    if batch.deletions.is_empty() {
        return Ok(Vec::new());
    }
    let conversations: Vec<Uuid> = batch.deletions.iter().map(|d| d.conversation_id).collect();
    let seqs: Vec<i64> = batch.deletions.iter().map(|d| signed(d.seq)).collect();
    let ids: Vec<Uuid> = batch.deletions.iter().map(|d| d.message_id).collect();
    let sql = "
        SELECT e.conversation_id, e.seq, e.id
        FROM UNNEST($1::uuid[], $2::bigint[], $3::uuid[]) AS e(conversation_id, seq, id)
        JOIN messages m ON m.id = e.id
        WHERE m.deleted_at IS NULL";
    let found = rows(client, sql, &[&conversations, &seqs, &ids]).await?;
    let deletion =
        |row: &Row| finding(row, Kind::DeletionMissing, "the message is still there".to_owned());
    found.iter().map(deletion).collect()
}

/// Neither a tombstone nor a message that does not exist has reactions; one that was taken back may be forgotten.
async fn reactions(client: &impl GenericClient, batch: &Batch) -> Result<Vec<Finding>, StoreError> {
    if batch.reactions.is_empty() {
        return Ok(Vec::new());
    }
    let conversations: Vec<Uuid> = batch.reactions.iter().map(|r| r.conversation_id).collect();
    let seqs: Vec<i64> = batch.reactions.iter().map(|r| signed(r.seq)).collect();
    let ids: Vec<Uuid> = batch.reactions.iter().map(|r| r.message_id).collect();
    let users: Vec<Uuid> = batch.reactions.iter().map(|r| r.user_id).collect();
    let emoji: Vec<&str> = batch.reactions.iter().map(|r| r.emoji.as_str()).collect();
    let added: Vec<bool> = batch.reactions.iter().map(|r| r.added).collect();
    let sql = "
        SELECT e.conversation_id, e.seq, e.id
        FROM UNNEST($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::boolean[])
            AS e(conversation_id, seq, id, user_id, emoji, added)
        JOIN messages m ON m.id = e.id AND m.conversation_id = e.conversation_id
        LEFT JOIN reactions r ON r.message_id = e.id AND r.user_id = e.user_id AND r.emoji = e.emoji
        WHERE m.deleted_at IS NULL
            AND ((r.seq IS NULL AND e.added) OR r.seq < e.seq OR (r.seq = e.seq AND r.added <> e.added))";
    let found = rows(client, sql, &[&conversations, &seqs, &ids, &users, &emoji, &added]).await?;
    let reaction =
        |row: &Row| finding(row, Kind::ReactionDiffers, "its row is not as in the log".to_owned());
    found.iter().map(reaction).collect()
}

/// What replays are made of: a row for each edit and deletion, each change of a conversation, each coming and going.
async fn changes(client: &impl GenericClient, batch: &Batch) -> Result<Vec<Finding>, StoreError> {
    let edits = batch.edits.iter();
    let edits = edits.map(|e| (e.conversation_id, e.seq, e.message_id, "edit", e.message_seq));
    let deletions = batch.deletions.iter();
    let deletions =
        deletions.map(|d| (d.conversation_id, d.seq, d.message_id, "delete", d.message_seq));
    let messages: Vec<(Uuid, u64, Uuid, &str, u64)> = edits.chain(deletions).collect();
    let mut found = Vec::new();
    if !messages.is_empty() {
        let conversations: Vec<Uuid> = messages.iter().map(|m| m.0).collect();
        let seqs: Vec<i64> = messages.iter().map(|m| signed(m.1)).collect();
        let ids: Vec<Uuid> = messages.iter().map(|m| m.2).collect();
        let kinds: Vec<&str> = messages.iter().map(|m| m.3).collect();
        let places: Vec<i64> = messages.iter().map(|m| signed(m.4)).collect();
        // Retention removes messages with their changes; that they were deleted before stays in the log.
        let sql = "
            SELECT e.conversation_id, e.seq, e.id
            FROM UNNEST($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::bigint[])
                AS e(conversation_id, seq, id, kind, place)
            LEFT JOIN message_changes c
                ON c.seq = e.seq AND c.message_id = e.id AND c.kind = e.kind
            WHERE c.seq IS NULL AND NOT EXISTS (SELECT 1 FROM conversations r
                WHERE r.id = e.conversation_id AND r.removed_through_seq >= e.place
                    AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = e.id))";
        found.extend(rows(client, sql, &[&conversations, &seqs, &ids, &kinds, &places]).await?);
    }
    if !batch.conversations.is_empty() {
        let conversations: Vec<Uuid> =
            batch.conversations.iter().map(|c| c.conversation_id).collect();
        let seqs: Vec<i64> = batch.conversations.iter().map(|c| signed(c.seq)).collect();
        let payloads: Vec<&str> = batch.conversations.iter().map(|c| c.payload.as_str()).collect();
        let sql = "
            SELECT e.conversation_id, e.seq, NULL::uuid AS id
            FROM UNNEST($1::uuid[], $2::bigint[], $3::text[]) AS e(conversation_id, seq, payload)
            LEFT JOIN conversation_changes c ON c.seq = e.seq
            -- Of whoever is being erased the name is taken out here first, and out of the log afterwards.
            WHERE c.seq IS NULL OR (c.payload <> e.payload
                AND NOT EXISTS (SELECT 1 FROM log_holes h WHERE h.seq = e.seq)
                AND NOT EXISTS (SELECT 1 FROM user_erasures x
                    WHERE x.finished_at IS NULL AND strpos(e.payload, x.user_id::text) > 0))";
        found.extend(rows(client, sql, &[&conversations, &seqs, &payloads]).await?);
        let moves = batch.conversations.iter().filter(|c| c.gained.is_some());
        let moves: Vec<(Uuid, i64, Uuid)> = moves
            .flat_map(|c| c.users.iter().map(|user| (c.conversation_id, signed(c.seq), *user)))
            .collect();
        let conversations: Vec<Uuid> = moves.iter().map(|m| m.0).collect();
        let seqs: Vec<i64> = moves.iter().map(|m| m.1).collect();
        let users: Vec<Uuid> = moves.iter().map(|m| m.2).collect();
        let sql = "
            SELECT e.conversation_id, e.seq, e.id
            FROM UNNEST($1::uuid[], $2::bigint[], $3::uuid[]) AS e(conversation_id, seq, id)
            LEFT JOIN membership_changes c ON c.user_id = e.id AND c.seq = e.seq
            WHERE c.seq IS NULL AND NOT EXISTS (SELECT 1 FROM user_erasures x
                WHERE x.user_id = e.id AND (x.finished_at IS NULL OR x.through >= e.seq))";
        found.extend(rows(client, sql, &[&conversations, &seqs, &users]).await?);
    }
    let change = |row: &Row| {
        finding(row, Kind::ChangeMissing, "who comes back would not hear of it".to_owned())
    };
    found.iter().map(change).collect()
}
