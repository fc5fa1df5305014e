//! Removing messages whose time is over, with everything that hangs on them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::domain::conversation::ConversationType;
use crate::domain::ids::{ConversationId, Seq};
use crate::domain::retention::Retention;
use crate::store::leadership::Leader;
use crate::store::{StoreError, execute, rows, search, signed};

use super::media;

/// Messages at the beginning of a history that tell whether anything of it is past its time: 500 conversations take some 20 ms,
/// and a node's clock that was wrong does not keep what is behind it. To read as many of each as could be removed took 240 ms.
const FIRST_ONES: i64 = 10;

/// Messages that are to go, found on a walk through the conversations.
#[derive(Debug, Default)]
pub struct Overdue {
    conversations: Vec<Uuid>,
    seqs: Vec<i64>,
    ids: Vec<Uuid>,
    /// The last conversation that was looked at; `None` behind the last of all.
    pub reached: Option<ConversationId>,
}

impl Overdue {
    /// Is there nothing to remove?
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl Leader {
    /// Looks through the next `conversations` behind `after` for messages that are past their time, at most `limit` of them.
    /// Each conversation costs a look at the beginning of its history.
    ///
    /// # Errors
    /// As every statement.
    pub async fn overdue(
        &self,
        after: Option<ConversationId>,
        retention: Retention,
        now: Timestamp,
        (conversations, limit): (u32, u32),
    ) -> Result<Overdue, StoreError> {
        let sql = "WITH walked AS MATERIALIZED (
                       SELECT id, held_at IS NOT NULL AS is_held,
                              CASE type WHEN 'direct' THEN $2::timestamptz WHEN 'group' THEN $3::timestamptz
                                   ELSE $4::timestamptz END AS cutoff
                       FROM conversations WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $5),
                   due AS MATERIALIZED (
                       SELECT id, cutoff, NOT is_held AND cutoff IS NOT NULL AND EXISTS (
                           SELECT FROM (SELECT created_at FROM messages
                               WHERE conversation_id = walked.id ORDER BY seq LIMIT $7) AS first_ones
                           WHERE first_ones.created_at < cutoff) AS is_due
                       FROM walked)
                   SELECT d.id AS conversation_id, m.seq, m.id
                   FROM due d LEFT JOIN LATERAL (
                       SELECT oldest.seq, oldest.id FROM (
                           SELECT seq, id, created_at FROM messages
                           WHERE d.is_due AND conversation_id = d.id ORDER BY seq LIMIT $6) AS oldest
                       WHERE oldest.created_at < d.cutoff) AS m ON true
                   ORDER BY d.id LIMIT $5 + $6";
        let cutoff = |kind| retention.cutoff(kind, now);
        let (direct, group) = (cutoff(ConversationType::Direct), cutoff(ConversationType::Group));
        let community = cutoff(ConversationType::Community);
        let (many, limit) = (signed(conversations.into()), signed(limit.into()));
        let params: [&(dyn ToSql + Sync); 7] =
            [&after, &direct, &group, &community, &many, &limit, &FIRST_ONES];
        let found = rows(&self.client, sql, &params).await?;
        let mut overdue = Overdue::default();
        let mut walked = 0;
        for row in &found {
            let conversation: Uuid = row.try_get("conversation_id")?;
            walked += u32::from(overdue.reached != Some(conversation));
            overdue.reached = Some(conversation);
            let seq: Option<i64> = row.try_get("seq")?;
            if let Some(seq) = seq.filter(|_| signed(overdue.ids.len() as u64) < limit) {
                overdue.conversations.push(conversation);
                overdue.seqs.push(seq);
                overdue.ids.push(row.try_get("id")?);
            }
        }
        if walked < conversations {
            overdue.reached = None;
        }
        Ok(overdue)
    }

    /// Removes them: rows, what others quote of them, reactions, pins, files; and notes what of them the log still holds, which
    /// begins at `log_from`. Those of a conversation that was put under hold meanwhile stay.
    ///
    /// # Errors
    /// As every statement; nothing was removed then.
    pub async fn remove_overdue(
        &mut self,
        overdue: &Overdue,
        log_from: Seq,
    ) -> Result<u64, StoreError> {
        let tx = self.client.transaction().await?;
        let sql = "SELECT id FROM conversations WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
        rows(&tx, sql, &[&overdue.conversations]).await?;
        let sql = "SELECT m.id, m.conversation_id, m.seq
                   FROM UNNEST($1::uuid[], $2::bigint[]) AS o(conversation_id, seq)
                   JOIN messages m USING (conversation_id, seq)
                   JOIN conversations c ON c.id = m.conversation_id WHERE c.held_at IS NULL";
        let (mut ids, mut places) = (Vec::<Uuid>::new(), BTreeSet::new());
        for row in rows(&tx, sql, &[&overdue.conversations, &overdue.seqs]).await? {
            ids.push(row.try_get("id")?);
            places.insert((row.try_get("conversation_id")?, row.try_get("seq")?));
        }
        let sql = "INSERT INTO erasures (seq)
                   SELECT m.seq FROM messages m WHERE m.id = ANY($1) AND m.seq >= $2
                   UNION
                   SELECT c.seq FROM message_changes c
                   WHERE c.message_id = ANY($1) AND c.kind = 'edit' AND c.seq >= $2
                   ON CONFLICT DO NOTHING";
        execute(&tx, sql, &[&ids, &signed(log_from)]).await?;
        let sql =
            "UPDATE conversations c SET removed_through = GREATEST(c.removed_through, gone.counter),
                       removed_through_seq = GREATEST(c.removed_through_seq, gone.seq)
                   FROM (SELECT conversation_id, max(counter) AS counter, max(seq) AS seq FROM messages
                         WHERE id = ANY($1) GROUP BY conversation_id) AS gone
                   WHERE c.id = gone.conversation_id";
        execute(&tx, sql, &[&ids]).await?;
        let sql = "UPDATE messages m SET reply_to = jsonb_set(m.reply_to, '{content}', '\"\"')
                   WHERE m.reply_to_message_id = ANY($1) AND m.reply_to IS NOT NULL";
        execute(&tx, sql, &[&ids]).await?;
        for sql in [
            "DELETE FROM reactions WHERE message_id = ANY($1)",
            "DELETE FROM message_pins WHERE message_id = ANY($1)",
            "DELETE FROM message_changes WHERE message_id = ANY($1)",
        ] {
            execute(&tx, sql, &[&ids]).await?;
        }
        media::release(&tx, &ids).await?;
        let gone = execute(&tx, "DELETE FROM messages WHERE id = ANY($1)", &[&ids]).await?;
        search::index::renew_at(&tx, &places).await?;
        // Without any, a conversation is as empty as a new one; its counter stays.
        let sql = "UPDATE conversations c
                   SET last_message_seq = 0, last_message_id = NULL, last_message_at = NULL
                   WHERE c.id = ANY($1) AND c.last_message_seq > 0
                     AND NOT EXISTS (SELECT FROM messages m WHERE m.conversation_id = c.id)";
        execute(&tx, sql, &[&overdue.conversations]).await?;
        tx.commit().await?;
        Ok(gone)
    }
}
