//! Sending: jobs are claimed, found out about, and finished, each many at a time.

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::domain::conversation::ConversationType;
use crate::domain::device::Device;
use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};
use crate::domain::message::MessageType;
use crate::domain::notifications::Settings;
use crate::store::{
    Store, StoreError, devices, named, notification_settings, rows, signed, unsigned,
};

use super::DeviceId;

/// Why something is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobKind {
    /// A message is to be shown.
    Alert,
    /// What is shown may no longer be right.
    Refresh,
}

impl JobKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Refresh => "refresh",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Alert, Self::Refresh].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Something to do on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Job {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    pub device_id: DeviceId,
    pub seq: Seq,
    pub kind: JobKind,
}

/// A message as a notification needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub id: MessageId,
    pub seq: Seq,
    pub sender_name: Option<String>,
    pub kind: MessageType,
    /// The first 1,000 characters: no notification shows more.
    pub content: String,
    pub file_name: Option<String>,
    pub created_at: Timestamp,
}

/// A job that is this process's to do, and everything that it depends on.
#[derive(Debug, Clone)]
pub struct Claim {
    pub job: Job,
    /// This one included.
    pub attempts: u32,
    /// Whoever had claimed it before is gone, and may have done it.
    pub was_cut: bool,
    /// `None` when the user has it no more.
    pub device: Option<Device>,
    pub is_participant: bool,
    pub read_seq: Seq,
    pub delivered_seq: Seq,
    /// Alerts up to here were sent or given up.
    pub done_seq: Seq,
    /// What the device shows; 0 for nothing.
    pub shown_seq: Seq,
    pub shown_id: Option<MessageId>,
    /// Of an alert its message, of a refresh the newest that may be shown instead; `None` when there is none, or it was
    /// read or deleted or has vanished.
    pub message: Option<Shown>,
    pub conversation: ConversationType,
    pub title: Option<String>,
    pub settings: Settings,
    /// In all conversations of the user that are not muted.
    pub unread: u64,
}

/// The first of each device and conversation, whoever is due longest first. Others skip what one is just claiming. The
/// subquery is one step in the primary key for each row that is looked at; as a join the planner might read the whole
/// table for it.
const CLAIM: &str = "
WITH due AS MATERIALIZED (
    SELECT j.conversation_id, j.user_id, j.device_id, j.seq, j.kind, j.is_claimed
    FROM push_jobs j
    WHERE j.due_at <= $1 AND (j.seq, j.kind) = (
        SELECT e.seq, e.kind FROM push_jobs e
        WHERE e.conversation_id = j.conversation_id AND e.user_id = j.user_id AND e.device_id = j.device_id
        ORDER BY e.seq, e.kind LIMIT 1)
    ORDER BY j.due_at LIMIT $3
    FOR UPDATE OF j SKIP LOCKED
)
UPDATE push_jobs j SET due_at = $2, attempts = j.attempts + 1, is_claimed = true
FROM due d
WHERE j.conversation_id = d.conversation_id AND j.user_id = d.user_id AND j.device_id = d.device_id
  AND j.seq = d.seq AND j.kind = d.kind
RETURNING j.conversation_id, j.user_id, j.device_id, j.seq, j.kind, j.attempts, d.is_claimed AS was_cut";

/// A statement of its own: with arrays the planner knows that it is about few rows of large tables.
const DETAILS: &str = "
SELECT i.n, d.token, d.platform, d.user_id, p.user_id IS NOT NULL AS is_participant,
       COALESCE(p.last_read_seq, 0) AS read_seq, COALESCE(p.delivered_seq, 0) AS delivered_seq,
       COALESCE(s.done_seq, 0) AS done_seq, COALESCE(s.shown_seq, 0) AS shown_seq,
       (SELECT o.id FROM messages o WHERE o.conversation_id = i.conversation_id AND o.seq = s.shown_seq) AS shown_id,
       m.id AS message_id, m.seq AS message_seq, COALESCE(m.sender_name, a.display_name) AS sender_name, m.type,
       left(m.content, 1000) AS content, m.metadata ->> 'fileName' AS file_name, m.created_at,
       c.type AS conversation_type, c.title,
       n.quiet_from, n.quiet_to, n.quiet_zone, n.mentions_pierce_mute, own.unread
FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[])
    WITH ORDINALITY AS i(conversation_id, user_id, device_id, seq, kind, n)
JOIN conversations c ON c.id = i.conversation_id
LEFT JOIN devices d ON d.id = i.device_id AND d.user_id = i.user_id
LEFT JOIN conversation_participants p ON p.conversation_id = i.conversation_id AND p.user_id = i.user_id
LEFT JOIN push_slots s
  ON s.conversation_id = i.conversation_id AND s.user_id = i.user_id AND s.device_id = i.device_id
