//! Who is suspended or banned.

use jiff::Timestamp;
use tokio_postgres::Row;

use crate::domain::ids::UserId;
use crate::domain::standing::Standing;

use super::audit::{self, Audit};
use super::{Store, StoreError, row, rows};

/// Is the user of this expression kept out at `$now`? For statements about what a user does without a connection.
macro_rules! is_barred {
    ($user:literal, $now:literal) => {
        concat!(
            "EXISTS (SELECT FROM user_standing b WHERE b.user_id = ",
            $user,
            " AND (b.state = 'banned' OR b.state = 'suspended' AND (b.until IS NULL OR b.until > ",
            $now,
            ")))"
        )
    };
}
pub(super) use is_barred;

impl Store {
    /// What operators have decided since a time of the database's clock, and that time now. Without a time: everybody who
    /// is not active.
    ///
    /// # Errors
    /// As every statement.
    pub async fn standings_since(
        &self,
        since: Option<Timestamp>,
    ) -> Result<(Timestamp, Vec<(UserId, Standing)>), StoreError> {
        let sql = "SELECT t.now, s.user_id, s.state, s.until
                   FROM (SELECT clock_timestamp() AS now) t
                   LEFT JOIN user_standing s
                     ON s.changed_at > COALESCE($1::timestamptz, '-infinity')
                        AND ($1 IS NOT NULL OR s.state <> 'active')";
        self.within(async {
            let found = rows(&self.client().await?, sql, &[&since]).await?;
            let now = match found.first() {
                Some(first) => first.try_get("now")?,
                None => return Err(StoreError::bug("no time")),
            };
            let mut changed = Vec::with_capacity(found.len());
            for row in &found {
                if let Some(user) = row.try_get("user_id")? {
                    changed.push((user, standing(row)?));
                }
            }
            Ok((now, changed))
        })
        .await
    }

    /// What operators have decided about a user.
    ///
    /// # Errors
    /// As every statement.
    pub async fn standing(&self, user: UserId) -> Result<Standing, StoreError> {
        let sql = "SELECT state, until FROM user_standing WHERE user_id = $1";
        self.within(async {
            let found = row(&self.client().await?, sql, &[&user]).await?;
            found.as_ref().map_or(Ok(Standing::Active), standing)
        })
        .await
    }

    /// Decides about a user and notes who did. Returns what was decided before; nodes learn of it when they look.
    ///
    /// # Errors
    /// As every statement.
    pub async fn set_standing(
        &self,
        user: UserId,
        decided: Standing,
        audit: &Audit,
        dry_run: bool,
    ) -> Result<Standing, StoreError> {
        let sql = "WITH was AS MATERIALIZED (SELECT state, until FROM user_standing WHERE user_id = $1),
                   is_now AS (
                       INSERT INTO user_standing (user_id, state, until, changed_at)
                       VALUES ($1, $2, $3, clock_timestamp())
                       ON CONFLICT (user_id) DO UPDATE
                       SET state = EXCLUDED.state, until = EXCLUDED.until, changed_at = EXCLUDED.changed_at)
                   SELECT state, until FROM was";
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let was = row(&tx, sql, &[&user, &decided.as_str(), &decided.until()]).await?;
            let was = was.as_ref().map_or(Ok(Standing::Active), standing)?;
            audit::finish(tx, audit, dry_run).await?;
            Ok(was)
        })
        .await
    }
}

fn standing(row: &Row) -> Result<Standing, StoreError> {
    let (state, until): (&str, _) = (row.try_get("state")?, row.try_get("until")?);
    Standing::parse(state, until).ok_or_else(|| StoreError::bug("unknown state of a user"))
}
