//! The end of a user's data: who has asked for it, and how far it is. [`Erasure`] says which step comes next
//! (`own_data/steps.rs` has them), so that whoever works on it may die at any moment.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, Seq, UserId};
use crate::store::audit::{self, Audit};
use crate::store::{Store, StoreError, execute, named, row, rows, signed, unsigned};

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nodes learn of it, end the connections and refuse the tokens.
    Closing,
    /// Messages become tombstones by way of the log, conversation by conversation.
    Messages,
    /// Rows.
    Rows,
    /// What the log and the dead letters still hold.
    Log,
    Done,
}

impl Stage {
    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closing => "closing",
            Self::Messages => "messages",
            Self::Rows => "rows",
            Self::Log => "log",
            Self::Done => "done",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Closing, Self::Messages, Self::Rows, Self::Log, Self::Done]
            .into_iter()
            .find(|stage| stage.as_str() == name)
    }
}

/// One user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    pub user: UserId,
    pub requested_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub stage: Stage,
    /// The end of the log when nobody could write in this name any more.
    pub through: Seq,
    /// Done in this stage up to here; `place` is how far the next one is.
    pub conversation: ConversationId,
    pub place: Seq,
    /// Messages whose deletion was asked for.
    pub messages: u64,
    /// Messages that were no tombstones yet, in this pass through all conversations.
    pub found: u64,
    /// Conversations that were left out in this pass: a legal hold is on them.
    pub held: u64,
}

/// What nodes have to know of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub user: UserId,
    pub requested_at: Timestamp,
    pub is_finished: bool,
}

const COLUMNS: &str = "user_id, requested_at, finished_at, stage, through, conversation_id, place, messages, found, held";

fn erasure(row: &Row) -> Result<Erasure, StoreError> {
    Ok(Erasure {
        user: row.try_get("user_id")?,
        requested_at: row.try_get("requested_at")?,
        finished_at: row.try_get("finished_at")?,
        stage: named(row, "stage", Stage::parse)?,
        through: unsigned(row, "through")?,
        conversation: row.try_get("conversation_id")?,
        place: unsigned(row, "place")?,
        messages: unsigned(row, "messages")?,
        found: unsigned(row, "found")?,
        held: unsigned(row, "held")?,
    })
}

/// Asks for it. Somebody who was erased before and has come back begins anew; one that is under way stays as it is.
const REQUEST: &str = "
    INSERT INTO user_erasures AS e (user_id, requested_at, changed_at, stage)
    VALUES ($1, $2, clock_timestamp(), 'closing')
    ON CONFLICT (user_id) DO UPDATE SET requested_at = EXCLUDED.requested_at, changed_at = clock_timestamp(),
        finished_at = NULL, stage = 'closing', through = 0, place = 0, messages = 0, found = 0, held = 0,
        conversation_id = '00000000-0000-0000-0000-000000000000'
    WHERE e.finished_at IS NOT NULL";

impl Store {
    /// Asks for the end of a user's data; asking again changes nothing while it is under way.
    ///
    /// # Errors
    /// As every statement.
    pub async fn request_erasure(
        &self,
        user: UserId,
        now: Timestamp,
    ) -> Result<Erasure, StoreError> {
        self.within(async {
            let client = self.client().await?;
            execute(&client, REQUEST, &[&user, &now]).await?;
            let sql = format!("SELECT {COLUMNS} FROM user_erasures WHERE user_id = $1");
            let found = row(&client, &sql, &[&user]).await?;
            erasure(&found.ok_or_else(|| StoreError::bug("a request that is not there"))?)
        })
        .await
    }

    /// The same for an operator. Returns whether it is new.
    ///
    /// # Errors
    /// As every statement.
    pub async fn admin_erase(
        &self,
        user: UserId,
        now: Timestamp,
        audit: &Audit,
        dry_run: bool,
    ) -> Result<bool, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let begun = execute(&tx, REQUEST, &[&user, &now]).await? > 0;
            if begun {
                audit::finish(tx, audit, dry_run).await?;
            }
            Ok(begun)
        })
        .await
    }

    /// How far it is; `None` if nobody has asked for it.
    ///
    /// # Errors
    /// As every statement.
    pub async fn erasure_of(&self, user: UserId) -> Result<Option<Erasure>, StoreError> {
        self.within(async {
            let sql = format!("SELECT {COLUMNS} FROM user_erasures WHERE user_id = $1");
            row(&self.client().await?, &sql, &[&user]).await?.as_ref().map(erasure).transpose()
        })
        .await
    }

    /// What has changed since a time of the database's clock, and that time now; without a time those of the last 400
    /// days. No token lives longer.
    ///
    /// # Errors
    /// As every statement.
    pub async fn erasures_since(
        &self,
        since: Option<Timestamp>,
    ) -> Result<(Timestamp, Vec<Known>), StoreError> {
        self.within(async {
            let sql = "SELECT t.now, e.user_id, e.requested_at, e.finished_at IS NOT NULL AS is_finished
                       FROM (SELECT clock_timestamp() AS now) t
                       LEFT JOIN user_erasures e
                           ON e.changed_at > COALESCE($1::timestamptz, t.now - interval '400 days')";
            let found = rows(&self.client().await?, sql, &[&since]).await?;
            let first = found.first().ok_or_else(|| StoreError::bug("no time"))?;
            let now = first.try_get("now")?;
            let mut known = Vec::with_capacity(found.len());
            for row in &found {
                if let Some(user) = row.try_get("user_id")? {
                    known.push(Known {
                        user,
                        requested_at: row.try_get("requested_at")?,
                        is_finished: row.try_get("is_finished")?,
                    });
                }
            }
            Ok((now, known))
        })
        .await
    }

    /// Those that are not finished, the oldest first; one that waits for a legal hold once a minute.
    ///
    /// # Errors
    /// As every statement.
    pub async fn open_erasures(&self, limit: u32) -> Result<Vec<Erasure>, StoreError> {
        self.within(async {
            let sql = format!(
                "SELECT {COLUMNS} FROM user_erasures
                 WHERE finished_at IS NULL
                     AND NOT (stage = 'closing' AND held > 0 AND changed_at > clock_timestamp() - interval '1 minute')
                 ORDER BY requested_at LIMIT $1"
            );
            let found = rows(&self.client().await?, &sql, &[&signed(limit.into())]).await?;
            found.iter().map(erasure).collect()
        })
        .await
    }

    /// Notes how far it is.
    ///
    /// # Errors
    /// As every statement.
    pub async fn note_erasure(&self, erasure: &Erasure) -> Result<(), StoreError> {
        self.within(async {
            let sql = "UPDATE user_erasures SET stage = $2, through = $3, conversation_id = $4, place = $5,
                           messages = $6, found = $7, held = $8, finished_at = $9, changed_at = clock_timestamp()
                       WHERE user_id = $1 AND requested_at = $10 AND finished_at IS NULL";
            let e = erasure;
            let (through, place) = (signed(e.through), signed(e.place));
            let (messages, found, held) = (signed(e.messages), signed(e.found), signed(e.held));
            let (stage, client) = (e.stage.as_str(), self.client().await?);
            execute(
                &client,
                sql,
                &[
                    &e.user, &stage, &through, &e.conversation, &place, &messages, &found, &held,
                    &e.finished_at, &e.requested_at,
                ],
            )
            .await?;
            Ok(())
        })
        .await
    }
}

/// No conversation: where a pass begins.
pub const BEGINNING: ConversationId = Uuid::nil();
