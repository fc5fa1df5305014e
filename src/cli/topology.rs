//! `messaging topology`: streams, buckets and consumers, applied by an operator instead of by `serve`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;

use crate::config::Config;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create what is missing and update what differs; never destroys data.
    Apply,
    /// Print what is there.
    Show,
}

/// Applies or shows the topology.
pub async fn command(args: Args, config: Config) -> anyhow::Result<ExitCode> {
    // WIRING: crate::bus::topology.
    let _ = config;
    match args.action {
        Action::Apply | Action::Show => bail!("The topology is not part of this build yet."),
    }
}
