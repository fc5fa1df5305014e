//! How far people have read, and what has reached them. A marker never goes back.

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};

use super::{Store, StoreError, rows, signed, unsigned};

/// "I have read up to here."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkRead {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    /// `None` means the newest message.
    pub message_id: Option<MessageId>,
}

/// What became of one [`MarkRead`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkOutcome {
    /// Not in the conversation, or there is none.
    NotAParticipant,
    /// The message is not in the conversation.
    NoSuchMessage,
    Marked(Marker),
}

/// Where a marker stands afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Did this request move it? Of several for the same marker in a batch, the first of the furthest ones did.
    pub advanced: bool,
    /// 0 in an empty conversation.
    pub seq: Seq,
    pub message_id: Option<Uuid>,
    pub unread_count: u64,
}

/// Resolves every item to a message, locks the markers in order, moves each to the furthest item of the
/// batch, and answers item by item. The lock order is the persister's: it moves markers of senders.
const MARK_READ: &str = "
WITH items AS (
    SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[])
        WITH ORDINALITY AS t(conversation_id, user_id, message_id, n)
), locked AS MATERIALIZED (
    SELECT p.conversation_id, p.user_id, p.last_read_seq, p.last_read_counter, p.last_read_message_id
    FROM conversation_participants p
    WHERE (p.conversation_id, p.user_id) IN (SELECT conversation_id, user_id FROM items)
    ORDER BY p.conversation_id, p.user_id
    FOR NO KEY UPDATE
), targets AS (
    SELECT i.n, i.conversation_id, i.user_id, c.message_count, c.removed_through,
           CASE WHEN i.message_id IS NULL THEN c.last_message_seq ELSE m.seq END AS seq,
           CASE WHEN i.message_id IS NULL THEN c.message_count ELSE m.counter END AS counter,
           CASE WHEN i.message_id IS NULL THEN c.last_message_id ELSE m.id END AS message_id
    FROM items i
    JOIN conversations c ON c.id = i.conversation_id
    LEFT JOIN messages m ON m.id = i.message_id AND m.conversation_id = i.conversation_id
), furthest AS (
    SELECT DISTINCT ON (conversation_id, user_id) n, conversation_id, user_id, seq, counter, message_id
    FROM targets WHERE seq IS NOT NULL
    ORDER BY conversation_id, user_id, seq DESC, n
), moved AS (
    UPDATE conversation_participants p
    SET last_read_seq = f.seq, last_read_counter = GREATEST(p.last_read_counter, f.counter),
        last_read_message_id = f.message_id, last_read_at = $4
    FROM furthest f JOIN locked l USING (conversation_id, user_id)
    WHERE p.conversation_id = f.conversation_id AND p.user_id = f.user_id AND p.last_read_seq < f.seq
    RETURNING f.n, p.conversation_id, p.user_id, p.last_read_seq, p.last_read_counter, p.last_read_message_id
)
SELECT l.user_id IS NOT NULL AS participates, t.seq IS NOT NULL AS found,
       COALESCE(moved.n = i.n, false) AS advanced,
       COALESCE(moved.last_read_seq, l.last_read_seq, 0) AS seq,
       CASE WHEN moved.user_id IS NULL THEN l.last_read_message_id ELSE moved.last_read_message_id END AS message_id,
       GREATEST(t.message_count
           - GREATEST(COALESCE(moved.last_read_counter, l.last_read_counter), t.removed_through), 0) AS unread_count
FROM items i
LEFT JOIN locked l ON l.conversation_id = i.conversation_id AND l.user_id = i.user_id
LEFT JOIN moved ON moved.conversation_id = i.conversation_id AND moved.user_id = i.user_id
LEFT JOIN targets t ON t.n = i.n
ORDER BY i.n";

impl Store {
    /// Moves read markers, in one statement for the whole batch, and answers in the order of `items`.
    pub async fn mark_read(
        &self,
        items: &[MarkRead],
        now: Timestamp,
    ) -> Result<Vec<MarkOutcome>, StoreError> {
        self.within(async {
            let conversations: Vec<Uuid> = items.iter().map(|i| i.conversation_id).collect();
            let users: Vec<Uuid> = items.iter().map(|i| i.user_id).collect();
            let messages: Vec<Option<Uuid>> = items.iter().map(|i| i.message_id).collect();
            let client = self.client().await?;
            rows(&client, MARK_READ, &[&conversations, &users, &messages, &now])
                .await?
                .iter()
                .map(outcome)
                .collect()
        })
        .await
    }
}

