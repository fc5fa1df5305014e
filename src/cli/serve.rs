//! `messaging serve`: the production form.
//!
//! Start order: configuration checked, topology and migrations, persister, edge (which listens last, so that
//! whoever reaches it can be served). Stop order is the reverse: the edge drains, then the persister leaves.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::migrate;
use super::roles::{Role, Roles};
use crate::config::{Config, Problems};
use crate::lifecycle::Lifecycle;
use crate::telemetry::Metrics;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What this process does; everything when not given.
    #[arg(long, value_delimiter = ',', value_name = "ROLE")]
    role: Vec<Role>,
    /// Print the effective configuration, secrets masked, and exit; non-zero if it cannot be used.
    #[arg(long)]
    check: bool,
    /// Do not create or update streams, buckets and consumers.
    #[arg(long)]
    no_topology: bool,
}

/// What a started service tells its starter.
#[derive(Debug)]
pub struct Listening {
    /// Where clients reach the edge, if this process is one.
    pub edge: Option<SocketAddr>,
}

/// Checks, starts, and runs until stopped.
pub async fn command(args: Args, mut config: Config) -> anyhow::Result<ExitCode> {
    config.nats.apply_topology &= !args.no_topology;
    let problems = config.problems();
    if args.check {
        print!("{}", config.to_toml()?);
    }
    if !problems.is_empty() {
        return Ok(super::refuse(&Problems(problems)));
    }
    if args.check {
        return Ok(ExitCode::SUCCESS);
    }
    let lifecycle = Lifecycle::start(config.lifecycle.hard_deadline)
        .context("Signal handlers cannot be installed")?;
    let metrics = Arc::new(Metrics::new());
    let listening = start(config, &lifecycle, metrics, Roles::new(args.role)).await?;
    if let Some(address) = listening.edge {
        tracing::info!(%address, "ready");
    }
    Ok(lifecycle.run_until_stopped().await)
}

/// Starts the roles as tasks of `lifecycle` and returns once they serve.
///
/// # Errors
/// When NATS or Postgres cannot be reached, or an address cannot be listened on.
pub async fn start(
    config: Config,
    lifecycle: &Lifecycle,
    metrics: Arc<Metrics>,
    roles: Roles,
) -> anyhow::Result<Listening> {
    if config.postgres.migrate_at_start {
        let applied = migrate::run(&config.postgres).await?;
        tracing::info!(applied = applied.len(), "schema is up to date");
    }
    // WIRING: topology here.
    if roles.has(Role::Persister) {
        // WIRING: crate::persister.
    }
    let mut listening = Listening { edge: None };
    if roles.has(Role::Edge) {
        // WIRING: crate::edge; the bound address goes to `listening`.
        let _ = (&config, lifecycle, &metrics);
        listening.edge = Some(config.http.listen());
    }
    Ok(listening)
}

/// One sentence for an address that cannot be listened on.
pub fn cannot_listen(address: SocketAddr, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "{address} is in use by another program; stop that one, or choose another address with --listen \
             or MESSAGING_PORT."
        ),
        _ => anyhow!("{address} cannot be listened on: {error}."),
    }
}
