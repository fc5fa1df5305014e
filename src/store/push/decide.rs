//! Deciding: whom a stretch of the log alerts, and what it changes about what is shown.

use std::collections::HashMap;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, Seq, UserId};
use crate::store::leadership::Leader;
use crate::store::standing::is_barred;
use crate::store::{StoreError, execute, named, rows, signed, unsigned};

use super::{Read, columns, read_elsewhere};

/// A new message, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub conversation_id: ConversationId,
    pub seq: Seq,
}

/// What the database says of one person with a device and one message, presence apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    Alert,
    Read,
    Delivered,
    Muted,
    Blocked,
    /// Came to the conversation after the message.
    JoinedLater,
    /// Is suspended or banned.
    Barred,
}

impl Verdict {
    /// The name in metrics, logs and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Read => "read",
            Self::Delivered => "delivered",
            Self::Muted => "muted",
            Self::Blocked => "blocked",
            Self::JoinedLater => "joined_later",
            Self::Barred => "barred",
        }
    }

    pub(in crate::store) fn parse(name: &str) -> Option<Self> {
        let all = [
            Self::Alert,
            Self::Read,
            Self::Delivered,
            Self::Muted,
            Self::Blocked,
            Self::JoinedLater,
            Self::Barred,
        ];
        all.into_iter().find(|verdict| verdict.as_str() == name)
    }
}

/// One person and one of the messages that were asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub place: Place,
    pub user_id: UserId,
    pub verdict: Verdict,
}

/// Conversations in which somebody has a device, with the number of their participants. In one of more than `$2` that is
/// assumed: looking through thousands of rows for the first one would cost as much as deciding.
const REACHABLE: &str = "
SELECT c.id, c.participant_count::bigint AS participants
FROM UNNEST($1::uuid[]) AS i(id) JOIN conversations c USING (id)
WHERE EXISTS (SELECT FROM devices)
  AND (c.participant_count > $2 OR EXISTS (
      SELECT FROM conversation_participants p JOIN devices d ON d.user_id = p.user_id
      WHERE p.conversation_id = c.id))";

/// What speaks against alerting the participant `p` of the message `m` at the time `$now`. Whoever joined when is told as
/// for receipts.
macro_rules! verdict {
    ($now:literal) => {
        concat!(
            "CASE WHEN p.last_read_seq >= m.seq THEN 'read'
            WHEN p.delivered_seq >= m.seq THEN 'delivered'
            WHEN p.is_muted AND (p.muted_until IS NULL OR p.muted_until > ",
            $now,
            ")
                 AND NOT (p.user_id = ANY(m.mentions) AND COALESCE(
                     (SELECT n.mentions_pierce_mute FROM notification_settings n WHERE n.user_id = p.user_id), false))
            THEN 'muted'
            WHEN EXISTS (SELECT FROM blocks b
                         WHERE (b.blocker_id = p.user_id AND b.blocked_id = m.sender_id)
                            OR (b.blocker_id = m.sender_id AND b.blocked_id = p.user_id))
            THEN 'blocked'
            WHEN ",
            is_barred!("p.user_id", $now),
            " THEN 'barred'
            WHEN NOT (p.joined_seq BETWEEN 1 AND m.seq OR p.joined_at <= m.created_at) THEN 'joined_later'
            ELSE 'alert' END"
        )
    };
}

/// Everybody with a device but the sender, and what speaks against an alert. What was deleted or has vanished has no rows,
/// nor has what is in the log twice and in the table once.
pub(in crate::store) const CANDIDATES: &str = concat!(
    "
SELECT i.conversation_id, i.seq, p.user_id, ",
    verdict!("$3"),
    " AS verdict
FROM UNNEST($1::uuid[], $2::bigint[]) AS i(conversation_id, seq)
JOIN messages m ON m.conversation_id = i.conversation_id AND m.seq = i.seq
JOIN conversation_participants p ON p.conversation_id = i.conversation_id
WHERE m.deleted_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > $3)
  AND p.user_id <> m.sender_id AND p.user_id > $4
  AND EXISTS (SELECT FROM devices d WHERE d.user_id = p.user_id)
ORDER BY i.seq, p.user_id LIMIT $5"
);

