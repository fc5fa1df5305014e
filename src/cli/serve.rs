//! `messaging serve`: the production form.
//!
//! Start order: configuration checked, topology and migrations, persister, ingest, push, edge (which listens last, so that
//! whoever reaches it can be served). Stop order is the reverse: the edge drains, then the others leave.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::roles::{Role, Roles};
use super::{migrate, settings};
use crate::bus;
use crate::bus::refusals::Refusals;
use crate::config::{Config, Problems};
use crate::domain::clock::SystemClock;
use crate::lifecycle::Lifecycle;
use crate::store::Store;
use crate::telemetry::{Metrics, listener};

mod control;
mod edge;
mod ingest;
mod persister;
mod push;

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

/// What every role is started from.
struct Base<'a> {
    config: &'a Config,
    /// Where NATS is; one for the whole process, so that what it is refused there is known in one place.
    nats: &'a bus::connect::Settings,
    store: &'a Store,
    metrics: &'a Arc<Metrics>,
    lifecycle: &'a Lifecycle,
}

/// What a started service tells its starter.
#[derive(Debug)]
pub struct Listening {
    /// Where clients reach the edge, if this process is one, else where operators reach it.
    pub address: SocketAddr,
}

/// Checks, starts, and runs until stopped.
pub async fn command(args: Args, mut config: Config) -> anyhow::Result<ExitCode> {
    config.nats.apply_topology &= !args.no_topology;
    let mut problems = config.problems();
    if problems.is_empty()
        && let Err(error) = settings::google(&config.push)
    {
        problems.push(format!("push: {error}."));
    }
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
    tracing::info!(address = %listening.address, "ready");
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
    let store = Store::connect_at_start(&settings::store(&config.postgres), Arc::new(SystemClock))
        .await
        .context("Postgres cannot be reached")?;
    // Before anything is made there: what is half restored would pass for the whole.
    store.is_whole().await?;
    if config.postgres.migrate_at_start {
        let applied = migrate::run(&config.postgres).await?;
        tracing::info!(applied = applied.len(), "schema is up to date");
    }
    if config.nats.apply_topology {
        super::topology::apply(&config.nats, &store).await?;
    }
    let nats = settings::nats(&config.nats);
    let base = Base { config: &config, nats: &nats, store: &store, metrics: &metrics, lifecycle };
    // What is refused is not answered, and would be waited for in vain.
    tokio::select! {
        started = start_roles(&base, &roles) => started,
        () = nats.refusals.refused() => bail!(
            "NATS does not allow what this process has to do; the log says what, and nats/permissions.conf who may."
        ),
    }
}

async fn start_roles(base: &Base<'_>, roles: &Roles) -> anyhow::Result<Listening> {
    let Base { config, lifecycle, .. } = *base;
    let mut checks = vec![is_allowed(base.nats.refusals.clone())];
    if roles.has(Role::Persister) {
        checks.push(persister::start(base).await?);
    }
    if roles.has(Role::Ingest) {
        checks.push(ingest::start(base).await?);
    }
    if roles.has(Role::Push) {
        checks.extend(push::start(base).await?);
    }
    if !roles.has(Role::Edge) {
        checks.push(reaches_postgres(base.store.clone()));
        let address = config.http.metrics_listen.unwrap_or_else(|| config.http.listen());
        let ready = listener::all(checks);
        control::start(base, roles, ready.clone()).await?;
        let address = operators(address, lifecycle, base.metrics.clone(), ready).await?;
        return Ok(Listening { address });
    }
    let parts = edge::parts(base, listener::all(checks))?;
    let started = crate::edge::start::start(parts, lifecycle).await?;
    if let Some(address) = started.sockets {
        tracing::info!(%address, "sockets have a listener of their own");
    }
    control::start(base, roles, started.ready.clone()).await?;
    if let Some(address) = config.http.metrics_listen {
        operators(address, lifecycle, base.metrics.clone(), started.ready).await?;
    }
    Ok(Listening { address: started.address })
}

/// Serves operators on an address of their own.
async fn operators(
    address: SocketAddr,
    lifecycle: &Lifecycle,
    metrics: Arc<Metrics>,
    ready: listener::Check,
) -> anyhow::Result<SocketAddr> {
    let listener = listener::bind(address).await?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "operators have a listener of their own");
    let serving = listener::serve(listener, metrics, ready, lifecycle.soft.clone());
    lifecycle.spawn_critical("operators' listener", serving);
    Ok(address)
}

/// Whether NATS lets this process do what it has to.
fn is_allowed(refusals: Arc<Refusals>) -> listener::Check {
    Arc::new(move || {
        let refused =
            refusals.is_refused().then_some("NATS does not allow what this process has to do");
        Box::pin(std::future::ready(refused.into_iter().collect()))
    })
}

/// A probe's own patience is usually a second or more.
const PROBE: Duration = Duration::from_millis(900);

/// Whether Postgres answers; an edge asks that itself.
fn reaches_postgres(store: Store) -> listener::Check {
    Arc::new(move || {
        let store = store.clone();
        Box::pin(async move {
            match tokio::time::timeout(PROBE, store.ping()).await {
                Ok(Ok(())) => Vec::new(),
                Ok(Err(_)) | Err(_) => vec!["Postgres does not answer"],
            }
        })
    })
}
