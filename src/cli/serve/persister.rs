//! The persister, from the configuration to a running task.

use std::sync::Arc;

use super::Base;
use crate::bus;
use crate::bus::log::Log;
use crate::bus::presence::{self, Bucket};
use crate::bus::publish::Publisher;
use crate::cli::settings;
use crate::domain::clock::SystemClock;
use crate::media::objects::Objects;
use crate::persister::erasure::Eraser;
use crate::persister::media::Collector;
use crate::persister::reports::Counter;
use crate::persister::search::Indexer;
use crate::persister::{Health, Persister};
use crate::telemetry::listener;

/// Starts it and returns what tells whether it does its work; a stand-by is ready as long as it could take over.
pub async fn start(base: &Base<'_>) -> anyhow::Result<listener::Check> {
    let nats = base.nats.clone();
    let client = bus::connect::connect(&nats, "persister").await?;
    let publish = settings::publish(&base.config.nats);
    let (publisher, driver) =
        Publisher::start(nats, "persister-publish", publish, base.metrics.clone()).await?;
    let soft = &base.lifecycle.soft;
    base.lifecycle.spawn_critical("persister's publisher", driver.run(soft.clone()));
    // It makes none: where there is no bucket nobody is in it.
    let bucket = presence::Settings { edge_ttl: base.config.presence.node_ttl, create: None };
    let health = Arc::new(Health::default());
    let persister = Persister {
        store: base.store.clone(),
        log: Log::open(&client).await?,
        client: client.clone(),
        publisher,
        clock: Arc::new(SystemClock),
        settings: settings::persister(base.config),
        health: health.clone(),
        metrics: base.metrics.clone(),
    };
    let eraser = Eraser {
        store: base.store.clone(),
        // A read blocks its connection's loop while the server fetches from disk.
        log: Log::open(&bus::connect::connect(base.nats, "persister-erase").await?).await?,
        presence: Bucket::new(client.clone(), bucket),
        clock: Arc::new(SystemClock),
        health: health.clone(),
        metrics: base.metrics.clone(),
    };
    base.lifecycle.spawn_critical("persister", persister.run(soft.clone()));
    base.lifecycle.spawn_critical("eraser", eraser.run(soft.clone()));
    collect(base, &health)?;
    index(base, &health);
    count(base, &health);
    Ok(check(client, health))
}

/// Files that nothing names any more, where there is a place for files.
fn collect(base: &Base<'_>, health: &Arc<Health>) -> anyhow::Result<()> {
    let Some(place) = settings::place(&base.config.media)? else { return Ok(()) };
    let collector = Collector {
        store: base.store.clone(),
        objects: Objects::open(&place).map_err(anyhow::Error::msg)?,
        clock: Arc::new(SystemClock),
        health: health.clone(),
        metrics: base.metrics.clone(),
    };
    let soft = base.lifecycle.soft.clone();
    base.lifecycle.spawn_critical("collector of files", collector.run(soft));
    Ok(())
}

/// What is said, by its words.
fn index(base: &Base<'_>, health: &Arc<Health>) {
    let indexer = Indexer {
        store: base.store.clone(),
        health: health.clone(),
        metrics: base.metrics.clone(),
    };
    base.lifecycle.spawn_critical("indexer of messages", indexer.run(base.lifecycle.soft.clone()));
}

/// What users have reported and nobody has looked at.
fn count(base: &Base<'_>, health: &Arc<Health>) {
    let counter = Counter {
        store: base.store.clone(),
        health: health.clone(),
        metrics: base.metrics.clone(),
    };
    base.lifecycle.spawn_critical("counter of reports", counter.run(base.lifecycle.soft.clone()));
}

fn check(nats: bus::Client, health: Arc<Health>) -> listener::Check {
    Arc::new(move || {
        let mut reasons = Vec::new();
        if !bus::connect::is_connected(&nats) {
            reasons.push("the persister is not connected to NATS");
        }
        if health.is_failing() {
            reasons.push("the persister fails again and again");
        }
        Box::pin(std::future::ready(reasons))
    })
}
