//! `messaging fake-fcm`: Google's token server and Firebase Cloud Messaging, as far as this service uses them, for
//! tests and for `messaging dev`. Nothing leaves the machine.
//!
//! It checks what the real ones check: the assertion's signature, the access token, the shape and size of a
//! message. How it misbehaves is told to it under `/fake`; see `behaviour`.

mod account;
mod behaviour;
mod routes;
mod state;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

pub use account::{EMAIL, PROJECT};
pub use state::{Fake, Received};

use self::account::Account;
use super::data_folder;
use crate::config::Config;
use crate::lifecycle::Lifecycle;
use crate::telemetry::listener;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address to serve on. Port 0: any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where to write the service account that this Google knows, for GOOGLE_APPLICATION_CREDENTIALS.
    #[arg(long, value_name = "FILE")]
    account: PathBuf,
    /// Messages kept to be looked at; older ones are forgotten.
    #[arg(long, default_value_t = state::KEPT, value_name = "COUNT")]
    keep: usize,
}

/// Serves until stopped.
pub async fn command(args: Args, config: Config) -> anyhow::Result<ExitCode> {
    let lifecycle = Lifecycle::start(config.lifecycle.hard_deadline)
        .context("Signal handlers cannot be installed")?;
    let running = start(args.listen, args.keep, &lifecycle).await?;
    data_folder::write_private(&args.account, &running.fake.account.file(&running.url))
        .context("The service account cannot be written")?;
    println!("READY {}", running.url);
    Ok(lifecycle.run_until_stopped().await)
}

/// A Google that serves.
pub struct Running {
    /// `http://127.0.0.1:<port>`, for FCM and for tokens.
    pub url: String,
    pub fake: Arc<Fake>,
}

/// Starts one as a task of `lifecycle`. It knows one service account, made here.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn start(
    listen: SocketAddr,
    keep: usize,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Running> {
    let account = Account::generate()?;
    let listener: TcpListener = listener::bind(listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let fake = Arc::new(Fake::new(account, &url, keep));
    // Small answers would otherwise wait for the acknowledgement of earlier ones.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection will be slow");
        }
    });
    let (app, soft) = (routes::app(fake.clone()), lifecycle.soft.clone());
    lifecycle.spawn_critical("fake FCM", async move {
        // Whoever hangs by order is not waited for at the end.
        tokio::select! {
            served = axum::serve(listener, app) => served.map_err(|error| error.to_string()),
            () = soft.cancelled() => Ok(()),
        }
    });
    Ok(Running { url, fake })
}
