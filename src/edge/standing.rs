//! Who is suspended or banned, held in memory: it is asked for at every request and every connection.
//!
//! Read as a whole at the start, then what has changed: when an operator says so (`control.standing`), and every few seconds
//! in case nobody was heard.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::HeaderMap;
use foldhash::fast::RandomState;
use jiff::Timestamp;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::domain::ids::UserId;
use crate::domain::standing::Standing;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Rule;
use crate::wire::error::{ApiError, CloseCode, Code};

use super::Edge;
use super::auth::Caller;
use super::rereading::{EVERY, OVERLAP, Rereading};

/// Those who are kept out. A row takes some 50 bytes: a million of them 50 MB.
pub struct Standings {
    barred: RwLock<HashMap<UserId, Standing, RandomState>>,
    /// The database's time of the last reading; one reading at a time.
    read_at: tokio::sync::Mutex<Option<Timestamp>>,
}

impl Standings {
    /// Reads who is kept out now.
    ///
    /// # Errors
    /// As every statement.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let standings = Self { barred: RwLock::default(), read_at: tokio::sync::Mutex::default() };
        standings.read(store).await?;
        Ok(standings)
    }

    /// Takes in what has changed, and returns those who were dealt with and are kept out.
    async fn read(&self, store: &Store) -> Result<Vec<UserId>, StoreError> {
        let mut read_at = self.read_at.lock().await;
        let (now, changed) = store.standings_since(read_at.map(|at| at - OVERLAP)).await?;
        *read_at = Some(now);
        let mut barred = self.barred.write();
        for (user, standing) in &changed {
            match standing {
                Standing::Active => barred.remove(user),
                _ => barred.insert(*user, *standing),
            };
        }
        Ok(changed.into_iter().map(|(user, _)| user).collect())
    }

    /// May the user take part?
    ///
    /// # Errors
    /// `forbidden`, with a sentence for the user.
    pub fn check(&self, user: UserId, now: Timestamp) -> Result<(), ApiError> {
        let standing = self.barred.read().get(&user).copied();
        let Some(standing) = standing.filter(|standing| standing.is_barred(now)) else {
            return Ok(());
        };
        let sentence = match standing {
            Standing::Suspended { until: Some(until) } => {
                format!("this account is suspended until {}", until.strftime("%Y-%m-%dT%H:%M:%SZ"))
            }
            Standing::Suspended { until: None } => "this account is suspended".to_owned(),
            _ => "this account is banned".to_owned(),
        };
        Err(ApiError::new(Code::Forbidden, sentence))
    }
}

impl Edge {
    /// Checks a token, and that its user may take part.
    ///
    /// # Errors
    /// `unauthenticated`, also for a token from before its user's data was erased; `forbidden` for who is suspended or
    /// banned, and while that is under way.
    pub fn caller(&self, token: &str) -> Result<Caller, ApiError> {
        self.let_in(self.auth.authenticate(token)?)
    }

    /// The same for the token of an `Authorization` header.
    ///
    /// # Errors
    /// As [`Self::caller`].
    pub fn caller_of(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        self.let_in(self.auth.authenticate_header(headers)?)
    }

    /// The same for the one request that is answered although its user's data is being erased: that is told beside it.
    ///
    /// # Errors
    /// As [`Self::caller`], but for the erasure.
    pub fn leaving_caller_of(
        &self,
        headers: &HeaderMap,
    ) -> Result<(Caller, Result<(), ApiError>), ApiError> {
        let caller = self.auth.authenticate_header(headers)?;
        self.check_standing(caller.user_id)?;
        let stays = self.erased.check(&caller);
        Ok((caller, stays))
    }

    fn let_in(&self, caller: Caller) -> Result<Caller, ApiError> {
        self.check_standing(caller.user_id)?;
        self.erased.check(&caller)?;
        Ok(caller)
    }

    fn check_standing(&self, user: UserId) -> Result<(), ApiError> {
        let checked = self.standings.check(user, self.clock.now());
        checked.inspect_err(|_| self.metrics.safety.refused(Rule::Standing))
    }
}

/// Reads what has changed and closes the connections of those who are kept out; returns how many.
///
/// # Errors
/// As every statement.
pub async fn refresh(edge: &Edge) -> Result<u32, StoreError> {
    let changed = edge.standings.read(&edge.store).await?;
    let now = edge.clock.now();
    let mut closed = 0;
    for user in changed {
        if edge.standings.check(user, now).is_ok() {
            continue;
        }
        edge.hub.registry().connections_of(user, |connection| {
            connection.queue.close(CloseCode::Revoked);
            closed += 1;
        });
    }
    Ok(closed)
}

/// Reads again every few seconds, until cancelled. Who was known before is kept out also while that fails.
pub async fn keep_current(edge: Arc<Edge>, stop: CancellationToken) {
    let rereading = Rereading { every: EVERY, bell: None, what: "who is suspended or banned" };
    let counted = || async {
        let read = refresh(&edge).await;
        read.inspect_err(|_| _ = edge.metrics.safety.read_failures.inc())
    };
    rereading.run(&stop, counted).await;
}