/// A job for each device of each, unless the device has had it, or something newer of the conversation.
const ALERT: &str = "
INSERT INTO push_jobs (conversation_id, user_id, device_id, seq, kind, due_at)
SELECT i.conversation_id, i.user_id, d.id, i.seq, 'alert', $4::timestamptz
FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[]) AS i(conversation_id, user_id, seq)
JOIN devices d ON d.user_id = i.user_id
WHERE NOT EXISTS (
    SELECT FROM push_slots s
    WHERE s.conversation_id = i.conversation_id AND s.user_id = i.user_id AND s.device_id = d.id
      AND s.done_seq >= i.seq)
ON CONFLICT DO NOTHING";

/// Whoever is alerted of a message is alerted of what is older in the conversation, behind `$5`, and waits for its second look:
/// else the newer one would take the slot, and the older one would never ring. Mostly nothing waits there, and that costs one
/// step into the index of messages for each alert, 8 µs beside the 40 of the job itself. The subqueries keep the planner from
/// reading all messages of a conversation.
const OLDER: &str = concat!(
    "
WITH waits AS MATERIALIZED (
    SELECT i.conversation_id, i.user_id, i.seq
    FROM (SELECT a.conversation_id, a.user_id, max(a.seq) AS seq
          FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[]) AS a(conversation_id, user_id, seq)
          GROUP BY a.conversation_id, a.user_id) AS i
    CROSS JOIN LATERAL (
        SELECT FROM messages o
        WHERE o.conversation_id = i.conversation_id AND o.seq > $5 AND o.seq < i.seq LIMIT 1) AS older
)
INSERT INTO push_jobs (conversation_id, user_id, device_id, seq, kind, due_at)
SELECT i.conversation_id, i.user_id, d.id, m.seq, 'alert', $4::timestamptz
FROM waits i
JOIN conversation_participants p ON p.conversation_id = i.conversation_id AND p.user_id = i.user_id
JOIN devices d ON d.user_id = i.user_id
LEFT JOIN push_slots s
  ON s.conversation_id = i.conversation_id AND s.user_id = i.user_id AND s.device_id = d.id
CROSS JOIN LATERAL (
    SELECT * FROM messages o
    WHERE o.conversation_id = i.conversation_id AND o.seq < i.seq
      AND o.seq > GREATEST($5, s.done_seq, p.last_read_seq, p.delivered_seq) OFFSET 0) AS m
WHERE m.deleted_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > $4)
  AND m.sender_id <> i.user_id AND ",
    verdict!("$4"),
    " = 'alert'
ON CONFLICT DO NOTHING"
);

/// Alerts of one statement: 400 KB of parameters, some 100 ms.
const ALERTS: usize = 10_000;

/// Devices that show, or are just being shown, a message that was edited or deleted.
const CHANGED: &str = "
INSERT INTO push_jobs (conversation_id, user_id, device_id, seq, kind, due_at)
SELECT DISTINCT h.conversation_id, shown.user_id, shown.device_id, h.seq, 'refresh', $2::timestamptz
FROM message_changes h
CROSS JOIN LATERAL (
    SELECT s.user_id, s.device_id FROM push_slots s
    WHERE s.conversation_id = h.conversation_id AND s.shown_seq = h.message_seq
    UNION ALL
    SELECT j.user_id, j.device_id FROM push_jobs j
    WHERE j.conversation_id = h.conversation_id AND j.seq = h.message_seq AND j.kind = 'alert' AND j.is_claimed
) AS shown
WHERE h.seq = ANY($1)
ON CONFLICT DO NOTHING";

/// Senders of new messages have read what came before.
const SENDERS: &str = "
SELECT m.conversation_id, m.sender_id, m.seq
FROM UNNEST($1::uuid[], $2::bigint[]) AS i(conversation_id, seq)
JOIN messages m ON m.conversation_id = i.conversation_id AND m.seq = i.seq";

impl Leader {
    /// Those of the conversations in which somebody has a device, and how many people are in each. Ones of more than
    /// `large` are taken to be, as soon as anybody has one.
    ///
    /// # Errors
    /// As every statement.
    pub async fn reachable(
        &self,
        conversations: &[ConversationId],
        large: u32,
    ) -> Result<HashMap<ConversationId, u64>, StoreError> {
        let large = i32::try_from(large).unwrap_or(i32::MAX);
        let found = rows(&self.client, REACHABLE, &[&conversations, &large]).await?;
        found.iter().map(|row| Ok((row.try_get("id")?, unsigned(row, "participants")?))).collect()
    }

