//! Messages that are sent later. Edges put them in and cancel them; the persister's leader sends them.
//!
//! What is in `messages` was sent, whatever a row here says: the leader removes the row a moment later.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::domain::schedule::{MAX_SCHEDULED, State};

use super::leadership::Leader;
use super::standing::is_barred;
use super::{Store, StoreError, execute, named, row, rows, signed};

/// A message that is sent later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    pub id: MessageId,
    pub conversation_id: ConversationId,
    pub sender_id: UserId,
    pub send_at: Timestamp,
    pub state: State,
    /// As the edge wrote it; empty once cancelled.
    pub payload: String,
}

/// What is kept of a new one beside that.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    pub ttl_seconds: Option<u64>,
    pub msg_id: &'a str,
    pub reply_to_message_id: Option<MessageId>,
    pub mentions: &'a [UserId],
    pub now: Timestamp,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    New,
    /// There is one of that id.
    Known(Scheduled),
    /// The sender has too many.
    Full,
}

/// A message whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub scheduled: Scheduled,
    pub ttl_seconds: Option<u64>,
    pub msg_id: String,
    /// What the quoted message says now; `None` if there is none.
    pub quoted: Option<String>,
    /// Those of the mentioned who are still participants.
    pub mentions: Vec<UserId>,
}

macro_rules! scheduled_columns {
    () => {
        "s.id, s.conversation_id, s.sender_id, s.send_at, s.state, s.payload"
    };
}

fn scheduled(row: &Row) -> Result<Scheduled, StoreError> {
    Ok(Scheduled {
        id: row.try_get("id")?,
        conversation_id: row.try_get("conversation_id")?,
        sender_id: row.try_get("sender_id")?,
        send_at: row.try_get("send_at")?,
        state: named(row, "state", State::parse)?,
        payload: row.try_get("payload")?,
    })
}

impl Store {
    /// Keeps a message for later. Requests at the same moment may take a sender a few beyond the limit.
    ///
    /// # Errors
    /// As every statement.
    pub async fn schedule(
        &self,
        new: &Scheduled,
        sending: Sending<'_>,
    ) -> Result<Kept, StoreError> {
        let sql = "
            INSERT INTO scheduled_messages (id, conversation_id, sender_id, send_at, ttl_seconds, msg_id, payload,
                reply_to_message_id, mentions, state, created_at, changed_at)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11
            WHERE (SELECT count(*) FROM scheduled_messages
                   WHERE sender_id = $3 AND state <> 'cancelled') < $12
            ON CONFLICT (id) DO NOTHING";
        self.within(async {
            let Sending { ttl_seconds, msg_id, reply_to_message_id, mentions, now } = sending;
            let inserted = execute(
                &self.client().await?,
                sql,
                &[
                    &new.id,
                    &new.conversation_id,
                    &new.sender_id,
                    &new.send_at,
                    &ttl_seconds.map(signed),
                    &msg_id,
                    &new.payload,
                    &reply_to_message_id,
                    &mentions,
                    &new.state.as_str(),
                    &now,
                    &i64::from(MAX_SCHEDULED),
                ],
            )
            .await?;
            if inserted > 0 {
                return Ok(Kept::New);
            }
            Ok(self.scheduled_message(new.id).await?.map_or(Kept::Full, Kept::Known))
        })
        .await
    }

    /// One that was scheduled and not sent.
    ///
    /// # Errors
    /// As every statement.
    pub async fn scheduled_message(&self, id: MessageId) -> Result<Option<Scheduled>, StoreError> {
        let sql = concat!(
            "SELECT ",
            scheduled_columns!(),
            " FROM scheduled_messages s
              WHERE s.id = $1 AND NOT EXISTS (SELECT FROM messages m WHERE m.id = s.id)"
        );
        self.within(async {
            row(&self.client().await?, sql, &[&id]).await?.as_ref().map(scheduled).transpose()
        })
        .await
    }

    /// What a user has scheduled, in one conversation or in all, the next first.
    ///
    /// # Errors
    /// As every statement.
    pub async fn scheduled_messages(
        &self,
        sender: UserId,
        conversation: Option<ConversationId>,
    ) -> Result<Vec<Scheduled>, StoreError> {
        let sql = concat!(
            "SELECT ",
            scheduled_columns!(),
            " FROM scheduled_messages s
              WHERE s.sender_id = $1 AND s.state <> 'cancelled'
                AND ($2::uuid IS NULL OR s.conversation_id = $2)
                AND NOT EXISTS (SELECT FROM messages m WHERE m.id = s.id)
              ORDER BY s.send_at, s.created_at LIMIT 1000"
        );
        self.within(async {
            let found = rows(&self.client().await?, sql, &[&sender, &conversation]).await?;
            found.iter().map(scheduled).collect()
        })
        .await
    }

