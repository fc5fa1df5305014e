//! The ingest of other services, from the configuration to its running tasks.

use std::sync::Arc;

use tokio::sync::Notify;

use super::Base;
use crate::bus;
use crate::bus::dead_letter::services::Letters;
use crate::bus::log::Log;
use crate::bus::publish::Publisher;
use crate::cli::settings;
use crate::domain::clock::SystemClock;
use crate::ingest::{Health, Ingest, Limits, NAME, Window};
use crate::outbox::Outbox;
use crate::telemetry::listener;

/// Starts it and returns what tells whether it does its work.
pub async fn start(base: &Base<'_>) -> anyhow::Result<listener::Check> {
    let nats = base.nats.clone();
    let client = bus::connect::connect(&nats, "ingest").await?;
    let publish = settings::publish(&base.config.nats);
    let (publisher, driver) =
        Publisher::start(nats, "ingest-publish", publish, base.metrics.clone()).await?;
    let log = Log::open(&client).await?;
    let (store, clock) = (base.store.clone(), Arc::new(SystemClock));
    let health = Arc::new(Health::default());
    let ingest = Arc::new(Ingest {
        outbox: Outbox::new(store.clone(), publisher.clone(), clock.clone()),
        letters: Letters::new(&client, NAME),
        window: Window::new(log.duplicate_window()),
        limits: Limits::new(base.config.ingest.requests_per_second),
        store,
        log,
        client: client.clone(),
        publisher,
        clock,
        settings: settings::ingest(base.config),
        health: health.clone(),
        told: Notify::new(),
        metrics: base.metrics.clone(),
    });
    ingest.spawn(driver, base.lifecycle);
    Ok(check(client, health))
}

fn check(nats: bus::Client, health: Arc<Health>) -> listener::Check {
    Arc::new(move || {
        let mut reasons = Vec::new();
        if !bus::connect::is_connected(&nats) {
            reasons.push("ingest is not connected to NATS");
        }
        if health.is_waiting_for_postgres() {
            reasons.push("ingest waits for Postgres, which is far behind the log");
        } else if health.is_failing() {
            reasons.push("ingest fails again and again");
        }
        Box::pin(std::future::ready(reasons))
    })
}
