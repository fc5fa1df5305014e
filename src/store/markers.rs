//! How far people have read. A marker never goes back.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};

use super::{Store, StoreError, rows, unsigned};

/// Delivery and reading "by all" are followed in conversations of up to so many.
const MAX_FOLLOWED: i32 = 100;

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
    SELECT i.n, i.conversation_id, i.user_id, c.message_count,
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
       GREATEST(t.message_count - COALESCE(moved.last_read_counter, l.last_read_counter), 0) AS unread_count
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

/// How far everybody else in a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OthersMarkers {
    /// All of them have read up to here.
    pub read_seq: Seq,
    /// All of them have received up to here.
    pub delivered_seq: Seq,
}

impl Store {
    /// How far everybody but `user` is. `None` where there is nobody else, or where they are so many that
    /// "all" says nothing and would have to be looked for among thousands of rows.
    pub async fn others_markers(
        &self,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<OthersMarkers>, StoreError> {
        // A participant who has read something has received it.
        let sql = "SELECT min(p.last_read_seq) AS read_seq,
                          min(GREATEST(p.delivered_seq, p.last_read_seq)) AS delivered_seq
                   FROM conversations c JOIN conversation_participants p ON p.conversation_id = c.id
                   WHERE c.id = $1 AND p.user_id <> $2 AND c.participant_count <= $3
                   HAVING count(*) > 0";
        self.within(async {
            let client = self.client().await?;
            super::row(&client, sql, &[&conversation, &user, &MAX_FOLLOWED])
                .await?
                .map(|row| {
                    Ok(OthersMarkers {
                        read_seq: unsigned(&row, "read_seq")?,
                        delivered_seq: unsigned(&row, "delivered_seq")?,
                    })
                })
                .transpose()
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
