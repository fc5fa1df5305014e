//! `pg_dump` and `pg_restore`.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::cli::dev::tools;
use crate::store::backup::Cut;

/// Characters of a program's complaint that are passed on.
const COMPLAINT: usize = 2_000;

/// Copies a moment of the database into a file.
pub async fn dump(
    file: &Path,
    cut: &Cut,
    connection: &[(&'static str, String)],
) -> anyhow::Result<()> {
    let program = tools::postgres_client("pg_dump", cut.server)?;
    let mut command = Command::new(program);
    command.args(["--format=custom", "--no-owner", "--no-privileges", "--no-password"]);
    command.arg(format!("--snapshot={}", cut.snapshot));
    // Made before, so that nobody else may read it.
    super::files::create(file).await?;
    command.arg("--file").arg(file);
    run(command, connection, "pg_dump").await
}

/// Fills an empty database from a file, all or nothing.
pub async fn restore(
    file: &Path,
    server: u32,
    connection: &[(&'static str, String)],
) -> anyhow::Result<()> {
    let program = tools::postgres_client("pg_restore", server)?;
    let mut command = Command::new(program);
    command.args(["--no-owner", "--no-privileges", "--no-password", "--single-transaction"]);
    // What it restores into is named by the environment, but it has to be told that it is a database.
    let name = connection.iter().find(|(name, _)| *name == "PGDATABASE");
    let name = name.map(|(_, name)| name.as_str()).context("The Postgres URL names no database")?;
    command.arg("--dbname").arg(name).arg(file);
    run(command, connection, "pg_restore").await
}

async fn run(
    mut command: Command,
    connection: &[(&'static str, String)],
    name: &str,
) -> anyhow::Result<()> {
    command.envs(connection.iter().map(|(name, value)| (*name, value.as_str())));
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.with_context(|| format!("{name} cannot be run"))?;
    if !output.status.success() {
        let said: String =
            String::from_utf8_lossy(&output.stderr).trim().chars().take(COMPLAINT).collect();
        bail!("{name} failed: {said}");
    }
    Ok(())
}
