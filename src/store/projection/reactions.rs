//! Reactions, in the order of the log.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use uuid::Uuid;

use crate::domain::ids::{MessageId, UserId};
use crate::store::{StoreError, execute, signed};

use super::Reaction;

/// Applies reactions: the last of each user, message and emoji stands, older ones than what is there change nothing,
/// and neither a tombstone nor a message that does not exist gets any.
pub async fn apply(tx: &Transaction<'_>, reactions: &[Reaction]) -> Result<(), StoreError> {
    if reactions.is_empty() {
        return Ok(());
    }
    let last: BTreeMap<(MessageId, UserId, &str), &Reaction> =
        reactions.iter().map(|r| ((r.message_id, r.user_id, r.emoji.as_str()), r)).collect();
    let messages: Vec<Uuid> = last.values().map(|r| r.message_id).collect();
    let conversations: Vec<Uuid> = last.values().map(|r| r.conversation_id).collect();
    let users: Vec<Uuid> = last.values().map(|r| r.user_id).collect();
    let emoji: Vec<&str> = last.values().map(|r| r.emoji.as_str()).collect();
    let seqs: Vec<i64> = last.values().map(|r| signed(r.seq)).collect();
    let added: Vec<bool> = last.values().map(|r| r.added).collect();
    let sql = "
        INSERT INTO reactions (message_id, user_id, emoji, conversation_id, message_seq, seq, added)
        SELECT d.message_id, d.user_id, d.emoji, m.conversation_id, m.seq, d.seq, d.added
        FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::boolean[])
            AS d(message_id, conversation_id, user_id, emoji, seq, added)
        JOIN messages m ON m.id = d.message_id AND m.conversation_id = d.conversation_id
        WHERE m.deleted_at IS NULL
        ON CONFLICT (message_id, user_id, emoji) DO UPDATE
        SET seq = EXCLUDED.seq, added = EXCLUDED.added WHERE reactions.seq < EXCLUDED.seq";
    execute(tx, sql, &[&messages, &conversations, &users, &emoji, &seqs, &added]).await?;
    Ok(())
}
