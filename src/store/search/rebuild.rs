//! Writing the index anew, while searches go on in it and the indexer goes on at its end.
//!
//! Each entry is compared with its message and replaced where it differs, a stretch of the log in a transaction with the
//! place that it reaches: what is not reached yet is found as before. Whoever comes after a crash goes on from that place.

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, Seq};

use super::{Store, StoreError, execute, index, row, rows, signed, unsigned};

/// A rebuild that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuild {
    /// The place in the log that it has reached.
    pub done: Seq,
    /// The place at which it ends: how far the index was when it began.
    pub target: Seq,
    pub started_at: Timestamp,
}

/// An entry of the index to go on behind.
pub type EntryKey = (ConversationId, i64);

impl Store {
    /// Begins a rebuild, or finds the one that is under way.
    ///
    /// # Errors
    /// As every statement.
    pub async fn begin_rebuild(&self) -> Result<Rebuild, StoreError> {
        let sql = "
            WITH begun AS (
                INSERT INTO search_rebuild (done_seq, target_seq, started_at)
                SELECT 0, last_seq, $1 FROM progress WHERE name = 'search'
                ON CONFLICT DO NOTHING RETURNING done_seq, target_seq, started_at)
            SELECT * FROM begun UNION ALL SELECT done_seq, target_seq, started_at FROM search_rebuild LIMIT 1";
        self.within(async {
            let found = row(&self.client().await?, sql, &[&self.now()]).await?;
            let row = found.ok_or_else(|| StoreError::bug("the progress row is missing"))?;
            Ok(Rebuild {
                done: unsigned(&row, "done_seq")?,
                target: unsigned(&row, "target_seq")?,
                started_at: row.try_get("started_at")?,
            })
        })
        .await
    }

    /// Renews the entries of the next messages, at most `limit`. Returns how far it is; `None` when nobody rebuilds.
    ///
    /// # Errors
    /// As every statement; nothing was renewed then.
    pub async fn rebuild_next(&self, limit: u32) -> Result<Option<Seq>, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            index::hold(&tx).await?;
            let sql = "SELECT done_seq, target_seq FROM search_rebuild";
            let Some(row) = row(&tx, sql, &[]).await? else { return Ok(None) };
            let (done, target) = (unsigned(&row, "done_seq")?, unsigned(&row, "target_seq")?);
            let through = index::renew(&tx, done, target, limit).await?;
            let sql = "UPDATE search_rebuild SET done_seq = $1";
            execute(&tx, sql, &[&signed(through)]).await?;
            tx.commit().await?;
            Ok(Some(through))
        })
        .await
    }

    /// Removes entries without a message, of the next `limit` entries behind `after`. Returns where to go on, `None` at the
    /// end.
    ///
    /// # Errors
    /// As every statement.
    pub async fn remove_orphans(
        &self,
        after: EntryKey,
        limit: u32,
    ) -> Result<Option<EntryKey>, StoreError> {
        let sql = "
            SELECT s.conversation_id, s.seq, m.seq IS NULL AS is_orphan
            FROM (SELECT conversation_id, seq FROM message_search
                  WHERE (conversation_id, seq) > ($1::uuid, $2::bigint)
                  ORDER BY conversation_id, seq LIMIT $3) AS s
            LEFT JOIN messages m ON m.conversation_id = s.conversation_id AND m.seq = s.seq
            ORDER BY s.conversation_id, s.seq";
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            index::hold(&tx).await?;
            let (conversation, seq) = after;
            let found = rows(&tx, sql, &[&conversation, &seq, &i64::from(limit)]).await?;
            let mut orphans = std::collections::BTreeSet::new();
            let mut last = None;
            for row in &found {
                let key: (Uuid, i64) = (row.try_get("conversation_id")?, row.try_get("seq")?);
                last = Some(key);
                if row.try_get("is_orphan")? {
                    orphans.insert(key);
                }
            }
            index::forget(&tx, &orphans).await?;
            tx.commit().await?;
            Ok(last.filter(|_| found.len() >= limit as usize))
        })
        .await
    }

    /// The rebuild is complete.
    ///
    /// # Errors
    /// As every statement.
    pub async fn end_rebuild(&self) -> Result<(), StoreError> {
        self.within(async {
            execute(&self.client().await?, "DELETE FROM search_rebuild", &[]).await?;
            Ok(())
        })
        .await
    }
}