LEFT JOIN notification_settings n ON n.user_id = i.user_id
LEFT JOIN LATERAL (
    SELECT m.* FROM messages m
    WHERE m.conversation_id = i.conversation_id
      AND m.seq BETWEEN CASE i.kind WHEN 'alert' THEN i.seq ELSE 1 END
                    AND CASE i.kind WHEN 'alert' THEN i.seq ELSE s.shown_seq END
      AND m.seq > p.last_read_seq AND m.sender_id <> i.user_id
      AND m.deleted_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > $6)
    ORDER BY m.seq DESC LIMIT 1) AS m ON true
LEFT JOIN users a ON a.id = m.sender_id
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(GREATEST(u.message_count - GREATEST(o.last_read_counter, u.removed_through), 0)), 0)::bigint AS unread
    FROM conversation_participants o JOIN conversations u ON u.id = o.conversation_id
    WHERE o.user_id = i.user_id
      AND NOT (o.is_muted AND (o.muted_until IS NULL OR o.muted_until > $6))) AS own";

impl Store {
    /// Claims what is due, `limit` at most, the first of each device and conversation only. Nobody else gets it before
    /// `until`. What cannot be found out about any more is left out, and gone.
    ///
    /// # Errors
    /// As every statement. What was claimed then comes again at `until`, as one that was cut.
    pub async fn claim_jobs(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Claim>, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            // One transaction: when the second statement fails, nothing was claimed.
            let tx = client.transaction().await?;
            let claimed = rows(&tx, CLAIM, &[&now, &until, &signed(limit.into())]).await?;
            if claimed.is_empty() {
                return Ok(Vec::new());
            }
            let jobs = claimed.iter().map(job).collect::<Result<Vec<_>, StoreError>>()?;
            let keys = Keys::of(&jobs);
            let mut params = keys.params().to_vec();
            params.push(&now);
            let details = rows(&tx, DETAILS, &params).await?;
            tx.commit().await?;
            let claim_of = |row: &Row| {
                let n = usize::try_from(row.try_get::<_, i64>("n")? - 1).unwrap_or(usize::MAX);
                match (jobs.get(n), claimed.get(n)) {
                    (Some(job), Some(claimed)) => claim(*job, claimed, row),
                    _ => Err(StoreError::bug("a job that was not claimed")),
                }
            };
            details.iter().map(claim_of).collect()
        })
        .await
    }
}

/// The columns of some jobs.
pub(super) struct Keys {
    conversations: Vec<Uuid>,
    users: Vec<Uuid>,
    devices: Vec<Uuid>,
    seqs: Vec<i64>,
    kinds: Vec<&'static str>,
}

impl Keys {
    pub(super) fn of(jobs: &[Job]) -> Self {
        Self {
            conversations: jobs.iter().map(|job| job.conversation_id).collect(),
            users: jobs.iter().map(|job| job.user_id).collect(),
            devices: jobs.iter().map(|job| job.device_id).collect(),
            seqs: jobs.iter().map(|job| signed(job.seq)).collect(),
            kinds: jobs.iter().map(|job| job.kind.as_str()).collect(),
        }
    }

    /// `$1` to `$5`.
    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 5] {
        [&self.conversations, &self.users, &self.devices, &self.seqs, &self.kinds]
    }
}

fn job(row: &Row) -> Result<Job, StoreError> {
    Ok(Job {
        conversation_id: row.try_get("conversation_id")?,
        user_id: row.try_get("user_id")?,
        device_id: row.try_get("device_id")?,
        seq: unsigned(row, "seq")?,
        kind: named(row, "kind", JobKind::parse)?,
    })
}

fn claim(job: Job, claimed: &Row, row: &Row) -> Result<Claim, StoreError> {
    let token: Option<&str> = row.try_get("token")?;
    let message: Option<Uuid> = row.try_get("message_id")?;
    Ok(Claim {
        job,
        attempts: u32::try_from(claimed.try_get::<_, i32>("attempts")?).unwrap_or(u32::MAX),
        was_cut: claimed.try_get("was_cut")?,
        device: token.map(|_| devices::device(row)).transpose()?,
        is_participant: row.try_get("is_participant")?,
        read_seq: unsigned(row, "read_seq")?,
        delivered_seq: unsigned(row, "delivered_seq")?,
        done_seq: unsigned(row, "done_seq")?,
        shown_seq: unsigned(row, "shown_seq")?,
        shown_id: row.try_get("shown_id")?,
        message: message.map(|id| shown(id, row)).transpose()?,
        conversation: named(row, "conversation_type", ConversationType::parse)?,
        title: row.try_get("title")?,
        settings: notification_settings::settings(row)?,
        unread: unsigned(row, "unread")?,
    })
}

fn shown(id: MessageId, row: &Row) -> Result<Shown, StoreError> {
    Ok(Shown {
        id,
        seq: unsigned(row, "message_seq")?,
        sender_name: row.try_get("sender_name")?,
        kind: named(row, "type", MessageType::parse)?,
        content: row.try_get("content")?,
        file_name: row.try_get("file_name")?,
        created_at: row.try_get("created_at")?,
    })
}
