//! Files: who may have them, which messages name them, and which have to go.
//!
//! A row goes `uploading` → `ready` → `erasing` and away. Whoever wants to keep a file locks its row first (the
//! edge, when it claims it for a message; the persister, when it decides that nothing names it any more), so that one
//! of them always sees what the other did.

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::domain::media::{Facts, Media, MediaKey};

use super::{Store, StoreError, execute, row, rows, signed, unsigned};

const COLUMNS: &str = "m.key, m.owner_id, m.conversation_id, m.mime_type, m.size, m.width, m.height, m.duration, \
                       m.blurhash, m.thumbnail_type, m.file_name, m.created_at";

/// A file that is about to arrive.
#[derive(Debug, Clone)]
pub struct NewMedia {
    pub key: MediaKey,
    pub owner_id: UserId,
    pub conversation_id: Option<ConversationId>,
    /// What its sender says it is; what it really is comes with [`Facts`].
    pub mime_type: String,
    pub size: u64,
    pub file_name: Option<String>,
    pub created_at: Timestamp,
    /// When an upload that has not ended is given up.
    pub keep_until: Timestamp,
}

/// A message that names files.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    pub keys: &'a [MediaKey],
    pub message: MessageId,
    pub conversation: ConversationId,
    pub sender: UserId,
    /// How long the claim counts if the message does not come through the log.
    pub until: Timestamp,
}

