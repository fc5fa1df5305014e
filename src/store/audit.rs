//! What operators have changed: who, what and why, in the transaction of the change.

use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;

use crate::domain::ids::{ConversationId, UserId};

use super::{Store, StoreError, execute, rows, signed};

/// An operator's change, to be noted with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    pub operator: String,
    /// The command, such as `message delete`.
    pub action: &'static str,
    /// The id of what is changed, or [`place`]; never content or a name.
    pub target: String,
    pub reason: Option<String>,
}

/// The target of a change of somebody's place in a conversation, or of everybody's: both ids find it.
pub fn place(conversation: ConversationId, user: Option<UserId>) -> String {
    match user {
        Some(user) => format!("{conversation}/{user}"),
        None => conversation.to_string(),
    }
}

/// A change that was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    pub id: u64,
    pub at: Timestamp,
    pub operator: String,
    pub action: String,
    pub target: String,
    pub reason: Option<String>,
}

/// Which of them to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub operator: Option<String>,
    pub target: Option<String>,
    pub since: Option<Timestamp>,
    /// Only those noted before this one.
    pub before: Option<u64>,
}

/// Notes a change in its own transaction.
pub(super) async fn insert(client: &impl GenericClient, audit: &Audit) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit (operator, action, target, reason) VALUES ($1, $2, $3, $4)";
    let Audit { operator, action, target, reason } = audit;
    execute(client, sql, &[operator, action, target, reason]).await?;
    Ok(())
}

/// Notes a change and commits it, or takes it back where it was only tried (`--dry-run`): the same statements and the
/// same rules, so that what is said to be possible is.
pub(super) async fn finish(
    tx: Transaction<'_>,
    audit: &Audit,
    dry_run: bool,
) -> Result<(), StoreError> {
    if dry_run {
        return Ok(tx.rollback().await?);
    }
    insert(&tx, audit).await?;
    Ok(tx.commit().await?)
}

/// The same of a change of several things, a row for each.
pub(super) async fn finish_each(
    tx: Transaction<'_>,
    audit: &Audit,
    targets: impl IntoIterator<Item = String>,
    dry_run: bool,
) -> Result<(), StoreError> {
    if dry_run {
        return Ok(tx.rollback().await?);
    }
    for target in targets {
        insert(&tx, &Audit { target, ..audit.clone() }).await?;
    }
    Ok(tx.commit().await?)
}

impl Store {
    /// Notes what was changed elsewhere than in Postgres. It comes before the change: a note of what did not happen
    /// after all can be explained, a change that nobody noted cannot.
    ///
    /// # Errors
    /// As every statement; change nothing then.
    pub async fn note(&self, audit: &Audit) -> Result<(), StoreError> {
        self.within(async { insert(&self.client().await?, audit).await }).await
    }

    /// What was changed, the newest first, at most `limit`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn audit(&self, filter: &Filter, limit: u32) -> Result<Vec<Noted>, StoreError> {
        let sql = "SELECT id, at, operator, action, target, reason FROM audit
                   WHERE ($1::text IS NULL OR operator = $1)
                     AND ($2::text IS NULL OR target = $2 OR $2 = ANY(string_to_array(target, '/')))
                     AND ($3::timestamptz IS NULL OR at >= $3) AND ($4::bigint IS NULL OR id < $4)
                   ORDER BY id DESC LIMIT $5";
        let Filter { operator, target, since, before } = filter;
        let before = before.map(signed);
        self.within(async {
            let client = self.client().await?;
            let limit = signed(limit.into());
            rows(&client, sql, &[operator, target, since, &before, &limit])
                .await?
                .iter()
                .map(|row| {
                    Ok(Noted {
                        id: super::unsigned(row, "id")?,
                        at: row.try_get("at")?,
                        operator: row.try_get("operator")?,
                        action: row.try_get("action")?,
                        target: row.try_get("target")?,
                        reason: row.try_get("reason")?,
                    })
                })
                .collect()
        })
        .await
    }
}
