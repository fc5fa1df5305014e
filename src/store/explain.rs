//! What the database knows of one message's way.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};

use super::push::decide::{CANDIDATES, Verdict};
use super::{Store, StoreError, named, row, rows, signed, unsigned};

/// A message, without what it says.
#[derive(Debug, Clone)]
pub struct Sighting {
    pub id: MessageId,
    pub conversation_id: ConversationId,
    pub conversation_type: String,
    pub seq: Seq,
    pub sender_id: UserId,
    pub kind: String,
    pub created_at: Timestamp,
    pub edited_at: Option<Timestamp>,
    pub deleted_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub persisted: Persisted,
    pub participants: u64,
}

/// When a message's row was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persisted {
    At(Timestamp),
    /// Postgres does not keep the times of transactions (`track_commit_timestamp`).
    Untracked,
    /// The row was written anew when the message was changed, and only the last time is kept.
    Changed,
    /// Before Postgres kept such times, or so long ago that it has forgotten it.
    Forgotten,
}

impl Persisted {
    /// The time, where it is known.
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::Untracked | Self::Changed | Self::Forgotten => None,
        }
    }
}

/// A participant and a message.
#[derive(Debug, Clone)]
pub struct Reach {
    pub user_id: UserId,
    /// Was in the conversation when the message came.
    pub was_there: bool,
    /// At the latest.
    pub delivered_at: Option<Timestamp>,
    pub read_at: Option<Timestamp>,
    pub devices: u64,
    /// Devices that are to be alerted, when the first of them is due, and how often that was tried.
    pub waiting: Option<(Timestamp, u32)>,
    /// Devices on which it is, or was, shown, or for which it was given up; and when that last changed.
    pub dealt_with: Option<Timestamp>,
    /// A device shows it now.
    pub is_shown: bool,
}

/// How far those who decide about notifications are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// Once, at once.
    pub first: Seq,
    /// Again, after the grace.
    pub second: Seq,
}

const REACHES: &str = "
SELECT p.user_id,
    (p.joined_seq BETWEEN 1 AND $2 OR p.joined_at <= $4) AS was_there,
    r.delivered_at, r.read_at,
    (SELECT count(*) FROM devices d WHERE d.user_id = p.user_id) AS devices,
    j.due_at, j.attempts, s.changed_at, COALESCE(s.is_shown, false) AS is_shown
FROM conversation_participants p
LEFT JOIN receipts_of($1, $2, $3, $4) r ON r.user_id = p.user_id
LEFT JOIN LATERAL (SELECT min(due_at) AS due_at, max(attempts)::bigint AS attempts FROM push_jobs j
    WHERE j.conversation_id = $1 AND j.user_id = p.user_id AND j.seq = $2 AND j.kind = 'alert') j ON true
LEFT JOIN LATERAL (SELECT max(changed_at) AS changed_at, bool_or(shown_seq = $2) AS is_shown FROM push_slots s
    WHERE s.conversation_id = $1 AND s.user_id = p.user_id AND s.done_seq >= $2) s ON true
WHERE p.conversation_id = $1 AND p.user_id > $5
ORDER BY p.user_id LIMIT $6";

impl Store {
    /// The message of that id.
    ///
    /// # Errors
    /// As every statement.
    pub async fn sighting(&self, id: MessageId) -> Result<Option<Sighting>, StoreError> {
        self.within(async {
            let sql = "
                SELECT m.id, m.conversation_id, c.type AS conversation_type, m.seq, m.sender_id, m.type, m.created_at,
                    m.edited_at, m.deleted_at, m.expires_at, c.participant_count::bigint AS participants,
                    current_setting('track_commit_timestamp')::bool AS is_tracked, m.changed_seq > 0 AS is_changed,
                    CASE WHEN current_setting('track_commit_timestamp')::bool
                        THEN pg_xact_commit_timestamp(m.xmin) END AS written_at
                FROM messages m JOIN conversations c ON c.id = m.conversation_id
                WHERE m.id = $1";
            row(&self.client().await?, sql, &[&id]).await?.as_ref().map(sighting).transpose()
        })
        .await
    }