impl Store {
    /// Notes a file before its first byte is stored.
    ///
    /// # Errors
    /// As every statement.
    pub async fn begin_media(&self, new: &NewMedia) -> Result<(), StoreError> {
        self.within(async {
            let sql = "INSERT INTO media (key, owner_id, conversation_id, state, mime_type, size, file_name,
                           keep_until, created_at)
                       VALUES ($1, $2, $3, 'uploading', $4, $5, $6, $7, $8)";
            execute(
                &self.client().await?,
                sql,
                &[
                    &new.key,
                    &new.owner_id,
                    &new.conversation_id,
                    &new.mime_type,
                    &signed(new.size),
                    &new.file_name,
                    &new.keep_until,
                    &new.created_at,
                ],
            )
            .await?;
            Ok(())
        })
        .await
    }

    /// Its bytes are stored: from now on it can be had. `None` if it was given up meanwhile.
    ///
    /// # Errors
    /// As every statement.
    pub async fn finish_media(
        &self,
        key: MediaKey,
        facts: &Facts,
        keep_until: Timestamp,
    ) -> Result<Option<Media>, StoreError> {
        self.within(async {
            let sql = format!(
                "UPDATE media m SET state = 'ready', mime_type = $2, size = $3, width = $4, height = $5,
                     duration = $6, blurhash = $7, thumbnail_type = $8, keep_until = $9
                 WHERE m.key = $1 AND m.state = 'uploading' RETURNING {COLUMNS}"
            );
            let narrow = |side: Option<u32>| side.map(|side| i32::try_from(side).unwrap_or(i32::MAX));
            let found = row(
                &self.client().await?,
                &sql,
                &[
                    &key,
                    &facts.mime_type,
                    &signed(facts.size),
                    &narrow(facts.width),
                    &narrow(facts.height),
                    &facts.duration,
                    &facts.blurhash,
                    &facts.thumbnail_type,
                    &keep_until,
                ],
            )
            .await?;
            found.as_ref().map(media).transpose()
        })
        .await
    }

    /// An upload failed: whatever is stored of it has to go.
    ///
    /// # Errors
    /// As every statement.
    pub async fn abandon_media(&self, key: MediaKey, now: Timestamp) -> Result<(), StoreError> {
        self.within(async {
            let sql = "UPDATE media SET state = 'erasing', keep_until = $2
                       WHERE key = $1 AND state = 'uploading'";
            execute(&self.client().await?, sql, &[&key, &now]).await?;
            Ok(())
        })
        .await
    }

    /// A file as somebody who may have it finds it: a participant of its conversation, or its owner while it belongs
    /// to none.
    ///
    /// # Errors
    /// As every statement.
    pub async fn media_for(
        &self,
        key: MediaKey,
        user: UserId,
    ) -> Result<Option<Media>, StoreError> {
        let allowed = "m.state = 'ready'
            AND CASE WHEN m.conversation_id IS NULL THEN m.owner_id = $2
                ELSE EXISTS (SELECT 1 FROM conversation_participants p
                    WHERE p.conversation_id = m.conversation_id AND p.user_id = $2) END";
        self.media_where(allowed, &[&key, &user]).await
    }

    /// A file, for somebody who has proven that he may have it.
    ///
    /// # Errors
    /// As every statement.
    pub async fn media(&self, key: MediaKey) -> Result<Option<Media>, StoreError> {
        self.media_where("m.state = 'ready'", &[&key]).await
    }

    /// An upload of `user`'s that is under way.
    ///
    /// # Errors
    /// As every statement.
    pub async fn media_under_way(
        &self,
        key: MediaKey,
        user: UserId,
    ) -> Result<Option<Media>, StoreError> {
        self.media_where("m.owner_id = $2 AND m.state = 'uploading'", &[&key, &user]).await
    }

    /// The file of the key `$1`, if it is so.
    async fn media_where(
        &self,
        condition: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Media>, StoreError> {
        self.within(async {
            let sql = format!("SELECT {COLUMNS} FROM media m WHERE m.key = $1 AND {condition}");
            row(&self.client().await?, &sql, params).await?.as_ref().map(media).transpose()
        })
        .await
    }

    /// Claims files for a message, and returns those that it may name: its conversation's, and the sender's own that
    /// belong to none yet. Those belong to the conversation from now on.
    ///
    /// # Errors
    /// As every statement.
    pub async fn claim_media(&self, claim: Claim<'_>) -> Result<Vec<MediaKey>, StoreError> {
        self.within(async {
            let sql = "
                WITH named AS (
                    SELECT key FROM media
                    WHERE key = ANY($1) AND state = 'ready'
                        AND (conversation_id = $2 OR (conversation_id IS NULL AND owner_id = $3))
                    ORDER BY key FOR UPDATE
                ), bound AS (
                    UPDATE media SET conversation_id = $2 FROM named
                    WHERE media.key = named.key AND media.conversation_id IS NULL
                ), claimed AS (
                    INSERT INTO media_uses (media_key, message_id, until)
                    SELECT key, $4, $5 FROM named ON CONFLICT DO NOTHING
                )
                SELECT key FROM named";
            let Claim { keys, message, conversation, sender, until } = claim;
            let params: [&(dyn ToSql + Sync); 5] =
                [&keys, &conversation, &sender, &message, &until];
            let found = rows(&self.client().await?, sql, &params).await?;
            found.iter().map(|row| Ok(row.try_get("key")?)).collect()
        })
        .await
    }

    /// Nothing will come of a message: what it has claimed is free again.
    ///
    /// # Errors
    /// As every statement.
    pub async fn release_media_claims(&self, message: MessageId) -> Result<(), StoreError> {
        self.within(async {
            let sql = "DELETE FROM media_uses WHERE message_id = $1 AND until IS NOT NULL";
            execute(&self.client().await?, sql, &[&message]).await?;
            Ok(())
        })
        .await
    }

    /// Files whose bytes have to go, at most `limit`: those that are marked already, and those whose time is over and
    /// that nothing names. What a confirmed message, a claim that still counts or a conversation's picture names
    /// stays, and is looked at again later.
    ///
    /// # Errors
    /// As every statement.
    pub async fn media_to_erase(
        &self,
        now: Timestamp,
        again: Timestamp,
        limit: u32,
    ) -> Result<Vec<MediaKey>, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let sql = "SELECT key FROM media WHERE keep_until <= $1
                       ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED";
            let due = rows(&tx, sql, &[&now, &signed(limit.into())]).await?;
            let due = due.iter().map(|row| Ok(row.try_get("key")?));
            let due = due.collect::<Result<Vec<MediaKey>, StoreError>>()?;
            // Behind the locks: what was claimed before is seen now, what comes later finds the mark.
            let sql = "DELETE FROM media_uses WHERE media_key = ANY($1) AND until <= $2";
            execute(&tx, sql, &[&due, &now]).await?;
            let sql = "
                UPDATE media m SET
                    state = CASE WHEN d.is_named THEN m.state ELSE 'erasing' END,
                    -- Whoever fails to erase them finds them again after a while.
                    keep_until = CASE WHEN d.is_confirmed THEN NULL
                        WHEN d.is_named THEN $2::timestamptz + interval '1 hour' ELSE $2 END
                FROM (
                    SELECT m.key,
                        m.state = 'ready' AND (
                            EXISTS (SELECT 1 FROM media_uses u WHERE u.media_key = m.key)
                            OR EXISTS (SELECT 1 FROM conversations c WHERE c.id = m.conversation_id
                                AND c.avatar_url LIKE '%/media/' || m.key || '%')
                        ) AS is_named,
                        m.state = 'ready' AND EXISTS (SELECT 1 FROM media_uses u
                            WHERE u.media_key = m.key AND u.until IS NULL) AS is_confirmed
                    FROM media m WHERE m.key = ANY($1)
                ) d
                WHERE m.key = d.key
                RETURNING m.key, m.state";
            let marked = rows(&tx, sql, &[&due, &again]).await?;
            tx.commit().await?;
            let mut keys = Vec::with_capacity(marked.len());
            for row in marked {
                if row.try_get::<_, &str>("state")? == "erasing" {
                    keys.push(row.try_get("key")?);
                }
            }
            Ok(keys)
        })
        .await
    }

    /// Their bytes are gone.
    ///
    /// # Errors
    /// As every statement.
    pub async fn forget_media(&self, keys: &[MediaKey]) -> Result<(), StoreError> {
        self.within(async {
            let sql = "
                WITH gone AS (
                    DELETE FROM media WHERE key = ANY($1) AND state = 'erasing' RETURNING key
                )
                DELETE FROM media_uses u USING gone WHERE u.media_key = gone.key";
            execute(&self.client().await?, sql, &[&keys]).await?;
            Ok(())
        })
        .await
    }
}

fn media(row: &Row) -> Result<Media, StoreError> {
    let side = |column: &str| -> Result<Option<u32>, StoreError> {
        let side: Option<i32> = row.try_get(column)?;
        side.map(|side| u32::try_from(side).map_err(|_| StoreError::bug("a side is negative")))
            .transpose()
    };
    Ok(Media {
        key: row.try_get("key")?,
        owner_id: row.try_get("owner_id")?,
        conversation_id: row.try_get("conversation_id")?,
        facts: Facts {
            mime_type: row.try_get("mime_type")?,
            size: unsigned(row, "size")?,
            width: side("width")?,
            height: side("height")?,
            duration: row.try_get("duration")?,
            blurhash: row.try_get("blurhash")?,
            thumbnail_type: row.try_get("thumbnail_type")?,
        },
        file_name: row.try_get("file_name")?,
        created_at: row.try_get("created_at")?,
    })
}
