//! How far the projection is.

use crate::domain::ids::Seq;

use super::{Store, StoreError, row, unsigned};

/// Where the persister is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Everything up to this sequence is in Postgres.
    pub last_seq: Seq,
    /// The incarnation of the stream that `last_seq` counts in; absent before the first one.
    pub epoch: Option<String>,
}

impl Store {
    /// Where the persister is.
    pub async fn progress(&self) -> Result<Progress, StoreError> {
        self.within(async {
            let sql = "SELECT last_seq, epoch FROM progress WHERE name = 'persist'";
            let row = row(&self.client().await?, sql, &[])
                .await?
                .ok_or_else(|| StoreError::bug("the progress row is missing"))?;
            Ok(Progress { last_seq: unsigned(&row, "last_seq")?, epoch: row.try_get("epoch")? })
        })
        .await
    }
}
