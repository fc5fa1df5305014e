//! The steps of the end of a user's data. Each commits by itself and can be taken again.

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::conversation::{Conversation, ConversationType};
use crate::domain::ids::{ConversationId, Seq, UserId};
use crate::domain::user::GONE;
use crate::store::conversations::ChangeError;
use crate::store::outbox::{self, OutboxEvent};
use crate::store::{Store, StoreError, execute, named, participants, row, rows, signed, unsigned};

use super::pages::OwnReaction;

/// Messages that are looked through in one step: some 10 ms.
const WINDOW: i64 = 5_000;
/// With so many deletions on their way to the log nothing is added: those of operators do not wait for long behind them.
const WAITING: i64 = 2_000;

/// Where a user is, or was, and what that means for the end of their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ground {
    pub conversation: ConversationId,
    pub kind: ConversationType,
    /// Nobody else is in it: it goes as a whole.
    pub is_alone: bool,
    /// Nothing may be removed from it.
    pub is_held: bool,
}

/// A stretch of a conversation that was looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// What was found in it.
    pub found: u64,
    /// What of it had not been asked for before.
    pub asked: u64,
    /// Everything up to here; `None` at the end.
    pub next: Option<Seq>,
}

impl Store {
    /// The next conversation behind `after` that the user is in or was.
    ///
    /// # Errors
    /// As every statement.
    pub async fn next_ground(
        &self,
        user: UserId,
        after: ConversationId,
    ) -> Result<Option<Ground>, StoreError> {
        self.within(async {
            let sql = "
                SELECT c.id, c.type, c.held_at IS NOT NULL AS is_held,
                    c.participant_count <= 1 AND EXISTS (SELECT FROM conversation_participants p
                        WHERE p.conversation_id = c.id AND p.user_id = $1) AS is_alone
                FROM conversations c WHERE c.id = (
                    SELECT min(conversation_id::text)::uuid FROM (
                        (SELECT conversation_id FROM conversation_participants
                         WHERE user_id = $1 AND conversation_id > $2 ORDER BY conversation_id LIMIT 1)
                        UNION ALL
                        (SELECT conversation_id FROM departures
                         WHERE user_id = $1 AND conversation_id > $2 ORDER BY conversation_id LIMIT 1)
                    ) AS next)";
            let found = row(&self.client().await?, sql, &[&user, &after]).await?;
            let ground = |row: Row| {
                Ok(Ground {
                    conversation: row.try_get("id")?,
                    kind: named(&row, "type", ConversationType::parse)?,
                    is_alone: row.try_get("is_alone")?,
                    is_held: row.try_get("is_held")?,
                })
            };
            found.map(ground).transpose()
        })
        .await
    }

    /// Are so many deletions under way already that no more should be asked for?
    ///
    /// # Errors
    /// As every statement.
    pub async fn deletions_are_waiting(&self) -> Result<bool, StoreError> {
        self.within(async {
            let sql =
                "SELECT count(*) AS waiting FROM (SELECT FROM due_deletions LIMIT $1) AS first_ones";
            let found = row(&self.client().await?, sql, &[&WAITING]).await?;
            let found = found.ok_or_else(|| StoreError::bug("a count of nothing"))?;
            Ok(found.try_get::<_, i64>("waiting")? >= WAITING)
        })
        .await
    }

    /// Asks for the deletion of the user's messages in a stretch of a conversation, of everybody's where the user is alone
    /// in it.
    ///
    /// # Errors
    /// As every statement.
    pub async fn ask_for_deletions(
        &self,
        user: UserId,
        ground: &Ground,
        after: Seq,
    ) -> Result<Looked, StoreError> {
        self.within(async {
            let sql = "
                WITH stretch AS MATERIALIZED (
                    SELECT id, seq, deleted_at IS NULL AND (sender_id = $3 OR $4) AS is_wanted
                    FROM messages WHERE conversation_id = $1 AND seq > $2 ORDER BY seq LIMIT $5
                ), asked AS (
                    INSERT INTO due_deletions (message_id) SELECT id FROM stretch WHERE is_wanted ORDER BY id
                    ON CONFLICT DO NOTHING RETURNING 1
                )
                SELECT count(*) AS looked, COALESCE(max(seq), 0) AS last,
                    count(*) FILTER (WHERE is_wanted) AS found, (SELECT count(*) FROM asked) AS asked
                FROM stretch";
            let client = self.client().await?;
            let (after, all) = (signed(after), ground.is_alone);
            let params: [&(dyn ToSql + Sync); 5] =
                [&ground.conversation, &after, &user, &all, &WINDOW];
            looked(row(&client, sql, &params).await?)
        })
        .await
    }

