//! What users have reported, with what was said around it, for operators.

use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};

use super::audit::{self, Audit};
use super::{Store, StoreError, execute, named, row, rows, signed, unsigned, users};

/// Reports of one user within [`WINDOW`]. Somebody who is harassed by many has enough; a program that floods the queue does
/// not.
pub const MAX_REPORTS: u32 = 50;
pub const WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Open,
    Dismissed,
    /// The message was deleted, or the user suspended or banned.
    Acted,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Dismissed => "dismissed",
            Self::Acted => "acted",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Open, Self::Dismissed, Self::Acted].into_iter().find(|s| s.as_str() == name)
    }
}

/// A message as it was when it was reported, or when one beside it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub message_id: MessageId,
    pub seq: Seq,
    pub sender_id: UserId,
    /// The message's type.
    pub kind: String,
    pub content: String,
    /// JSON.
    pub metadata: String,
    pub created_at: Timestamp,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub id: Uuid,
    pub reporter_id: UserId,
    /// The user, or whoever wrote the message.
    pub reported_id: UserId,
    pub message_id: Option<MessageId>,
    pub conversation_id: Option<ConversationId>,
    pub reason: String,
    pub details: String,
    pub state: State,
    pub created_at: Timestamp,
    pub closed_at: Option<Timestamp>,
}

/// What an operator wrote down about one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub operator: String,
    pub note: String,
    pub at: Timestamp,
}

/// A report with everything that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub report: Report,
    /// In the order of the conversation.
    pub evidence: Vec<Evidence>,
    /// In the order they were written.
    pub notes: Vec<Note>,
    /// Open reports of the same user.
    pub open_against: u64,
}

/// What filing a report came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filed {
    New,
    /// The reporter has an open report of the same.
    Known(Uuid),
    TooMany,
    NoSuchUser,
}

/// Reads what [`report`] needs.
macro_rules! report_columns {
    () => {
        "r.id, r.reporter_id, r.reported_id, r.message_id, r.conversation_id, r.reason, r.details, r.state, \
         r.created_at, r.closed_at"
    };
}

async fn insert(
    tx: &Transaction<'_>,
    report: &Report,
    evidence: &[Evidence],
) -> Result<(), StoreError> {
    let sql = "INSERT INTO reports (id, reporter_id, reported_id, message_id, conversation_id, reason, details, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let Report { id, reporter_id, reported_id, message_id, conversation_id, .. } = report;
    let Report { reason, details, created_at, .. } = report;
    execute(
        tx,
        sql,
        &[id, reporter_id, reported_id, message_id, conversation_id, reason, details, created_at],
    )
    .await?;
    // Twenty or so.
    let sql = "INSERT INTO report_evidence
                   (report_id, message_id, seq, sender_id, type, content, metadata, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    for seen in evidence {
        let Evidence { message_id, seq, sender_id, kind, content, metadata, created_at } = seen;
        let seq = signed(*seq);
        execute(tx, sql, &[id, message_id, &seq, sender_id, kind, content, metadata, created_at])
            .await?;
    }
    Ok(())
}

/// Locks a report; `None` if there is none.
async fn lock(tx: &Transaction<'_>, id: Uuid) -> Result<Option<Report>, StoreError> {
    let sql = concat!("SELECT ", report_columns!(), " FROM reports r WHERE r.id = $1 FOR UPDATE");
    row(tx, sql, &[&id]).await?.as_ref().map(report).transpose()
}

async fn close(
    tx: &Transaction<'_>,
    id: Uuid,
    state: State,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE reports SET state = $2, closed_at = $3 WHERE id = $1";
    execute(tx, sql, &[&id, &state.as_str(), &now]).await?;
    Ok(())
}

impl Store {
    /// Files a report, unless the reporter has an open one of the same or has filed too many.
    ///
    /// # Errors
    /// As every statement.
    pub async fn file_report(
        &self,
        report: &Report,
        evidence: &[Evidence],
    ) -> Result<Filed, StoreError> {
        let Report { reporter_id, reported_id, message_id, created_at, .. } = report;
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            users::ensure_stubs(&tx, &[*reporter_id]).await?;
            // One report of a user at a time, or two at once would both be new.
            rows(&tx, "SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", &[reporter_id]).await?;
            let known = "SELECT id FROM reports
                         WHERE reporter_id = $1 AND state = 'open' AND reported_id = $2
                           AND message_id IS NOT DISTINCT FROM $3";
            if let Some(row) = row(&tx, known, &[reporter_id, reported_id, message_id]).await? {
                return Ok(Filed::Known(row.try_get("id")?));
            }
            let counted = "SELECT count(*) AS filed,
                                  EXISTS (SELECT FROM users WHERE id = $3) AS is_known
                           FROM reports WHERE reporter_id = $1 AND created_at > $2";
            let since = *created_at - WINDOW;
            let Some(counted) = row(&tx, counted, &[reporter_id, &since, reported_id]).await?
            else {
                return Err(StoreError::bug("a count of nothing"));
            };
            if unsigned(&counted, "filed")? >= u64::from(MAX_REPORTS) {
                return Ok(Filed::TooMany);
            }
            if message_id.is_none() && !counted.try_get::<_, bool>("is_known")? {
                return Ok(Filed::NoSuchUser);
            }
            insert(&tx, report, evidence).await?;
            tx.commit().await?;
            Ok(Filed::New)
        })
        .await
    }

    /// Reports in a state, or all; the oldest first, at most `limit`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn reports(
        &self,
        state: Option<State>,
        against: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<Report>, StoreError> {
        let sql = concat!(
            "SELECT ",
            report_columns!(),
            " FROM reports r
              WHERE ($1::text IS NULL OR r.state = $1) AND ($2::uuid IS NULL OR r.reported_id = $2)
              ORDER BY r.created_at, r.id LIMIT $3"
        );
        let state = state.map(State::as_str);
        let limit = signed(limit.into());
        self.within(async {
            let found = rows(&self.client().await?, sql, &[&state, &against, &limit]).await?;
            found.iter().map(report).collect()
        })
        .await
    }

    /// A report with its evidence and notes.
    ///
    /// # Errors
    /// As every statement.
    pub async fn report(&self, id: Uuid) -> Result<Option<Case>, StoreError> {
        let sql = concat!(
            "SELECT ",
            report_columns!(),
            ", (SELECT count(*) FROM reports o WHERE o.reported_id = r.reported_id AND o.state = 'open')
                   AS open_against
              FROM reports r WHERE r.id = $1"
        );
        self.within(async {
            let client = self.client().await?;
            let Some(found) = row(&client, sql, &[&id]).await? else { return Ok(None) };
            let sql = "SELECT message_id, seq, sender_id, type, content, metadata, created_at
                       FROM report_evidence WHERE report_id = $1 ORDER BY seq";
            let seen = rows(&client, sql, &[&id]).await?;
            let sql = "SELECT operator, note, created_at FROM report_notes
                       WHERE report_id = $1 ORDER BY id";
            let notes = rows(&client, sql, &[&id]).await?;
            Ok(Some(Case {
                report: report(&found)?,
                evidence: seen.iter().map(evidence).collect::<Result<_, _>>()?,
                notes: notes.iter().map(note).collect::<Result<_, _>>()?,
                open_against: unsigned(&found, "open_against")?,
            }))
        })
        .await
    }

    /// Closes a report. `false` if there is none, or it is closed.
    ///
    /// # Errors
    /// As every statement.
    pub async fn close_report(
        &self,
        id: Uuid,
        state: State,
        audit: &Audit,
        dry_run: bool,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            if lock(&tx, id).await?.is_none_or(|report| report.state != State::Open) {
                return Ok(false);
            }
            close(&tx, id, state, now).await?;
            audit::finish(tx, audit, dry_run).await?;
            Ok(true)
        })
        .await
    }

    /// Writes something down about a report. `false` if there is none.
    ///
    /// # Errors
    /// As every statement.
    pub async fn note_report(
        &self,
        id: Uuid,
        text: &str,
        audit: &Audit,
        dry_run: bool,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            if lock(&tx, id).await?.is_none() {
                return Ok(false);
            }
            let sql = "INSERT INTO report_notes (report_id, operator, note, created_at)
                       VALUES ($1, $2, $3, $4)";
            execute(&tx, sql, &[&id, &audit.operator, &text, &now]).await?;
            audit::finish(tx, audit, dry_run).await?;
            Ok(true)
        })
        .await
    }
}