fn outcome(row: &Row) -> Result<MarkOutcome, StoreError> {
    if !row.try_get::<_, bool>("participates")? {
        return Ok(MarkOutcome::NotAParticipant);
    }
    if !row.try_get::<_, bool>("found")? {
        return Ok(MarkOutcome::NoSuchMessage);
    }
    Ok(MarkOutcome::Marked(Marker {
        advanced: row.try_get("advanced")?,
        seq: unsigned(row, "seq")?,
        message_id: row.try_get("message_id")?,
        unread_count: unsigned(row, "unread_count")?,
    }))
}

/// "Everything up to here has reached a device of this person."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    pub seq: Seq,
    /// When that was proven.
    pub at: Timestamp,
    /// Whose messages were among it.
    pub senders: Vec<UserId>,
}

/// What became of one [`Delivery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// The marker has moved; those of the senders who are in the conversation may know.
    Now(Vec<UserId>),
    /// The marker was there already, or the person is not in the conversation.
    Before,
    /// The conversation has too many participants to be followed.
    TooMany,
}

/// The step `moved` of both statements below: moves what the step before it has `locked`, and never back.
macro_rules! moved {
    ($returning:literal) => {
        concat!(
            "moved AS (
    UPDATE conversation_participants p SET delivered_seq = l.seq, delivered_at = l.at
    FROM locked l
    WHERE p.conversation_id = l.conversation_id AND p.user_id = l.user_id AND p.delivered_seq < l.seq
    RETURNING ",
            $returning,
            "\n)"
        )
    };
}

/// Locks the markers that are to move in order, moves them, and says to whom that matters. The lock order is the
/// persister's.
const MARK_DELIVERED: &str = concat!(
    "
WITH items AS (
    SELECT t.*, c.participant_count > $5 AS too_many
    FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[])
        WITH ORDINALITY AS t(conversation_id, user_id, seq, at, n)
    JOIN conversations c ON c.id = t.conversation_id
), locked AS MATERIALIZED (
    SELECT i.n, p.conversation_id, p.user_id, i.seq, i.at
    FROM conversation_participants p JOIN items i USING (conversation_id, user_id)
    WHERE NOT i.too_many AND p.delivered_seq < i.seq
    ORDER BY p.conversation_id, p.user_id
    FOR NO KEY UPDATE OF p
), ",
    moved!("l.n, p.conversation_id"),
    ", told AS (
    SELECT s.n, array_agg(s.sender) AS senders
    FROM UNNEST($6::bigint[], $7::uuid[]) AS s(n, sender)
    JOIN moved USING (n)
    JOIN conversation_participants p ON p.conversation_id = moved.conversation_id AND p.user_id = s.sender
    GROUP BY s.n
)
SELECT i.n, i.too_many, COALESCE(told.senders, '{}') AS senders
FROM items i LEFT JOIN moved USING (n) LEFT JOIN told USING (n)
WHERE i.too_many OR moved.n IS NOT NULL"
);

/// "A device of this person has come back with everything up to here."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Return {
    pub user_id: UserId,
    pub seq: Seq,
    pub at: Timestamp,
}

/// Messages behind a marker that are looked through for their senders.
const SENDERS_OF: i64 = 200;

/// Moves the markers that stand behind a message which their user has come back with. Those who have read it, wrote it
/// themselves, or came later have nothing to prove. The lock order is the persister's.
const MARK_RETURNED: &str = concat!(
    "
WITH items AS (
    SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::timestamptz[]) AS t(user_id, seq, at)
), locked AS MATERIALIZED (
    SELECT p.conversation_id, p.user_id, p.delivered_seq AS before,
           LEAST(i.seq, c.last_message_seq) AS seq, i.at
    FROM items i
    JOIN conversation_participants p USING (user_id)
    JOIN conversations c ON c.id = p.conversation_id
    WHERE c.participant_count <= $4
      AND GREATEST(p.delivered_seq, p.last_read_seq, p.joined_seq) < LEAST(i.seq, c.last_message_seq)
    ORDER BY p.conversation_id, p.user_id
    FOR NO KEY UPDATE OF p
), ",
    moved!("l.*"),
    "
