//! Each row of a stretch against the log.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, Seq};
use crate::store::projection::Batch;
use crate::store::{StoreError, rows, signed};

use super::rows::finding;
use super::{Finding, Inspector, Kind, vanished_by};

impl Inspector {
    /// Rows between two places of the log that nothing in the log tells of. `batch` is all that the log has there, of
    /// `conversation` or of all.
    ///
    /// What was deleted is erased from the log, what vanishes by itself leaves it, and with somebody whose data were erased
    /// goes what others said of them: that is no difference.
    ///
    /// # Errors
    /// As every statement.
    pub async fn unknown(
        &self,
        conversation: Option<ConversationId>,
        (from, through): (Seq, Seq),
        batch: &Batch,
        now: Timestamp,
    ) -> Result<Vec<Finding>, StoreError> {
        let (first, last) = (signed(from), signed(through));
        let known: Vec<i64> = batch.messages.iter().map(|m| signed(m.seq)).collect();
        let sql = "
            SELECT m.conversation_id, m.seq, m.id FROM messages m
            WHERE m.seq BETWEEN $1 AND $2 AND ($3::uuid IS NULL OR m.conversation_id = $3)
                AND m.seq <> ALL($4) AND m.deleted_at IS NULL
                AND (m.expires_at IS NULL OR m.expires_at > $5)
                AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.seq = m.seq)
                AND NOT EXISTS (SELECT 1 FROM log_holes h WHERE h.seq = m.seq)";
        let by = vanished_by(now);
        let found = rows(&self.client, sql, &[&first, &last, &conversation, &known, &by]).await?;
        let mut findings = all(&found, Kind::MessageUnknown, "it is in Postgres only")?;

        let known: Vec<i64> = batch.reactions.iter().map(|r| signed(r.seq)).collect();
        let sql = "
            SELECT r.conversation_id, r.seq, r.message_id AS id FROM reactions r
            WHERE r.seq BETWEEN $1 AND $2 AND ($3::uuid IS NULL OR r.conversation_id = $3)
                AND r.seq <> ALL($4)
                AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.seq = r.seq)";
        let found = rows(&self.client, sql, &[&first, &last, &conversation, &known]).await?;
        findings.extend(all(&found, Kind::ReactionUnknown, "it is in Postgres only")?);

        // Edits of what was deleted are erased with it.
        let edits = batch.edits.iter().map(|e| signed(e.seq));
        let deletions = batch.deletions.iter().map(|d| signed(d.seq));
        let known: Vec<i64> = edits.chain(deletions).collect();
        let sql = "
            SELECT c.conversation_id, c.seq, c.message_id AS id FROM message_changes c
            WHERE c.seq BETWEEN $1 AND $2 AND ($3::uuid IS NULL OR c.conversation_id = $3)
                AND c.seq <> ALL($4)
                AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.seq = c.seq)
                AND NOT EXISTS (SELECT 1 FROM log_holes h WHERE h.seq = c.seq)
                AND NOT (c.kind = 'edit' AND EXISTS (SELECT 1 FROM messages m
                    WHERE m.id = c.message_id AND m.deleted_at IS NOT NULL))";
        let found = rows(&self.client, sql, &[&first, &last, &conversation, &known]).await?;
        findings.extend(all(&found, Kind::ChangeUnknown, "the log has no such change")?);

        let known: Vec<i64> = batch.conversations.iter().map(|c| signed(c.seq)).collect();
        let sql = "
            SELECT c.conversation_id, c.seq, NULL::uuid AS id FROM conversation_changes c
            WHERE c.seq BETWEEN $1 AND $2 AND ($3::uuid IS NULL OR c.conversation_id = $3)
                AND c.seq <> ALL($4)
                AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.seq = c.seq)
                AND NOT EXISTS (SELECT 1 FROM log_holes h WHERE h.seq = c.seq)
            UNION ALL
            SELECT c.conversation_id, c.seq, c.user_id FROM membership_changes c
            WHERE c.seq BETWEEN $1 AND $2 AND ($3::uuid IS NULL OR c.conversation_id = $3)
                AND c.seq <> ALL($4)
                AND NOT EXISTS (SELECT 1 FROM erasures x WHERE x.seq = c.seq)
                AND NOT EXISTS (SELECT 1 FROM log_holes h WHERE h.seq = c.seq)";
        let found = rows(&self.client, sql, &[&first, &last, &conversation, &known]).await?;
        findings.extend(all(&found, Kind::ChangeUnknown, "the log has no such change")?);
        Ok(findings)
    }

    /// The places whose rows of these findings are to be dropped, by what they are.
    pub(super) fn places(findings: &[Finding], kind: Kind) -> (Vec<i64>, Vec<Option<Uuid>>) {
        let of = findings.iter().filter(|finding| finding.kind == kind);
        of.filter_map(|finding| Some((signed(finding.seq?), finding.id))).unzip()
    }
}

fn all(rows: &[Row], kind: Kind, detail: &str) -> Result<Vec<Finding>, StoreError> {
    rows.iter().map(|row| finding(row, kind, detail.to_owned())).collect()
}
