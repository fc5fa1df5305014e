//! `messaging migrate`: the schema, applied by an operator instead of by `serve`.

use std::process::ExitCode;

use anyhow::bail;

use crate::config::Config;

/// Applies what is pending, under the advisory lock that `serve` takes too.
pub async fn command(config: Config) -> anyhow::Result<ExitCode> {
    // WIRING: crate::store::migrate.
    let _ = config;
    bail!("Migrations are not part of this build yet.");
}