SELECT moved.conversation_id, moved.user_id, moved.seq, moved.at, ARRAY(
    SELECT DISTINCT s.sender_id FROM (
        SELECT m.sender_id FROM messages m
        WHERE m.conversation_id = moved.conversation_id AND m.seq > moved.before AND m.seq <= moved.seq
        ORDER BY m.seq DESC LIMIT $5) AS s
    JOIN conversation_participants p
      ON p.conversation_id = moved.conversation_id AND p.user_id = s.sender_id
    WHERE s.sender_id <> moved.user_id) AS senders
FROM moved"
);

impl Store {
    /// Moves the delivery markers of those who have come back, in one statement, and says which have moved, with those
    /// whose messages they passed. Conversations of more than `max` participants are left alone.
    ///
    /// # Errors
    /// As every statement; nothing has moved then.
    pub async fn mark_returned(
        &self,
        items: &[Return],
        max: u32,
    ) -> Result<Vec<(Delivery, Vec<UserId>)>, StoreError> {
        let users: Vec<Uuid> = items.iter().map(|one| one.user_id).collect();
        let seqs: Vec<i64> = items.iter().map(|one| signed(one.seq)).collect();
        let times: Vec<Timestamp> = items.iter().map(|one| one.at).collect();
        let max = i32::try_from(max).unwrap_or(i32::MAX);
        self.within(async {
            let client = self.client().await?;
            let params: [&(dyn ToSql + Sync); 5] = [&users, &seqs, &times, &max, &SENDERS_OF];
            let moved = |row: &Row| {
                let delivery = Delivery {
                    conversation_id: row.try_get("conversation_id")?,
                    user_id: row.try_get("user_id")?,
                    seq: unsigned(row, "seq")?,
                    at: row.try_get("at")?,
                    senders: Vec::new(),
                };
                Ok((delivery, row.try_get("senders")?))
            };
            rows(&client, MARK_RETURNED, &params).await?.iter().map(moved).collect()
        })
        .await
    }

    /// Moves delivery markers, in one statement for the whole batch, and answers in the order of `items`. Each person
    /// may be named once for a conversation. Conversations of more than `max` participants are left alone.
    pub async fn mark_delivered(
        &self,
        items: &[Delivery],
        max: u32,
    ) -> Result<Vec<Delivered>, StoreError> {
        let conversations: Vec<Uuid> = items.iter().map(|i| i.conversation_id).collect();
        let users: Vec<Uuid> = items.iter().map(|i| i.user_id).collect();
        let seqs: Vec<i64> = items.iter().map(|i| signed(i.seq)).collect();
        let times: Vec<Timestamp> = items.iter().map(|i| i.at).collect();
        let max = i32::try_from(max).unwrap_or(i32::MAX);
        // Numbered from 1, as the statement numbers the items.
        let numbered = (1_i64..).zip(items);
        let (of, senders): (Vec<i64>, Vec<Uuid>) =
            numbered.flat_map(|(n, i)| i.senders.iter().map(move |sender| (n, *sender))).unzip();
        self.within(async {
            let client = self.client().await?;
            let params: [&(dyn ToSql + Sync); 7] =
                [&conversations, &users, &seqs, &times, &max, &of, &senders];
            let mut outcomes = vec![Delivered::Before; items.len()];
            for row in rows(&client, MARK_DELIVERED, &params).await? {
                let n = usize::try_from(row.try_get::<_, i64>("n")?).unwrap_or_default();
                let outcome = match row.try_get("too_many")? {
                    true => Delivered::TooMany,
                    false => Delivered::Now(row.try_get("senders")?),
                };
                if let Some(place) = n.checked_sub(1).and_then(|at| outcomes.get_mut(at)) {
                    *place = outcome;
                }
            }
            Ok(outcomes)
        })
        .await
    }
}
