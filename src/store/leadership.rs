//! The one active writer: a database session that holds a lock.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::types::ToSql;

use crate::domain::ids::Seq;

use super::connect::{self, Settings};
use super::{POOL_WAIT, Store, StoreError, execute, row, rows, signed, unsigned};

/// The advisory lock of the persister: "mecabal" and 1, as a number that nobody else picks by accident.
const PERSISTER_LOCK: i64 = 0x006d_6563_6162_0001;
/// The one of whoever decides about notifications.
const PUSH_LOCK: i64 = 0x006d_6563_6162_0002;

/// Whoever has not got the lock after this long stands by: a free one is had within a round trip.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What only one process does at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Office {
    Persister,
    Push,
}

/// Where a reader of the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Everything up to this sequence is in Postgres.
    pub last_seq: Seq,
    /// The epoch of the log that it counts in; absent before the first start.
    pub epoch: Option<String>,
}

/// The session of the one who writes, or of one who waits to.
pub struct Leader {
    pub(super) client: Object,
}

impl Store {
    /// A session of its own for a leader, outside the shared pool.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    pub async fn leader(&self) -> Result<Leader, StoreError> {
        // Waiting for the lock is a statement without end, so no time limit for statements. TCP's own limits
        // and the server's for idle sessions end a leader that is cut off.
        let settings = Settings {
            pool_size: 1,
            statement_timeout: Duration::ZERO,
            ..(*self.settings).clone()
        };
        let client = connect::pool(&settings, POOL_WAIT)?.get().await?;
        Ok(Leader { client })
    }
}

impl Leader {
    /// Waits for the lock of an office. It is held until the session ends, however it ends. `standing_by` is called once
    /// somebody else turns out to hold it: from then on nothing fails here.
    ///
    /// A leader that hangs must not hold it for ever: the server ends a session that is silent for 30 s, so a
    /// leader shows a sign of life every few seconds ([`Leader::heartbeat`]).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the session ends meanwhile.
    pub async fn lead(&self, office: Office, standing_by: impl FnOnce()) -> Result<(), StoreError> {
        let lock = match office {
            Office::Persister => PERSISTER_LOCK,
            Office::Push => PUSH_LOCK,
        };
        let parameters: [&(dyn ToSql + Sync); 1] = [&lock];
        let asking = rows(&self.client, "SELECT pg_advisory_lock($1)", &parameters);
        tokio::pin!(asking);
        match tokio::time::timeout(AT_ONCE, &mut asking).await {
            Ok(locked) => locked?,
            Err(_) => {
                standing_by();
                asking.await?
            }
        };
        let limits =
            "SET idle_session_timeout = '30s'; SET idle_in_transaction_session_timeout = '30s'";
        Ok(self.client.batch_execute(limits).await?)
    }

    /// A sign of life.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the session has ended.
    pub async fn heartbeat(&self) -> Result<(), StoreError> {
        rows(&self.client, "SELECT 1", &[]).await.map(|_| ())
    }

    /// Where the reader `name` is.
    ///
    /// # Errors
    /// [`StoreError::Bug`] when there is no such reader.
    pub async fn position(&self, name: &str) -> Result<Position, StoreError> {
        let sql = "SELECT last_seq, epoch FROM progress WHERE name = $1";
        let row = row(&self.client, sql, &[&name]).await?;
        let row = row.ok_or_else(|| StoreError::bug("the progress row is missing"))?;
        Ok(Position { last_seq: unsigned(&row, "last_seq")?, epoch: row.try_get("epoch")? })
    }

    /// Notes which epoch of the log the position counts in from now on.
    ///
    /// # Errors
    /// As every statement.
    pub async fn adopt_epoch(&self, name: &str, epoch: &str) -> Result<(), StoreError> {
        execute(&self.client, "UPDATE progress SET epoch = $2 WHERE name = $1", &[&name, &epoch])
            .await?;
        Ok(())
    }

    /// Sequences that still have to be erased from the log, at most `limit`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn erasures(&self, limit: u32) -> Result<Vec<Seq>, StoreError> {
        let sql = "SELECT seq FROM erasures ORDER BY seq LIMIT $1";
        let found = rows(&self.client, sql, &[&signed(limit.into())]).await?;
        found.iter().map(|row| unsigned(row, "seq")).collect()
    }

    /// Moves the position over events that were dealt with otherwise.
    ///
    /// # Errors
    /// As every statement.
    pub async fn skip_to(&self, name: &str, through: Seq) -> Result<(), StoreError> {
        let sql = "UPDATE progress SET last_seq = $2 WHERE name = $1 AND last_seq < $2";
        execute(&self.client, sql, &[&name, &signed(through)]).await?;
        Ok(())
    }

    /// Forgets changes before `first`, the beginning of the log: no cursor reaches back to them. Those of messages that the
    /// index of words has stay until it has them too, however far it is behind; one that it has not come to it will read
    /// as it is then. So while nobody indexes, what is kept is of messages from before that: the edits of a day, for longer none
    /// may be edited, and their deletions. At most `limit` of each kind; returns whether there may be more.
    ///
    /// # Errors
    /// As every statement.
    pub async fn prune_changes(&self, first: Seq, limit: u32) -> Result<bool, StoreError> {
        let mut more = false;
        for sql in [
            "DELETE FROM message_changes WHERE seq IN
                 (SELECT c.seq FROM message_changes c
                  CROSS JOIN (SELECT last_seq FROM progress WHERE name = 'search') AS at
                  WHERE c.seq < $1 AND (c.seq <= at.last_seq OR c.message_seq > at.last_seq)
                  ORDER BY c.seq LIMIT $2)",
            "DELETE FROM conversation_changes WHERE seq IN
                 (SELECT seq FROM conversation_changes WHERE seq < $1 ORDER BY seq LIMIT $2)",
            "DELETE FROM membership_changes WHERE (user_id, seq) IN
                 (SELECT user_id, seq FROM membership_changes WHERE seq < $1 ORDER BY seq LIMIT $2)",
            "DELETE FROM reactions WHERE (message_id, user_id, emoji) IN
                 (SELECT message_id, user_id, emoji FROM reactions
                  WHERE NOT added AND seq < $1 ORDER BY seq LIMIT $2)",
        ] {
            let gone = execute(&self.client, sql, &[&signed(first), &signed(limit.into())]).await?;
            more |= gone >= u64::from(limit);
        }
        Ok(more)
    }

    /// They are gone from the log.
    ///
    /// # Errors
    /// As every statement.
    pub async fn erased(&self, seqs: &[Seq]) -> Result<(), StoreError> {
        let seqs: Vec<i64> = seqs.iter().copied().map(signed).collect();
        execute(&self.client, "DELETE FROM erasures WHERE seq = ANY($1)", &[&seqs]).await?;
        Ok(())
    }
}