    /// Cancels what waits, or what could not be sent. Returns it as it was; `None` if there is no such thing (any more).
    ///
    /// # Errors
    /// As every statement.
    pub async fn cancel_scheduled(
        &self,
        id: MessageId,
        sender: UserId,
        now: Timestamp,
    ) -> Result<Option<Scheduled>, StoreError> {
        let sql = concat!(
            "WITH was AS MATERIALIZED (
                 SELECT * FROM scheduled_messages s
                 WHERE s.id = $1 AND s.sender_id = $2 AND s.state IN ('waiting', 'failed')
                   AND NOT EXISTS (SELECT FROM messages m WHERE m.id = s.id)
                 FOR UPDATE
             ), cancelled AS (
                 UPDATE scheduled_messages c SET state = 'cancelled', payload = '', mentions = '{}', changed_at = $3
                 FROM was WHERE c.id = was.id
             )
             SELECT ",
            scheduled_columns!(),
            " FROM was s"
        );
        self.within(async {
            let found = row(&self.client().await?, sql, &[&id, &sender, &now]).await?;
            found.as_ref().map(scheduled).transpose()
        })
        .await
    }
}

impl Leader {
    /// Takes what is due, the earliest first and `limit` at most: from here on it cannot be cancelled. Those whose sender
    /// has left the conversation, or may not take part or not write there when they like any more, fail; they come back
    /// as well.
    ///
    /// # Errors
    /// As every statement.
    pub async fn take_due(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, StoreError> {
        // What has come back through the log was sent.
        let sql = "DELETE FROM scheduled_messages s USING messages m
                   WHERE m.id = s.id AND s.state IN ('waiting', 'sending') AND s.send_at <= $1";
        execute(&self.client, sql, &[&now]).await?;
        let sql = concat!(
            "WITH due AS MATERIALIZED (
                 SELECT s.id, p.user_id IS NOT NULL AND (p.role = 'admin'
                     OR (c.posting_policy = 'everyone' AND c.slow_mode_seconds = 0)) AND NOT ",
            is_barred!("s.sender_id", "$1"),
            "
                        AND NOT EXISTS (
                            SELECT FROM conversations c
                            JOIN conversation_participants o
                              ON o.conversation_id = c.id AND o.user_id <> s.sender_id
                            JOIN blocks b ON (b.blocker_id = o.user_id AND b.blocked_id = s.sender_id)
                                          OR (b.blocker_id = s.sender_id AND b.blocked_id = o.user_id)
                            WHERE c.id = s.conversation_id AND c.type = 'direct') AS is_there
                 FROM scheduled_messages s
                 LEFT JOIN conversations c ON c.id = s.conversation_id
                 LEFT JOIN conversation_participants p
                   ON p.conversation_id = s.conversation_id AND p.user_id = s.sender_id
                 WHERE s.state IN ('waiting', 'sending') AND s.send_at <= $1
                 ORDER BY s.send_at, s.created_at LIMIT $2
                 FOR UPDATE OF s
             )
             UPDATE scheduled_messages s
             SET state = CASE WHEN due.is_there THEN 'sending' ELSE 'failed' END, changed_at = $1
             FROM due WHERE s.id = due.id
             RETURNING ",
            scheduled_columns!(),
            ", s.created_at, s.ttl_seconds, s.msg_id,
               (SELECT CASE WHEN q.deleted_at IS NULL AND q.expires_at IS NULL THEN left(q.content, 200) ELSE '' END
                FROM messages q WHERE q.id = s.reply_to_message_id) AS quoted,
               ARRAY(SELECT p.user_id FROM conversation_participants p
                     WHERE p.conversation_id = s.conversation_id AND p.user_id = ANY(s.mentions)) AS mentions"
        );
        let found = rows(&self.client, sql, &[&now, &signed(limit.into())]).await?;
        let mut all = found.iter().map(due).collect::<Result<Vec<_>, StoreError>>()?;
        all.sort_by_key(|(at, created_at, _)| (*at, *created_at));
        Ok(all.into_iter().map(|(_, _, due)| due).collect())
    }

    /// These were stored by the log, and everything in it was read since. Those that are no messages were refused there:
    /// to send them again and again would not help. Returns how many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn fail_refused(&self, ids: &[MessageId], now: Timestamp) -> Result<u64, StoreError> {
        let sql = "UPDATE scheduled_messages s SET state = 'failed', changed_at = $2
                   WHERE s.id = ANY($1) AND s.state = 'sending'
                     AND NOT EXISTS (SELECT FROM messages m WHERE m.id = s.id)";
        execute(&self.client, sql, &[&ids, &now]).await
    }

    /// Forgets what failed or was cancelled before a time.
    ///
    /// # Errors
    /// As every statement.
    pub async fn forget_scheduled(&self, before: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM scheduled_messages
                   WHERE state IN ('failed', 'cancelled') AND changed_at < $1";
        execute(&self.client, sql, &[&before]).await
    }
}

fn due(row: &Row) -> Result<(Timestamp, Timestamp, Due), StoreError> {
    let ttl_seconds: Option<i64> = row.try_get("ttl_seconds")?;
    let mentions: Vec<Uuid> = row.try_get("mentions")?;
    let due = Due {
        scheduled: scheduled(row)?,
        ttl_seconds: ttl_seconds.map(i64::unsigned_abs),
        msg_id: row.try_get("msg_id")?,
        quoted: row.try_get("quoted")?,
        mentions,
    };
    Ok((due.scheduled.send_at, row.try_get("created_at")?, due))
}
