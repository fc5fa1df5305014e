//! Postgres: the projection that history and lists are read from, and the ordinary transactions.
//!
//! *Invariant:* only this module names the database driver, and rows never leave it: what comes out are
//! types of [`crate::domain`]. Not found is `Ok(None)`. To add a table: a migration, and one file here.
//!
//! *Invariant:* whoever changes a conversation or its participants locks the conversation's row first, and
//! whoever updates rows of several participants locks them in the order (conversation, user). The persister
//! follows the same order, so that nobody waits in a circle.

pub mod admin;
pub mod audit;
pub mod backup;
pub mod bans;
pub mod blocks;
pub mod connect;
pub mod contacts;
pub mod conversations;
pub mod deletions;
pub mod details;
pub mod devices;
pub mod diagnosis;
pub mod error;
pub mod expiry;
pub mod explain;
pub mod holds;
pub mod inspect;
pub mod joining;
pub mod leadership;
pub mod lists;
pub mod markers;
pub mod media;
pub mod messages;
pub mod migrate;
pub mod newcomers;
pub mod notices;
pub mod notification_settings;
pub mod outbox;
pub mod own_data;
pub mod own_view;
pub mod participants;
pub mod pins;
pub mod posting;
pub mod progress;
pub mod projection;
pub mod push;
pub mod reactions;
pub mod receipts;
pub mod replay;
pub mod reports;
pub mod scheduled;
pub mod search;
pub mod services;
pub mod standing;
pub mod users;

use std::future::Future;
use std::time::Duration;

use deadpool_postgres::{GenericClient, Object, Pool, Timeouts};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

pub use connect::Settings;
pub use error::StoreError;

use crate::domain::clock::SharedClock;

/// Longest wait for a connection of the pool. A statement takes a millisecond, so that two seconds of
/// waiting mean a database that is down or hopelessly behind: the client is better off with `unavailable`.
const POOL_WAIT: Duration = Duration::from_secs(2);

/// How long the first connection of a process that starts may take, as that to NATS: nobody waits for an answer yet, and when everything
/// starts at once a late process is better than none.
const FIRST_CONNECT: Duration = Duration::from_secs(15);

/// Access to Postgres; cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    settings: std::sync::Arc<Settings>,
    /// Messages that have vanished are read as tombstones, whether or not they are yet.
    clock: SharedClock,
}

impl Store {
    /// Opens the pool and proves that the database answers.
    ///
    /// # Errors
    /// [`StoreError::Settings`] when they make no sense, [`StoreError::Unavailable`] when nobody answers.
    pub async fn connect(settings: &Settings, clock: SharedClock) -> Result<Self, StoreError> {
        let pool = connect::pool(settings, POOL_WAIT)?;
        let store = Self { pool, settings: std::sync::Arc::new(settings.clone()), clock };
        store.ping().await?;
        Ok(store)
    }

    /// The same for a process that starts. Where nobody listens that shows at once; who is slow has 15 s.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub async fn connect_at_start(
        settings: &Settings,
        clock: SharedClock,
    ) -> Result<Self, StoreError> {
        let pool = connect::pool(settings, POOL_WAIT)?;
        let patience =
            Timeouts { wait: None, create: Some(FIRST_CONNECT), recycle: Some(FIRST_CONNECT) };
        // It goes back into the pool.
        drop(pool.timeout_get(&patience).await?);
        let store = Self { pool, settings: std::sync::Arc::new(settings.clone()), clock };
        store.ping().await?;
        Ok(store)
    }

    /// Is the database there?
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.within(async {
            rows(&self.client().await?, "SELECT 1", &[]).await?;
            Ok(())
        })
        .await
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn client(&self) -> Result<Object, StoreError> {
        Ok(self.pool.get().await?)
    }

    /// Bounds an operation as a whole. The server ends a statement that runs too long; this ends the wait
    /// for a server that has stopped answering.
    async fn within<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let limit = POOL_WAIT + self.settings.statement_timeout + Duration::from_secs(1);
        tokio::time::timeout(limit, operation).await.unwrap_or(Err(StoreError::timed_out()))
    }
}

/// Runs a statement, prepared once a connection.
async fn rows(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StoreError> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

/// The first row, if there is one.
async fn row(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Option<Row>, StoreError> {
    Ok(rows(client, sql, params).await?.into_iter().next())
}

/// The number of rows that a statement wrote.
async fn execute(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<u64, StoreError> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, params).await?)
}

/// Sequences and counters are unsigned outside; Postgres has only signed integers. They start at 0 and
/// would need 290,000 years at a million a second to overflow.
fn unsigned(row: &Row, column: &str) -> Result<u64, StoreError> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|_| StoreError::bug(format!("{column} is negative")))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads a name that a CHECK constraint keeps to what [`crate::domain`] knows.
fn named<T>(row: &Row, column: &str, parse: fn(&str) -> Option<T>) -> Result<T, StoreError> {
    let name: &str = row.try_get(column)?;
    parse(name).ok_or_else(|| StoreError::bug(format!("unknown {column}")))
}
