//! Copies that users have asked for: who is making which, and how far it is.

use jiff::Timestamp;

use crate::domain::ids::UserId;
use crate::domain::media::MediaKey;
use crate::store::{Store, StoreError, execute, named, row, unsigned};

/// What has become of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Building,
    Ready,
    Failed,
}

impl State {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "building" => Some(Self::Building),
            "ready" => Some(Self::Ready),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }
}

/// The latest copy of a user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Export {
    /// Of the archive, and of this attempt.
    pub key: MediaKey,
    pub state: State,
    /// Messages that it has so far.
    pub messages: u64,
    pub files: u64,
    pub started_at: Timestamp,
    /// While it is made: the last sign of life.
    pub changed_at: Timestamp,
}

/// When somebody may begin another one.
#[derive(Debug, Clone, Copy)]
pub struct Over {
    /// One under way without a sign of life since then was given up.
    pub silent_since: Timestamp,
    /// One that was ready before then is old enough.
    pub ready_before: Timestamp,
}

impl Store {
    /// The latest copy, in whatever state.
    ///
    /// # Errors
    /// As every statement.
    pub async fn export_of(&self, user: UserId) -> Result<Option<Export>, StoreError> {
        self.within(async {
            let sql = "SELECT key, state, messages, files, started_at, changed_at FROM exports
                       WHERE user_id = $1";
            let found = row(&self.client().await?, sql, &[&user]).await?;
            found
                .map(|row| {
                    Ok(Export {
                        key: row.try_get("key")?,
                        state: named(&row, "state", State::parse)?,
                        messages: unsigned(&row, "messages")?,
                        files: unsigned(&row, "files")?,
                        started_at: row.try_get("started_at")?,
                        changed_at: row.try_get("changed_at")?,
                    })
                })
                .transpose()
        })
        .await
    }

    /// Begins a copy under a fresh key, unless one is under way or still good. Returns whether it was begun: of any
    /// number of callers one is told so.
    ///
    /// # Errors
    /// As every statement.
    pub async fn begin_export(
        &self,
        user: UserId,
        key: MediaKey,
        over: Over,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.within(async {
            let sql = "
                INSERT INTO exports AS e (user_id, key, state, started_at, changed_at)
                VALUES ($1, $2, 'building', $3, $3)
                ON CONFLICT (user_id) DO UPDATE SET key = EXCLUDED.key, state = 'building',
                    messages = 0, files = 0, started_at = EXCLUDED.started_at, changed_at = EXCLUDED.changed_at
                WHERE e.state = 'failed' OR (e.state = 'building' AND e.changed_at < $4)
                    OR (e.state = 'ready' AND e.changed_at < $5)";
            let Over { silent_since, ready_before } = over;
            let client = self.client().await?;
            let begun =
                execute(&client, sql, &[&user, &key, &now, &silent_since, &ready_before]).await?;
            Ok(begun > 0)
        })
        .await
    }

    /// Tells how far a copy is. `false` if it is not wanted any more: somebody else has begun another.
    ///
    /// # Errors
    /// As every statement.
    pub async fn beat_export(
        &self,
        user: UserId,
        export: Export,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let state = match export.state {
            State::Building => "building",
            State::Ready => "ready",
            State::Failed => "failed",
        };
        self.within(async {
            let sql = "UPDATE exports SET state = $3, messages = $4, files = $5, changed_at = $6
                       WHERE user_id = $1 AND key = $2 AND state = 'building'";
            let (messages, files) =
                (crate::store::signed(export.messages), crate::store::signed(export.files));
            let client = self.client().await?;
            let beaten =
                execute(&client, sql, &[&user, &export.key, &state, &messages, &files, &now])
                    .await?;
            Ok(beaten > 0)
        })
        .await
    }

    /// Gives up the archives of earlier copies: `key` has taken their place.
    ///
    /// # Errors
    /// As every statement.
    pub async fn drop_earlier_exports(
        &self,
        user: UserId,
        key: MediaKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.within(async {
            let sql = "UPDATE media SET state = 'erasing', keep_until = $3
                       WHERE owner_id = $1 AND key <> $2 AND conversation_id = $4 AND state = 'ready'";
            execute(&self.client().await?, sql, &[&user, &key, &now, &super::pages::OF_NOBODY])
                .await?;
            Ok(())
        })
        .await
    }
}