    /// Takes the user's name off the tombstones in a stretch of a conversation. Rows that somebody else has locked just
    /// now are found, so that there is a next pass, and are for that one.
    ///
    /// # Errors
    /// As every statement.
    pub async fn take_names_off(
        &self,
        user: UserId,
        conversation: ConversationId,
        after: Seq,
    ) -> Result<Looked, StoreError> {
        self.within(async {
            let sql = "
                WITH stretch AS MATERIALIZED (
                    SELECT seq, sender_id = $3
                        AND (sender_name IS DISTINCT FROM $5 OR client_message_id IS NOT NULL) AS is_named
                    FROM messages
                    WHERE conversation_id = $1 AND seq > $2 ORDER BY seq LIMIT $4
                ), mine AS MATERIALIZED (
                    SELECT m.conversation_id, m.seq FROM messages m JOIN stretch s USING (seq)
                    WHERE m.conversation_id = $1 AND s.is_named
                    ORDER BY m.seq FOR UPDATE OF m SKIP LOCKED
                ), named AS (
                    UPDATE messages m SET sender_name = $5, client_message_id = NULL FROM mine
                    WHERE m.conversation_id = mine.conversation_id AND m.seq = mine.seq
                )
                SELECT count(*) AS looked, COALESCE(max(seq), 0) AS last,
                    count(*) FILTER (WHERE is_named) AS found, 0::bigint AS asked
                FROM stretch";
            let client = self.client().await?;
            let after = signed(after);
            let params: [&(dyn ToSql + Sync); 5] = [&conversation, &after, &user, &WINDOW, &GONE];
            looked(row(&client, sql, &params).await?)
        })
        .await
    }

