//! `messaging migrate`: the schema, applied by an operator instead of by `serve`.

use std::process::ExitCode;

use anyhow::Context as _;

use super::beside::Beside;
use super::settings;
use crate::config::{self, Config};
use crate::store;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub beside: Beside,
}

/// Applies what is pending and says what that was.
pub async fn command(config: Config) -> anyhow::Result<ExitCode> {
    let applied = run(&config.postgres).await?;
    for migration in &applied {
        println!("applied {migration}");
    }
    println!("The schema is up to date.");
    Ok(ExitCode::SUCCESS)
}

/// Applies what is pending, under a lock that lets one process at a time do so.
pub async fn run(postgres: &config::Postgres) -> anyhow::Result<Vec<String>> {
    store::migrate::run(&settings::store(postgres))
        .await
        .context("The schema of Postgres cannot be brought up to date")
}
