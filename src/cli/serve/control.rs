//! What every process answers operators, whatever its roles are: how it is.

use std::sync::Arc;

use jiff::Timestamp;

use super::Base;
use crate::bus;
use crate::bus::control::{Call, Calls};
use crate::cli::roles::Roles;
use crate::cli::settings;
use crate::telemetry::metrics::Protocol;
use crate::telemetry::{Metrics, listener};
use crate::wire::control::{ProcessStatus, STATUS};

/// Who this process is, and how it finds out how it is.
struct Process {
    host: String,
    roles: Vec<&'static str>,
    started_at: Timestamp,
    metrics: Arc<Metrics>,
    ready: listener::Check,
}

/// Begins to answer. The connection is its own: an operator hears of a process that is too busy for anything else.
pub async fn start(base: &Base<'_>, roles: &Roles, ready: listener::Check) -> anyhow::Result<()> {
    let client = bus::connect::connect(base.nats, "control").await?;
    let mut calls = Calls::listen(&client).await?;
    let process = Process {
        host: settings::host(),
        roles: roles.names(),
        started_at: Timestamp::now(),
        metrics: base.metrics.clone(),
        ready,
    };
    let soft = base.lifecycle.soft.clone();
    base.lifecycle.spawn_critical("status", async move {
        let answering = async {
            loop {
                match calls.next().await {
                    Ok(call) if call.verb == STATUS => process.answer(&call).await,
                    // The roles answer the others.
                    Ok(_) => {}
                    Err(fault) => return fault,
                }
            }
        };
        tokio::select! {
            () = soft.cancelled() => Ok(()),
            fault = answering => Err(fault),
        }
    });
    Ok(())
}

impl Process {
    async fn answer(&self, call: &Call) {
        let connections = &self.metrics.connections;
        let open =
            connections.of(Protocol::Native).get() + connections.of(Protocol::SocketIo).get();
        let status = ProcessStatus {
            host: self.host.clone(),
            pid: std::process::id(),
            roles: self.roles.iter().map(|role| (*role).to_owned()).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at.to_string(),
            connections: u64::try_from(open).unwrap_or(0),
            leads_persister: self.metrics.persister_leader.get() > 0,
            not_ready: (self.ready)().await.into_iter().map(str::to_owned).collect(),
        };
        match serde_json::to_vec(&status) {
            Ok(body) => call.answer(body.into()).await,
            Err(cause) => tracing::error!(%cause, "an answer cannot be written"),
        }
    }
}