impl Store {
    /// How many reports nobody has dealt with.
    ///
    /// # Errors
    /// As every statement.
    pub async fn open_reports(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) AS open FROM reports WHERE state = 'open'";
        self.within(async {
            let counted = row(&self.client().await?, sql, &[]).await?;
            counted.map_or(Ok(0), |row| unsigned(&row, "open"))
        })
        .await
    }

    /// What a user has reported, in the order of ids behind `after`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn own_reports(
        &self,
        user: UserId,
        after: Uuid,
        limit: u32,
    ) -> Result<Vec<Report>, StoreError> {
        let sql = concat!(
            "SELECT ",
            report_columns!(),
            " FROM reports r WHERE r.reporter_id = $1 AND r.id > $2 ORDER BY r.id LIMIT $3"
        );
        self.within(async {
            let client = self.client().await?;
            let found = rows(&client, sql, &[&user, &after, &i64::from(limit)]).await?;
            found.iter().map(report).collect()
        })
        .await
    }
}

fn report(row: &Row) -> Result<Report, StoreError> {
    Ok(Report {
        id: row.try_get("id")?,
        reporter_id: row.try_get("reporter_id")?,
        reported_id: row.try_get("reported_id")?,
        message_id: row.try_get("message_id")?,
        conversation_id: row.try_get("conversation_id")?,
        reason: row.try_get("reason")?,
        details: row.try_get("details")?,
        state: named(row, "state", State::parse)?,
        created_at: row.try_get("created_at")?,
        closed_at: row.try_get("closed_at")?,
    })
}

fn evidence(row: &Row) -> Result<Evidence, StoreError> {
    Ok(Evidence {
        message_id: row.try_get("message_id")?,
        seq: unsigned(row, "seq")?,
        sender_id: row.try_get("sender_id")?,
        kind: row.try_get("type")?,
        content: row.try_get("content")?,
        metadata: row.try_get("metadata")?,
        created_at: row.try_get("created_at")?,
    })
}

fn note(row: &Row) -> Result<Note, StoreError> {
    Ok(Note {
        operator: row.try_get("operator")?,
        note: row.try_get("note")?,
        at: row.try_get("created_at")?,
    })
}
