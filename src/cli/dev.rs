//! `messaging dev`: the whole service on this machine, with a `nats-server` and a Postgres of its own.
//!
//! Start order: folder and lock, address, Postgres and NATS, then the same path as `messaging serve` with every
//! role, then `READY`. Stop order is the reverse: the service drains, Postgres checkpoints, NATS leaves.

mod child;
mod demo;
mod folder;
mod nats;
mod notifications;
mod postgres;
pub mod tools;
mod unix_user;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use self::child::Child;
use self::folder::Folder;
use super::beside::{self, Found};
use super::data_folder::{self, RunFile};
use super::roles::Roles;
use super::serve;
use crate::config::{Config, Problems};
use crate::lifecycle::Lifecycle;
use crate::telemetry::{Metrics, listener};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where everything is kept; made on first use.
    #[arg(long, env = beside::DATA, default_value = data_folder::DEFAULT, value_name = "DIR")]
    data: PathBuf,
    /// Address to serve on; 127.0.0.1 and MESSAGING_PORT (3004) when not given. Port 0: any free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// Starts everything, says `READY`, and runs until stopped.
pub async fn command(args: Args, config: Config) -> anyhow::Result<ExitCode> {
    let listen = args
        .listen
        .unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), config.http.port));
    check_address(listen)?;
    let folder = Folder::open(&args.data)?;
    let lifecycle = Lifecycle::start(config.lifecycle.hard_deadline)
        .context("Signal handlers cannot be installed")?;
    let outcome = {
        let mut servers = Servers::default();
        let started = tokio::select! {
            started = start(&folder, listen, config, &lifecycle, &mut servers) => started,
            () = lifecycle.soft.cancelled() => Err(anyhow::anyhow!("Stopped before it was ready.")),
        };
        let outcome = match started {
            Ok(()) => Ok(lifecycle.run_until_stopped().await),
            Err(error) => {
                lifecycle.soft.cancel();
                lifecycle.run_until_stopped().await;
                Err(error)
            }
        };
        folder.remove_run_file();
        servers.stop().await;
        postgres::clean_up(&folder);
        outcome
    };
    drop(folder);
    outcome
}

/// Everything that must be stopped again, kept outside of the start so that an interrupted one is undone.
#[derive(Debug, Default)]
struct Servers {
    postgres: Option<Child>,
    nats: Option<Child>,
}

impl Servers {
    /// Postgres first: until then it may still be written to; NATS has everything it does not.
    async fn stop(self) {
        if let Some(postgres) = self.postgres {
            postgres::stop(postgres).await;
        }
        if let Some(nats) = self.nats {
            nats::stop(nats).await;
        }
    }
}

async fn start(
    folder: &Folder,
    listen: SocketAddr,
    mut config: Config,
    lifecycle: &Lifecycle,
    servers: &mut Servers,
) -> anyhow::Result<()> {
    // Looked for first: what is missing should be said before anything was started.
    let nats_server = tools::nats_server()?;
    let postgres = postgres::start(folder, &mut servers.postgres).await?;
    let nats = nats::start(folder, nats_server, &mut servers.nats).await?;
    watch(lifecycle, "postgres", servers.postgres.as_ref());
    watch(lifecycle, "nats-server", servers.nats.as_ref());

    config.http.host = listen.ip();
    config.http.port = listen.port();
    config.postgres.migrate_at_start = true;
    config.nats.apply_topology = true;
    let found = Found {
        nats: nats.address.clone(),
        user: nats.user.to_owned(),
        password: nats.password.clone(),
        postgres: postgres.url.clone(),
    };
    found.used_by(&mut config, folder.path())?;
    let google = notifications::stand_in(&mut config, folder, lifecycle).await?;
    let problems = config.problems();
    if !problems.is_empty() {
        bail!(Problems(problems));
    }
    let secret = config.auth.jwt_secret.clone();
    let fcm_url = google.is_some().then(|| config.push.fcm_url.clone());
    let configured = config.clone();
    let listening =
        serve::start(config, lifecycle, Arc::new(Metrics::new()), Roles::new(Vec::new())).await?;
    let address = listening.address;
    folder.write_run_file(&RunFile {
        pid: std::process::id(),
        url: format!("http://{address}"),
        nats_url: nats.url_with_password(),
        nats_pid: nats.pid,
        postgres_pid: postgres.pid,
        postgres_url: postgres.url,
        fcm_url,
    })?;
    // Whoever reads READY may stop it at once: nothing is waited for behind it.
    let shown = match google {
        Some(google) => Some((google, notifications::directory(&configured).await?)),
        None => None,
    };
    demo::announce(address, folder.path(), secret.expose())?;
    if let Some((google, directory)) = shown {
        notifications::show(&google, directory, lifecycle);
    }
    Ok(())
}

/// The process ends when a server dies under it.
fn watch(lifecycle: &Lifecycle, name: &'static str, child: Option<&Child>) {
    let Some(child) = child else { return };
    let (exit, log, soft) = (child.exit(), child.log().to_owned(), lifecycle.soft.clone());
    lifecycle.spawn_critical(name, async move {
        tokio::select! {
            status = exit.wait() => Err(format!("{status}; its log is {}", log.display())),
            () = soft.cancelled() => Ok(()),
        }
    });
}

/// Fails early, before servers are started, when the address cannot be had.
fn check_address(address: SocketAddr) -> anyhow::Result<()> {
    TcpListener::bind(address).map(drop).map_err(|error| listener::cannot_listen(address, &error))
}
