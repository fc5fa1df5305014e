//! What conversations count, against a recount.

use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, Seq};
use crate::store::{StoreError, rows, signed};

use super::{Finding, Inspector, Kind};

/// Conversations of one statement: each is one snapshot, so counters and rows are of the same moment.
const CONVERSATIONS: i64 = 200;

/// What was recounted in one go.
#[derive(Debug, Default)]
pub struct Counted {
    pub conversations: u64,
    pub findings: Vec<Finding>,
    /// The last one; the next go begins behind it. `None` when there is nothing behind.
    pub last: Option<ConversationId>,
}

/// The counters of messages rise by one each, to what the conversation counts, and the last message is the last. A
/// marker is at least where the row that it names is, at most at the end, and nowhere behind the end of the log.
const RECOUNT: &str = "
WITH page AS (
    SELECT c.* FROM conversations c
    WHERE c.id > $1 AND ($2::uuid IS NULL OR c.id = $2) AND c.last_message_seq >= $3
    ORDER BY c.id LIMIT $4
), steps AS (
    SELECT m.conversation_id, m.seq, m.counter,
        lag(m.counter) OVER (PARTITION BY m.conversation_id ORDER BY m.seq) AS before
    FROM messages m WHERE m.conversation_id IN (SELECT id FROM page)
), counted AS (
    SELECT conversation_id, count(*) AS messages, min(counter) AS lowest, max(counter) AS highest,
        max(seq) AS last_seq, count(*) FILTER (WHERE before IS NOT NULL AND counter <> before + 1) AS jumps
    FROM steps GROUP BY conversation_id
), people AS (
    SELECT p.conversation_id, count(*) AS participants,
        count(*) FILTER (WHERE p.last_read_counter NOT BETWEEN 0 AND c.message_count
            OR p.last_read_seq NOT BETWEEN 0 AND $5 OR p.delivered_seq NOT BETWEEN 0 AND $5
            OR p.joined_seq NOT BETWEEN 0 AND $5
            OR p.last_read_counter < COALESCE((SELECT m.counter FROM messages m
                WHERE m.conversation_id = p.conversation_id AND m.seq <= p.last_read_seq
                ORDER BY m.seq DESC LIMIT 1), 0)) AS astray
    FROM conversation_participants p JOIN page c ON c.id = p.conversation_id
    GROUP BY p.conversation_id
)
SELECT c.id, c.message_count, c.participant_count::bigint AS participant_count,
    COALESCE(n.messages, 0) AS messages, n.lowest, n.highest, COALESCE(n.jumps, 0) AS jumps,
    COALESCE(p.participants, 0) AS participants, COALESCE(p.astray, 0) AS astray,
    c.message_count <> COALESCE(n.highest, c.removed_through) AS miscounted,
    c.last_message_seq <> COALESCE(n.last_seq, 0)
        OR c.last_message_id IS DISTINCT FROM l.id OR c.last_message_at IS DISTINCT FROM l.created_at AS other_last
FROM page c
LEFT JOIN counted n ON n.conversation_id = c.id
LEFT JOIN people p ON p.conversation_id = c.id
LEFT JOIN messages l ON l.conversation_id = c.id AND l.seq = n.last_seq
ORDER BY c.id";

impl Inspector {
    /// Recounts some conversations behind `after`, or only one: those with a message at `since` or later. `end` is the
    /// end of the log.
    ///
    /// # Errors
    /// As every statement.
    pub async fn recount(
        &self,
        after: ConversationId,
        only: Option<ConversationId>,
        since: Seq,
        end: Seq,
    ) -> Result<Counted, StoreError> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&after, &only, &signed(since), &CONVERSATIONS, &signed(end)];
        let found = rows(&self.client, RECOUNT, &params).await?;
        let mut counted = Counted { conversations: found.len() as u64, ..Counted::default() };
        for row in &found {
            wrong(row, &mut counted.findings)?;
        }
        let is_full = found.len() as i64 == CONVERSATIONS;
        let last = found.last().filter(|_| is_full);
        counted.last = last.map(|row| row.try_get("id")).transpose()?;
        Ok(counted)
    }
}

fn wrong(row: &Row, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let id: Uuid = row.try_get("id")?;
    let number =
        |column: &str| Ok::<i64, StoreError>(row.try_get::<_, Option<i64>>(column)?.unwrap_or(0));
    let mut add = |kind, detail| {
        findings.push(Finding { kind, conversation_id: Some(id), seq: None, id: None, detail });
    };
    let (messages, lowest, jumps) = (number("messages")?, number("lowest")?, number("jumps")?);
    // A history that was cut off at its old end keeps its counters.
    if jumps > 0 || (messages > 0 && lowest < 1) {
        let highest = number("highest")?;
        add(
            Kind::CountersWrong,
            format!("{messages} messages count from {lowest} to {highest}, with {jumps} jumps"),
        );
    }
    if row.try_get("miscounted")? || row.try_get("other_last")? {
        let (says, is) = (number("message_count")?, number("highest")?);
        add(Kind::LastMessageWrong, format!("it counts {says}, its rows {is}"));
    }
    let (says, is) = (number("participant_count")?, number("participants")?);
    if says != is {
        add(Kind::ParticipantsWrong, format!("it says {says}, and has {is}"));
    }
    let astray = number("astray")?;
    if astray > 0 {
        add(Kind::MarkerWrong, format!("of {astray} participants"));
    }
    Ok(())
}
