//! Push: what is to be shown on which device, and what is shown there.
//!
//! One process decides (`decide.rs`), any number send (`claims.rs`). A job says that something is to be done and
//! never what it says: content, markers and settings are read at the moment of sending.

use jiff::Timestamp;

use crate::domain::ids::{ConversationId, Seq, UserId};

use super::leadership::Leader;
use super::{Store, StoreError, execute, row, rows, signed, unsigned};

pub mod claims;
pub mod decide;
pub mod finish;

/// A registered device; the same token with another user is another one.
pub type DeviceId = uuid::Uuid;

/// Somebody has read a conversation up to here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    pub seq: Seq,
}

/// Devices that show, or are just being shown, what somebody has read.
macro_rules! read_elsewhere {
    () => {
        "INSERT INTO push_jobs (conversation_id, user_id, device_id, seq, kind, due_at)
         SELECT DISTINCT i.conversation_id, i.user_id, shown.device_id, i.seq, 'refresh', $4::timestamptz
         FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[]) AS i(conversation_id, user_id, seq)
         CROSS JOIN LATERAL (
             SELECT s.device_id FROM push_slots s
             WHERE s.conversation_id = i.conversation_id AND s.user_id = i.user_id
               AND s.shown_seq BETWEEN 1 AND i.seq
             UNION ALL
             SELECT j.device_id FROM push_jobs j
             WHERE j.conversation_id = i.conversation_id AND j.user_id = i.user_id
               AND j.kind = 'alert' AND j.is_claimed AND j.seq <= i.seq
         ) AS shown
         ON CONFLICT DO NOTHING"
    };
}
use read_elsewhere;

impl Store {
    /// Notes where something has to be withdrawn because it was read on another device. Returns on how many devices.
    ///
    /// # Errors
    /// As every statement.
    pub async fn withdraw_read(&self, reads: &[Read], now: Timestamp) -> Result<u64, StoreError> {
        let (conversations, users, seqs) = columns(reads);
        self.within(async {
            let client = self.client().await?;
            execute(&client, read_elsewhere!(), &[&conversations, &users, &seqs, &now]).await
        })
        .await
    }

    /// Is there anything to be sent, now or later?
    ///
    /// # Errors
    /// As every statement.
    pub async fn has_push_jobs(&self) -> Result<bool, StoreError> {
        self.within(async {
            let sql = "SELECT FROM push_jobs LIMIT 1";
            Ok(row(&self.client().await?, sql, &[]).await?.is_some())
        })
        .await
    }
}

/// A place in the table of what is shown, to go on from.
pub type SlotKey = (ConversationId, UserId, DeviceId);

/// What one page of looking through everything that is shown has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Where the next page begins; `None` at the end.
    pub next: Option<SlotKey>,
    /// Devices whose notification is to be looked at.
    pub refreshed: u64,
}

impl Leader {
    /// How long the oldest job that is due has waited, in seconds, and how many there are; at most `limit` are counted.
    ///
    /// # Errors
    /// As every statement.
    pub async fn push_backlog(&self, now: Timestamp, limit: u64) -> Result<(f64, u64), StoreError> {
        let sql = "SELECT count(*) AS waiting,
                          COALESCE(EXTRACT(EPOCH FROM $1 - min(due_at)), 0)::float8 AS seconds
                   FROM (SELECT due_at FROM push_jobs WHERE due_at <= $1 ORDER BY due_at LIMIT $2) AS due";
        match row(&self.client, sql, &[&now, &signed(limit)]).await? {
            Some(row) => Ok((row.try_get("seconds")?, unsigned(&row, "waiting")?)),
            None => Ok((0.0, 0)),
        }
    }

    /// Looks through a page of what is shown: what was read although nobody said so, and what belongs to devices that
    /// are gone or is older than `before`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn sweep_slots(
        &self,
        behind: Option<SlotKey>,
        limit: u32,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Swept, StoreError> {
        let (conversation, user, device) =
            behind.unwrap_or((uuid::Uuid::nil(), uuid::Uuid::nil(), DeviceId::nil()));
        let page = "SELECT conversation_id, user_id, device_id FROM push_slots
                    WHERE (conversation_id, user_id, device_id) > ($1, $2, $3)
                    ORDER BY conversation_id, user_id, device_id LIMIT $4";
        let limit = signed(limit.into());
        let found = rows(&self.client, page, &[&conversation, &user, &device, &limit]).await?;
        let Some(last) = found.last() else { return Ok(Swept { next: None, refreshed: 0 }) };
        let end: SlotKey = (last.try_get(0)?, last.try_get(1)?, last.try_get(2)?);
        let gone = "DELETE FROM push_slots s
                    WHERE (s.conversation_id, s.user_id, s.device_id) > ($1, $2, $3)
                      AND (s.conversation_id, s.user_id, s.device_id) <= ($4, $5, $6)
                      AND (s.changed_at < $7 OR NOT EXISTS (
                          SELECT FROM devices d WHERE d.id = s.device_id AND d.user_id = s.user_id))";
        let refresh = "INSERT INTO push_jobs (conversation_id, user_id, device_id, seq, kind, due_at)
                       SELECT s.conversation_id, s.user_id, s.device_id,
                              GREATEST(s.shown_seq, p.last_read_seq), 'refresh', $7
                       FROM push_slots s
                       LEFT JOIN conversation_participants p
                         ON p.conversation_id = s.conversation_id AND p.user_id = s.user_id
                       WHERE (s.conversation_id, s.user_id, s.device_id) > ($1, $2, $3)
                         AND (s.conversation_id, s.user_id, s.device_id) <= ($4, $5, $6)
                         AND s.shown_seq > 0 AND (p.user_id IS NULL OR p.last_read_seq >= s.shown_seq)
                       ON CONFLICT DO NOTHING";
        let (c, u, d) = end;
        execute(&self.client, gone, &[&conversation, &user, &device, &c, &u, &d, &before]).await?;
        let refreshed =
            execute(&self.client, refresh, &[&conversation, &user, &device, &c, &u, &d, &now])
                .await?;
        let next = (found.len() as i64 == limit).then_some(end);
        Ok(Swept { next, refreshed })
    }
}

type Columns = (Vec<ConversationId>, Vec<UserId>, Vec<i64>);

fn columns(reads: &[Read]) -> Columns {
    let conversations = reads.iter().map(|read| read.conversation_id).collect();
    let users = reads.iter().map(|read| read.user_id).collect();
    (conversations, users, reads.iter().map(|read| signed(read.seq)).collect())
}