    /// What the database says of everybody behind the user `after` for each of the messages, `limit` at most. With
    /// several messages the limit must hold them all; with one, the last user leads to the next page.
    ///
    /// # Errors
    /// As every statement.
    pub async fn candidates(
        &self,
        places: &[Place],
        after: UserId,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Candidate>, StoreError> {
        let (conversations, seqs) = split(places);
        let limit = signed(limit.into());
        let params: [&(dyn ToSql + Sync); 5] = [&conversations, &seqs, &now, &after, &limit];
        rows(&self.client, CANDIDATES, &params).await?.iter().map(candidate).collect()
    }

    /// Begins what becomes true together.
    ///
    /// # Errors
    /// As every statement.
    pub async fn deciding(&mut self) -> Result<Deciding<'_>, StoreError> {
        Ok(Deciding { tx: self.client.transaction().await? })
    }
}

/// Decisions that become true together.
pub struct Deciding<'a> {
    tx: Transaction<'a>,
}

impl Deciding<'_> {
    /// Alerts people of messages, and of older ones of the same conversations behind `passed` that may still alert them, on
    /// each device that has not had the message or a newer one. So nothing newer ever rings before what is older is decided,
    /// whatever was known when that was looked at. Returns how many jobs there are more.
    ///
    /// # Errors
    /// As every statement.
    pub async fn alert(
        &self,
        alerts: &[(Place, UserId)],
        passed: Seq,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut jobs = 0;
        for alerts in alerts.chunks(ALERTS) {
            let conversations: Vec<Uuid> =
                alerts.iter().map(|(at, _)| at.conversation_id).collect();
            let users: Vec<Uuid> = alerts.iter().map(|(_, user)| *user).collect();
            let seqs: Vec<i64> = alerts.iter().map(|(at, _)| signed(at.seq)).collect();
            jobs += execute(&self.tx, ALERT, &[&conversations, &users, &seqs, &now]).await?;
            let params: [&(dyn ToSql + Sync); 5] =
                [&conversations, &users, &seqs, &now, &signed(passed)];
            jobs += execute(&self.tx, OLDER, &params).await?;
        }
        Ok(jobs)
    }

    /// Messages were edited or deleted by these events of the log: what shows them is to be looked at again.
    ///
    /// # Errors
    /// As every statement.
    pub async fn changed(&self, events: &[Seq], now: Timestamp) -> Result<u64, StoreError> {
        let events: Vec<i64> = events.iter().copied().map(signed).collect();
        execute(&self.tx, CHANGED, &[&events, &now]).await
    }

    /// Whoever has sent one of these messages has read what came before it.
    ///
    /// # Errors
    /// As every statement.
    pub async fn senders_have_read(
        &self,
        places: &[Place],
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let (conversations, seqs) = split(places);
        let found = rows(&self.tx, SENDERS, &[&conversations, &seqs]).await?;
        let read = |row: &Row| {
            Ok(Read {
                conversation_id: row.try_get("conversation_id")?,
                user_id: row.try_get("sender_id")?,
                seq: unsigned(row, "seq")?,
            })
        };
        let reads = found.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
        let (conversations, users, seqs) = columns(&reads);
        execute(&self.tx, read_elsewhere!(), &[&conversations, &users, &seqs, &now]).await
    }

    /// Makes it true, with the reader `name` at `through`.
    ///
    /// # Errors
    /// As every statement; nothing was decided then, or all of it.
    pub async fn commit(self, name: &str, through: Seq) -> Result<(), StoreError> {
        let sql = "UPDATE progress SET last_seq = $2 WHERE name = $1 AND last_seq < $2";
        execute(&self.tx, sql, &[&name, &signed(through)]).await?;
        Ok(self.tx.commit().await?)
    }
}

fn split(places: &[Place]) -> (Vec<ConversationId>, Vec<i64>) {
    places.iter().map(|place| (place.conversation_id, signed(place.seq))).unzip()
}

fn candidate(row: &Row) -> Result<Candidate, StoreError> {
    let conversation_id = row.try_get("conversation_id")?;
    Ok(Candidate {
        place: Place { conversation_id, seq: unsigned(row, "seq")? },
        user_id: row.try_get("user_id")?,
        verdict: named(row, "verdict", Verdict::parse)?,
    })
}
