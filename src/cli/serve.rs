//! `messaging serve`: the production form.
//!
//! Start order: configuration checked, topology and migrations, persister, edge (which listens last, so that
//! whoever reaches it can be served). Stop order is the reverse: the edge drains, then the persister leaves.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::roles::{Role, Roles};
use super::{migrate, settings};
use crate::bus;
use crate::bus::log::Log;
use crate::bus::publish::Publisher;
use crate::config::{Config, Problems};
use crate::domain::clock::SystemClock;
use crate::edge;
use crate::edge::hub::ring;
use crate::edge::start::Parts;
use crate::lifecycle::Lifecycle;
use crate::persister::{self, Persister};
use crate::store::Store;
use crate::telemetry::trace::Sampler;
use crate::telemetry::{Metrics, listener};

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
    /// Where clients reach the edge, if this process is one, else where operators reach it.
    pub address: SocketAddr,
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
    if config.postgres.migrate_at_start {
        let applied = migrate::run(&config.postgres).await?;
        tracing::info!(applied = applied.len(), "schema is up to date");
    }
    let store = Store::connect(&settings::store(&config.postgres), Arc::new(SystemClock))
        .await
        .context("Postgres cannot be reached")?;
    if config.nats.apply_topology {
        super::topology::apply(&config.nats, &store).await?;
    }
    let health = Arc::new(persister::Health::default());
    let mut standing_by = None;
    if roles.has(Role::Persister) {
        let persister = persister(&config, &store, health.clone(), &metrics, lifecycle).await?;
        standing_by = Some(persister.client.clone());
        lifecycle.spawn_critical("persister", persister.run(lifecycle.soft.clone()));
    }
    if !roles.has(Role::Edge) {
        let address = config.http.metrics_listen.unwrap_or_else(|| config.http.listen());
        let address =
            operators(address, lifecycle, metrics, could_persist(store, standing_by, health))
                .await?;
        return Ok(Listening { address });
    }
    let parts = edge(&config, store, metrics.clone())?;
    let started = edge::start::start(parts, lifecycle).await?;
    if let Some(address) = started.sockets {
        tracing::info!(%address, "sockets have a listener of their own");
    }
    if let Some(address) = config.http.metrics_listen {
        operators(address, lifecycle, metrics, started.ready).await?;
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

/// A probe's own patience is usually a second or more.
const PROBE: Duration = Duration::from_millis(900);

/// Whether a process without an edge is ready: a stand-by is, as long as it could take over.
fn could_persist(
    store: Store,
    nats: Option<bus::Client>,
    health: Arc<persister::Health>,
) -> listener::Check {
    Arc::new(move || {
        let (store, nats, health) = (store.clone(), nats.clone(), health.clone());
        Box::pin(async move {
            let mut reasons = Vec::new();
            if !matches!(tokio::time::timeout(PROBE, store.ping()).await, Ok(Ok(()))) {
                reasons.push("Postgres does not answer");
            }
            if nats.is_some_and(|nats| !bus::connect::is_connected(&nats)) {
                reasons.push("NATS is not connected");
            }
            if health.is_failing() {
                reasons.push("the persister fails again and again");
            }
            reasons
        })
    })
}

async fn persister(
    config: &Config,
    store: &Store,
    health: Arc<persister::Health>,
    metrics: &Arc<Metrics>,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Persister> {
    let client = bus::connect::connect(&settings::nats(&config.nats), "persister").await?;
    let (nats, publish) = (settings::nats(&config.nats), settings::publish(&config.nats));
    let (publisher, driver) =
        Publisher::start(nats, "persister-publish", publish, metrics.clone()).await?;
    lifecycle.spawn_critical("persister's publisher", driver.run(lifecycle.soft.clone()));
    Ok(Persister {
        store: store.clone(),
        log: Log::open(&client).await?,
        client,
        publisher,
        clock: Arc::new(SystemClock),
        settings: settings::persister(&config.persister),
        health,
        metrics: metrics.clone(),
    })
}

fn edge(config: &Config, store: Store, metrics: Arc<Metrics>) -> anyhow::Result<Parts> {
    Ok(Parts {
        settings: settings::edge(config),
        auth: settings::auth(&config.auth)?,
        limits: settings::limits(&config.limits),
        ring: ring::Limits { events: config.tail.ring_events, bytes: config.tail.ring_bytes },
        presence: settings::presence(config),
        nats: settings::nats(&config.nats),
        publish: settings::publish(&config.nats),
        store,
        clock: Arc::new(SystemClock),
        metrics,
        sampler: Sampler::new(config.telemetry.trace_sample_ratio),
        listen: config.http.listen(),
        ws_listen: config.http.ws_listen(),
    })
}