    /// How far a message has come with each participant behind `after`, `limit` at most.
    ///
    /// # Errors
    /// As every statement.
    pub async fn reaches(
        &self,
        message: &Sighting,
        after: UserId,
        limit: u32,
    ) -> Result<Vec<Reach>, StoreError> {
        self.within(async {
            let (seq, limit) = (signed(message.seq), signed(limit.into()));
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] = [
                &message.conversation_id,
                &seq,
                &message.sender_id,
                &message.created_at,
                &after,
                &limit,
            ];
            rows(&self.client().await?, REACHES, &params).await?.iter().map(reach).collect()
        })
        .await
    }

    /// What those who decide about notifications would say now of everybody with a device behind `after`, `limit` at
    /// most.
    ///
    /// # Errors
    /// As every statement.
    pub async fn verdicts(
        &self,
        message: &Sighting,
        after: UserId,
        limit: u32,
    ) -> Result<Vec<(UserId, Verdict)>, StoreError> {
        self.within(async {
            let (conversations, seqs) = ([message.conversation_id], [signed(message.seq)]);
            let (now, limit) = (self.now(), signed(limit.into()));
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&&conversations[..], &&seqs[..], &now, &after, &limit];
            rows(&self.client().await?, CANDIDATES, &params)
                .await?
                .iter()
                .map(|row| Ok((row.try_get("user_id")?, named(row, "verdict", Verdict::parse)?)))
                .collect()
        })
        .await
    }

    /// How far deciding about notifications is.
    ///
    /// # Errors
    /// As every statement.
    pub async fn decided(&self) -> Result<Decided, StoreError> {
        self.within(async {
            let sql = "SELECT (SELECT last_seq FROM progress WHERE name = 'push') AS first,
                              (SELECT last_seq FROM progress WHERE name = 'push-grace') AS second";
            let found = row(&self.client().await?, sql, &[]).await?;
            let found = found.ok_or_else(|| StoreError::bug("no row"))?;
            Ok(Decided { first: unsigned(&found, "first")?, second: unsigned(&found, "second")? })
        })
        .await
    }
}

fn sighting(row: &Row) -> Result<Sighting, StoreError> {
    Ok(Sighting {
        id: row.try_get("id")?,
        conversation_id: row.try_get("conversation_id")?,
        conversation_type: row.try_get("conversation_type")?,
        seq: unsigned(row, "seq")?,
        sender_id: row.try_get("sender_id")?,
        kind: row.try_get("type")?,
        created_at: row.try_get("created_at")?,
        edited_at: row.try_get("edited_at")?,
        deleted_at: row.try_get("deleted_at")?,
        expires_at: row.try_get("expires_at")?,
        persisted: persisted(row)?,
        participants: unsigned(row, "participants")?,
    })
}

fn persisted(row: &Row) -> Result<Persisted, StoreError> {
    let written_at: Option<Timestamp> = row.try_get("written_at")?;
    Ok(match (row.try_get("is_tracked")?, row.try_get("is_changed")?, written_at) {
        (false, ..) => Persisted::Untracked,
        (true, true, _) => Persisted::Changed,
        (true, false, Some(at)) => Persisted::At(at),
        (true, false, None) => Persisted::Forgotten,
    })
}

fn reach(row: &Row) -> Result<Reach, StoreError> {
    let due: Option<Timestamp> = row.try_get("due_at")?;
    let attempts: Option<i64> = row.try_get("attempts")?;
    let attempts = attempts.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    Ok(Reach {
        user_id: row.try_get::<_, Uuid>("user_id")?,
        was_there: row.try_get("was_there")?,
        delivered_at: row.try_get("delivered_at")?,
        read_at: row.try_get("read_at")?,
        devices: unsigned(row, "devices")?,
        waiting: due.map(|due| (due, attempts)),
        dealt_with: row.try_get("changed_at")?,
        is_shown: row.try_get("is_shown")?,
    })
}