    /// Changes of a conversation that name the user, behind `after`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn changes_naming(
        &self,
        user: UserId,
        conversation: ConversationId,
        after: Seq,
        limit: u32,
    ) -> Result<Vec<(Seq, String)>, StoreError> {
        self.within(async {
            let sql = "SELECT seq, payload FROM conversation_changes
                       WHERE conversation_id = $1 AND seq > $2 AND payload LIKE $3 ORDER BY seq LIMIT $4";
            let (after, naming) = (signed(after), format!("%{user}%"));
            let (client, limit) = (self.client().await?, i64::from(limit));
            let found = rows(&client, sql, &[&conversation, &after, &naming, &limit]).await?;
            found.iter().map(|row| Ok((unsigned(row, "seq")?, row.try_get("payload")?))).collect()
        })
        .await
    }

    /// Puts another text in the place of changes.
    ///
    /// # Errors
    /// As every statement.
    pub async fn rewrite_changes(&self, changes: &[(Seq, String)]) -> Result<(), StoreError> {
        self.within(async {
            let seqs: Vec<i64> = changes.iter().map(|(seq, _)| signed(*seq)).collect();
            let texts: Vec<&str> = changes.iter().map(|(_, text)| text.as_str()).collect();
            let sql = "UPDATE conversation_changes c SET payload = n.payload
                       FROM UNNEST($1::bigint[], $2::text[]) AS n(seq, payload) WHERE c.seq = n.seq";
            execute(&self.client().await?, sql, &[&seqs, &texts]).await?;
            Ok(())
        })
        .await
    }

    /// Announces that reactions were taken back. They are there until that has come through the log.
    ///
    /// # Errors
    /// As every statement.
    pub async fn announce_taken_back(
        &self,
        conversation: ConversationId,
        events: &[OutboxEvent],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let sql = "SELECT id FROM conversations WHERE id = $1 FOR UPDATE";
            rows(&tx, sql, &[&conversation]).await?;
            for event in events {
                outbox::announce(&tx, conversation, event, now).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Are announcements of a conversation still on their way?
    ///
    /// # Errors
    /// As every statement.
    pub async fn is_announcing(&self, conversation: ConversationId) -> Result<bool, StoreError> {
        self.within(async {
            let sql = "SELECT FROM outbox WHERE conversation_id = $1 LIMIT 1";
            Ok(row(&self.client().await?, sql, &[&conversation]).await?.is_some())
        })
        .await
    }

    /// Takes the user out of a conversation, and gives it another admin where it would have none; in a direct one they
    /// stay, as somebody without a view of their own.
    ///
    /// # Errors
    /// As every statement.
    pub async fn leave_for_good(
        &self,
        user: UserId,
        ground: &Ground,
        now: Timestamp,
        event: impl FnOnce(&Conversation) -> OutboxEvent,
    ) -> Result<(), StoreError> {
        let id = ground.conversation;
        let left = self
            .changing(async {
                let mut client = self.client().await?;
                let tx = client.transaction().await.map_err(StoreError::from)?;
                let locked = participants::lock_as(&tx, id, user).await;
                match locked {
                    Err(ChangeError::Refused(_)) => return Ok(()),
                    Err(error) => return Err(error),
                    Ok(_) => {}
                }
                if ground.kind == ConversationType::Direct {
                    let sql = "UPDATE conversation_participants SET is_pinned = false, pinned_at = NULL,
                                   is_muted = false, muted_until = NULL, is_archived = false, archived_at = NULL,
                                   last_read_message_id = NULL, last_read_at = NULL, delivered_at = NULL
                               WHERE conversation_id = $1 AND user_id = $2";
                    execute(&tx, sql, &[&id, &user]).await?;
                    return tx.commit().await.map_err(|cause| StoreError::from(cause).into());
                }
                participants::remove(&tx, id, user, now).await?;
                let sql = "UPDATE conversation_participants SET role = 'admin'
                           WHERE conversation_id = $1 AND user_id = (
                               SELECT user_id FROM conversation_participants WHERE conversation_id = $1
                               ORDER BY joined_at, user_id LIMIT 1)
                           AND NOT EXISTS (SELECT FROM conversation_participants
                               WHERE conversation_id = $1 AND role = 'admin')";
                execute(&tx, sql, &[&id]).await?;
                let sql = "UPDATE conversations SET title = NULL, description = NULL, avatar_url = NULL
                           WHERE id = $1 AND participant_count = 0";
                execute(&tx, sql, &[&id]).await?;
                participants::announce_and_commit(tx, id, now, event).await
            })
            .await;
        match left {
            Ok(()) | Err(ChangeError::Refused(_)) => Ok(()),
            Err(ChangeError::Store(error)) => Err(error),
        }
    }

    /// Everything of the user's that is not in a conversation, in one transaction. Their files are marked; the collector
    /// erases them.
    ///
    /// # Errors
    /// As every statement.
    pub async fn forget_user(&self, user: UserId, now: Timestamp) -> Result<(), StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            // Nodes read what has changed between two people by this time, and would go on knowing the block.
            let sql = "UPDATE block_pairs p SET changed_at = clock_timestamp() FROM blocks b
                       WHERE b.blocker_id = $1 AND p.low_id = LEAST(b.blocker_id, b.blocked_id)
                         AND p.high_id = GREATEST(b.blocker_id, b.blocked_id)";
            execute(&tx, sql, &[&user]).await?;
            for place in super::places::PLACES {
                if let Some(sql) = place.statement() {
                    execute(&tx, &sql, &[&user]).await?;
                }
            }
            let sql = "UPDATE media SET state = 'erasing', keep_until = $2, file_name = NULL
                       WHERE owner_id = $1 AND NOT EXISTS (SELECT FROM conversations c
                           WHERE c.id = media.conversation_id AND c.held_at IS NOT NULL)";
            execute(&tx, sql, &[&user, &now]).await?;
            let sql = "UPDATE users SET display_name = $2, avatar_url = NULL, last_seen_at = NULL, told_at = $3,
                           created_at = $3, updated_at = $3
                       WHERE id = $1";
            execute(&tx, sql, &[&user, &GONE, &now]).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Are files of the user's still to be erased by the collector?
    ///
    /// # Errors
    /// As every statement.
    pub async fn has_files(&self, user: UserId) -> Result<bool, StoreError> {
        self.within(async {
            let sql = "SELECT FROM media WHERE owner_id = $1 AND state = 'erasing' LIMIT 1";
            Ok(row(&self.client().await?, sql, &[&user]).await?.is_some())
        })
        .await
    }

    /// Notes places of the log that are about to be erased although what they say still stands.
    ///
    /// # Errors
    /// As every statement.
    pub async fn note_holes(&self, seqs: &[Seq]) -> Result<(), StoreError> {
        self.within(async {
            let seqs: Vec<i64> = seqs.iter().map(|seq| signed(*seq)).collect();
            let sql = "INSERT INTO log_holes (seq) SELECT DISTINCT * FROM UNNEST($1::bigint[]) ON CONFLICT DO NOTHING";
            execute(&self.client().await?, sql, &[&seqs]).await?;
            Ok(())
        })
        .await
    }

    /// The last of them; 0 without any.
    ///
    /// # Errors
    /// As every statement.
    pub async fn newest_hole(&self) -> Result<Seq, StoreError> {
        self.within(async {
            let sql = "SELECT COALESCE(max(seq), 0) AS seq FROM log_holes";
            let found = row(&self.client().await?, sql, &[]).await?;
            found.as_ref().map_or(Ok(0), |row| unsigned(row, "seq"))
        })
        .await
    }

    /// The last step: where somebody has been is of no more use, and their profile is emptied once more, should a late
    /// goodbye have touched it.
    ///
    /// # Errors
    /// As every statement.
    pub async fn finish_erasure(&self, user: UserId, now: Timestamp) -> Result<(), StoreError> {
        self.forget_user(user, now).await?;
        self.within(async {
            let sql = "DELETE FROM departures WHERE user_id = $1";
            execute(&self.client().await?, sql, &[&user]).await?;
            Ok(())
        })
        .await
    }

    /// The reactions of a user in a conversation, for taking them back.
    ///
    /// # Errors
    /// As every statement.
    pub async fn some_reactions(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<Vec<OwnReaction>, StoreError> {
        self.own_reactions(user, conversation, 0, 200).await
    }
}

fn looked(found: Option<Row>) -> Result<Looked, StoreError> {
    let row = found.ok_or_else(|| StoreError::bug("a count of nothing"))?;
    let last = unsigned(&row, "last")?;
    let full = row.try_get::<_, i64>("looked")? == WINDOW;
    Ok(Looked {
        found: unsigned(&row, "found")?,
        asked: unsigned(&row, "asked")?,
        next: full.then_some(last),
    })
}
