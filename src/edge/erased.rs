//! Whose data is being erased, or is gone: their tokens of before are refused, and their connections end.
//!
//! Held in memory, because it is asked for at every request: read as a whole at the start, and every few seconds what has
//! changed. The erasure itself begins when every node has had the time to look.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use jiff::Timestamp;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::UserId;
use crate::store::own_data::erasures::Known;
use crate::store::{Store, StoreError};
use crate::wire::error::{ApiError, CloseCode, Code};

use super::Edge;
use super::auth::Caller;
use super::rereading::{OVERLAP, Rereading};

/// One small query of each node. The persister waits for 12 s before it takes the first step.
const EVERY: Duration = Duration::from_secs(2);

/// Those of the last 400 days. A row takes some 60 bytes: a hundred thousand of them 6 MB.
pub struct Erased {
    known: RwLock<HashMap<UserId, Known, RandomState>>,
    /// The database's time of the last reading; one reading at a time.
    read_at: tokio::sync::Mutex<Option<Timestamp>>,
}

impl Erased {
    /// Reads whose data is gone by now.
    ///
    /// # Errors
    /// As every statement.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let erased = Self { known: RwLock::default(), read_at: tokio::sync::Mutex::default() };
        erased.read(store).await?;
        Ok(erased)
    }

    /// Takes in what has changed, and returns those who are to go.
    async fn read(&self, store: &Store) -> Result<Vec<UserId>, StoreError> {
        let mut read_at = self.read_at.lock().await;
        let (now, changed) = store.erasures_since(read_at.map(|at| at - OVERLAP)).await?;
        *read_at = Some(now);
        let mut known = self.known.write();
        let mut going = Vec::new();
        for erasure in changed {
            if !erasure.is_finished {
                going.push(erasure.user);
            }
            known.insert(erasure.user, erasure);
        }
        Ok(going)
    }

    /// May somebody with this token take part? After an erasure a token that was issued later begins anew.
    ///
    /// # Errors
    /// `forbidden` while it is under way, `unauthenticated` for a token from before.
    pub fn check(&self, caller: &Caller) -> Result<(), ApiError> {
        let Some(erasure) = self.known.read().get(&caller.user_id).copied() else { return Ok(()) };
        if !erasure.is_finished {
            let sentence =
                "your data is being erased; this account cannot be used until that is done";
            return Err(ApiError::new(Code::Forbidden, sentence));
        }
        if caller.issued_at.is_some_and(|at| at > erasure.requested_at) {
            return Ok(());
        }
        let sentence = "your data was erased; sign in anew to begin again";
        Err(ApiError::new(Code::Unauthenticated, sentence))
    }
}

/// Reads what has changed and ends what those who are to go still have here.
///
/// # Errors
/// As every statement.
pub async fn refresh(edge: &Edge) -> Result<(), StoreError> {
    for user in edge.erased.read(&edge.store).await? {
        edge.exports.forget(user);
        edge.auth.forget(user);
        edge.hub.registry().connections_of(user, |connection| {
            connection.queue.close(CloseCode::Revoked);
        });
    }
    Ok(())
}

/// Reads again every few seconds, until cancelled. Who was known before is refused also while that fails.
pub async fn keep_current(edge: Arc<Edge>, stop: CancellationToken) {
    let rereading = Rereading { every: EVERY, bell: None, what: "whose data is being erased" };
    rereading.run(&stop, || refresh(&edge)).await;
}
