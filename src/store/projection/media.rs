//! Which messages name which files.

use deadpool_postgres::Transaction;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId};
use crate::domain::media::MediaKey;
use crate::domain::message::Message;
use crate::store::{StoreError, execute, rows};

/// A message names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaUse {
    pub key: MediaKey,
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
}

/// Confirms what the messages of a batch name: it stays for as long as they do. `fresh` are those that are new; what
/// a repeated message once named was decided when it came first.
pub async fn confirm(
    tx: &Transaction<'_>,
    uses: &[MediaUse],
    fresh: &[&Message],
) -> Result<(), StoreError> {
    let is_fresh = |u: &&MediaUse| fresh.iter().any(|message| message.id == u.message_id);
    let uses: Vec<&MediaUse> = uses.iter().filter(is_fresh).collect();
    if uses.is_empty() {
        return Ok(());
    }
    let keys: Vec<Uuid> = uses.iter().map(|u| u.key).collect();
    let messages: Vec<Uuid> = uses.iter().map(|u| u.message_id).collect();
    let conversations: Vec<Uuid> = uses.iter().map(|u| u.conversation_id).collect();
    lock(tx, &keys).await?;
    let sql = "
        INSERT INTO media_uses (media_key, message_id)
        SELECT DISTINCT m.key, u.message_id
        FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[]) AS u(key, message_id, conversation_id)
        JOIN media m ON m.key = u.key AND m.conversation_id = u.conversation_id
        WHERE m.state = 'ready'
        ON CONFLICT (media_key, message_id) DO UPDATE SET until = NULL";
    execute(tx, sql, &[&keys, &messages, &conversations]).await?;
    let sql = "UPDATE media SET keep_until = NULL WHERE key = ANY($1) AND state = 'ready'
               AND EXISTS (SELECT 1 FROM media_uses u WHERE u.media_key = key AND u.until IS NULL)";
    execute(tx, sql, &[&keys]).await?;
    Ok(())
}

/// What deleted messages named goes with them, unless another message names it too or their conversation is under legal hold.
pub async fn release(tx: &Transaction<'_>, messages: &[MessageId]) -> Result<(), StoreError> {
    let sql = "SELECT u.media_key, u.message_id FROM media_uses u
               WHERE u.message_id = ANY($1) AND NOT EXISTS (
                   SELECT FROM messages m JOIN conversations c ON c.id = m.conversation_id
                   WHERE m.id = u.message_id AND c.held_at IS NOT NULL)";
    let found = rows(tx, sql, &[&messages]).await?;
    if found.is_empty() {
        return Ok(());
    }
    let keys = found.iter().map(|row| Ok(row.try_get("media_key")?));
    let keys = keys.collect::<Result<Vec<Uuid>, StoreError>>()?;
    let messages = found.iter().map(|row| Ok(row.try_get("message_id")?));
    let messages = messages.collect::<Result<Vec<Uuid>, StoreError>>()?;
    lock(tx, &keys).await?;
    execute(tx, "DELETE FROM media_uses WHERE message_id = ANY($1)", &[&messages]).await?;
    let sql = "UPDATE media SET state = 'erasing', keep_until = to_timestamp(0)
               WHERE key = ANY($1) AND state = 'ready'
               AND NOT EXISTS (SELECT 1 FROM media_uses u WHERE u.media_key = key)";
    execute(tx, sql, &[&keys]).await?;
    Ok(())
}

/// In one order, and in a statement of its own: the next one sees what others did before they let go.
async fn lock(tx: &Transaction<'_>, keys: &[Uuid]) -> Result<(), StoreError> {
    let sql = "SELECT key FROM media WHERE key = ANY($1) ORDER BY key FOR UPDATE";
    rows(tx, sql, &[&keys]).await?;
    Ok(())
}
