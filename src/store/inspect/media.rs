//! Files against the messages that name them.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::media::MediaKey;
use crate::store::projection::Batch;
use crate::store::{StoreError, execute, rows};

use super::{Finding, Inspector, Kind};

/// Rows of one go.
const ROWS: i64 = 500;

/// What nothing names, or what does not exist names, in one go.
#[derive(Debug, Default)]
pub struct Unnamed {
    pub files: Vec<MediaKey>,
    pub findings: Vec<Finding>,
}

/// Files that messages of a stretch name without being known to.
pub(super) async fn named(
    client: &impl GenericClient,
    batch: &Batch,
) -> Result<Vec<Finding>, StoreError> {
    if batch.media.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<Uuid> = batch.media.iter().map(|u| u.key).collect();
    let messages: Vec<Uuid> = batch.media.iter().map(|u| u.message_id).collect();
    let conversations: Vec<Uuid> = batch.media.iter().map(|u| u.conversation_id).collect();
    let sql = "
        SELECT DISTINCT e.conversation_id, m.seq, e.key AS id
        FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[]) AS e(key, message_id, conversation_id)
        JOIN messages m ON m.id = e.message_id AND m.deleted_at IS NULL
        JOIN media f ON f.key = e.key AND f.conversation_id = e.conversation_id AND f.state = 'ready'
        WHERE NOT EXISTS (SELECT 1 FROM media_uses u
            WHERE u.media_key = e.key AND u.message_id = e.message_id AND u.until IS NULL)";
    let found = rows(client, sql, &[&keys, &messages, &conversations]).await?;
    let missing = |row: &Row| {
        let detail = "a message names this file, which could be thrown away".to_owned();
        super::rows::finding(row, Kind::MediaUseMissing, detail)
    };
    found.iter().map(missing).collect()
}

impl Inspector {
    /// Files that are handed out, behind `after`, in the order of their keys; and what is wrong with them.
    ///
    /// # Errors
    /// As every statement.
    pub async fn files(&self, after: MediaKey) -> Result<Unnamed, StoreError> {
        let sql = "
            SELECT f.key, f.conversation_id,
                f.keep_until IS NULL AND NOT EXISTS (SELECT 1 FROM media_uses u WHERE u.media_key = f.key)
                    AS unnamed,
                EXISTS (SELECT 1 FROM media_uses u LEFT JOIN messages m ON m.id = u.message_id
                    WHERE u.media_key = f.key AND u.until IS NULL
                        AND (m.id IS NULL OR m.deleted_at IS NOT NULL)) AS unfounded
            FROM media f WHERE f.key > $1 AND f.state = 'ready' ORDER BY f.key LIMIT $2";
        let found = rows(&self.client, sql, &[&after, &ROWS]).await?;
        let mut unnamed = Unnamed::default();
        for row in &found {
            let key: Uuid = row.try_get("key")?;
            unnamed.files.push(key);
            let conversation_id = row.try_get("conversation_id")?;
            let mut add = |kind, detail: &str| {
                let (id, detail) = (Some(key), detail.to_owned());
                unnamed.findings.push(Finding { kind, conversation_id, seq: None, id, detail });
            };
            if row.try_get("unnamed")? {
                add(Kind::MediaUnnamed, "nothing names it, and it would be kept for ever");
            }
            if row.try_get("unfounded")? {
                add(Kind::MediaUseUnfounded, "it is kept for a message that is not there");
            }
        }
        Ok(unnamed)
    }
}

impl Inspector {
    /// Which of these files are still handed out.
    ///
    /// # Errors
    /// As every statement.
    pub async fn still_there(&self, keys: &[MediaKey]) -> Result<Vec<MediaKey>, StoreError> {
        let sql = "SELECT key FROM media WHERE key = ANY($1) AND state = 'ready'";
        let found = rows(&self.client, sql, &[&keys]).await?;
        found.iter().map(|row| Ok(row.try_get("key")?)).collect()
    }

    /// Which of these have no row. A row is there before the first byte, and goes after the last one.
    ///
    /// # Errors
    /// As every statement.
    pub async fn without_row(&self, keys: &[MediaKey]) -> Result<Vec<MediaKey>, StoreError> {
        let sql = "SELECT DISTINCT k.key FROM UNNEST($1::uuid[]) AS k(key)
                   WHERE NOT EXISTS (SELECT 1 FROM media f WHERE f.key = k.key)";
        let found = rows(&self.client, sql, &[&keys]).await?;
        found.iter().map(|row| Ok(row.try_get("key")?)).collect()
    }
}

/// What is kept for messages that are not there is not kept for them any more, and what nothing names is looked at by
/// whoever collects files.
pub(super) async fn release(
    client: &impl GenericClient,
    keys: &[MediaKey],
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "SELECT key FROM media WHERE key = ANY($1) ORDER BY key FOR UPDATE";
    rows(client, sql, &[&keys]).await?;
    let sql = "DELETE FROM media_uses u WHERE u.media_key = ANY($1) AND u.until IS NULL
               AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = u.message_id AND m.deleted_at IS NULL)";
    execute(client, sql, &[&keys]).await?;
    let sql = "UPDATE media f SET keep_until = $2
               WHERE f.key = ANY($1) AND f.state = 'ready' AND f.keep_until IS NULL
               AND NOT EXISTS (SELECT 1 FROM media_uses u WHERE u.media_key = f.key)";
    execute(client, sql, &[&keys, &now]).await?;
    Ok(())
}
