//! Changes of conversations, kept for those who were away.

use deadpool_postgres::Transaction;
use uuid::Uuid;

use crate::store::{StoreError, execute, signed};

use super::ConversationChange;

/// Notes the changes and whom they brought or took. What was noted before stays as it is.
pub async fn note(tx: &Transaction<'_>, changes: &[ConversationChange]) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let seqs: Vec<i64> = changes.iter().map(|c| signed(c.seq)).collect();
    let conversations: Vec<Uuid> = changes.iter().map(|c| c.conversation_id).collect();
    let payloads: Vec<&str> = changes.iter().map(|c| c.payload.as_str()).collect();
    let sql = "
        INSERT INTO conversation_changes (seq, conversation_id, payload)
        SELECT * FROM UNNEST($1::bigint[], $2::uuid[], $3::text[])
        ON CONFLICT DO NOTHING";
    execute(tx, sql, &[&seqs, &conversations, &payloads]).await?;
    moves(tx, changes).await
}

async fn moves(tx: &Transaction<'_>, changes: &[ConversationChange]) -> Result<(), StoreError> {
    let (mut users, mut seqs): (Vec<Uuid>, Vec<i64>) = (Vec::new(), Vec::new());
    let (mut conversations, mut gained): (Vec<Uuid>, Vec<bool>) = (Vec::new(), Vec::new());
    for change in changes {
        let Some(came) = change.gained else { continue };
        users.extend(&change.users);
        seqs.resize(users.len(), signed(change.seq));
        conversations.resize(users.len(), change.conversation_id);
        gained.resize(users.len(), came);
    }
    if users.is_empty() {
        return Ok(());
    }
    let sql = "
        INSERT INTO membership_changes (user_id, seq, conversation_id, gained)
        SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::uuid[], $4::boolean[])
        ON CONFLICT DO NOTHING";
    execute(tx, sql, &[&users, &seqs, &conversations, &gained]).await?;
    Ok(())
}
