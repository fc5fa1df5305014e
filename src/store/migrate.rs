//! Brings the schema up to date.

mod indexes;

use super::connect::{self, Settings};
use super::error::StoreError;
pub use indexes::Index;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The key of the advisory lock: "messagin" as bytes, so that it reads well in `pg_locks`.
const LOCK: i64 = i64::from_be_bytes(*b"messagin");

/// The oldest server whose features the statements here rely on.
const OLDEST_SERVER: i32 = 150_000;

/// The number of the last migration that this program knows.
pub fn latest() -> i32 {
    let runner = embedded::migrations::runner();
    runner.get_migrations().iter().map(|migration| migration.version()).max().unwrap_or(0)
}

/// The indexes that the migrations up to a number make, besides those of keys.
pub fn indexes(through: i32) -> Vec<Index> {
    let runner = embedded::migrations::runner();
    let mut migrations: Vec<_> = runner.get_migrations().iter().collect();
    migrations.sort_by_key(|migration| migration.version());
    let scripts = migrations.iter().filter(|migration| migration.version() <= through);
    indexes::made_by(scripts.filter_map(|migration| migration.sql()))
}

/// Applies what is missing and returns the names of what was applied. Any number of nodes may call this at
/// once: an advisory lock lets one work and the others find it done.
///
/// # Errors
/// [`StoreError::Settings`] for a server that is too old or a migration that differs from what was applied
/// under its number; otherwise as the database answers.
pub async fn run(settings: &Settings) -> Result<Vec<String>, StoreError> {
    let (mut session, driver) = connect::dedicated(settings).await?;
    let work = async {
        check_version(&session.client).await?;
        // Five minutes: longer than any migration of ours runs, short enough that a stuck node is noticed.
        session.client.batch_execute("SET lock_timeout = '5min'").await?;
        session.client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
        let report = embedded::migrations::runner()
            .run_async(&mut session.client)
            .await
            .map_err(|error| failed(&error))?;
        Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
    };
    // The lock goes with the connection, whichever of the two ends first.
    tokio::select! {
        applied = work => applied,
        ended = driver => Err(ended.err().unwrap_or_else(StoreError::timed_out)),
    }
}

async fn check_version(client: &tokio_postgres::Client) -> Result<(), StoreError> {
    let row = client.query_one("SELECT current_setting('server_version_num')::int", &[]).await?;
    let version: i32 = row.try_get(0)?;
    if version < OLDEST_SERVER {
        return Err(StoreError::Settings(format!(
            "Postgres {} is too old: version 15 or newer is needed",
            version / 10_000
        )));
    }
    Ok(())
}

fn failed(error: &refinery::Error) -> StoreError {
    use std::error::Error;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    StoreError::Settings(format!("a migration failed: {text}"))
}
