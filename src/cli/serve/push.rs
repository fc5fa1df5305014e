//! The push role, from the configuration to running tasks.

use std::sync::Arc;

use super::Base;
use crate::bus;
use crate::bus::log::Log;
use crate::bus::presence::Bucket;
use crate::cli::settings;
use crate::domain::clock::SystemClock;
use crate::push::Fcm;
use crate::push::role::{Health, Parts, Push};
use crate::telemetry::listener;

/// Starts it and returns what tells whether it does its work. Without credentials there is nothing to start.
pub async fn start(base: &Base<'_>) -> anyhow::Result<Option<listener::Check>> {
    let Some(fcm) = settings::google(&base.config.push)? else {
        tracing::info!("push is off: no FCM credentials are configured");
        return Ok(None);
    };
    let clock = Arc::new(SystemClock);
    let client = bus::connect::connect(base.nats, "push").await?;
    let push = Push::new(Parts {
        store: base.store.clone(),
        log: Log::open(&client).await?,
        bucket: Bucket::new(client.clone(), settings::presence_reader(base.config)),
        client: client.clone(),
        fcm: Fcm::new(fcm, clock.clone())?,
        clock,
        settings: settings::push(base.config),
        metrics: base.metrics.clone(),
        process: settings::process(),
    });
    let push = Arc::new(push);
    let soft = &base.lifecycle.soft;
    let spawn = base.lifecycle;
    spawn.spawn_critical("push presence", push.clone().watch_presence(soft.clone()));
    spawn.spawn_critical("push reads", push.clone().listen_for_reads(soft.clone()));
    spawn.spawn_critical("push withdrawals", push.clone().withdraw(soft.clone()));
    spawn.spawn_critical("push operators", push.clone().answer_operators(soft.clone()));
    spawn.spawn_critical("push decider", push.clone().decider(soft.clone()));
    for _ in 0..push.senders() {
        spawn.spawn_critical("push sender", push.clone().send(soft.clone()));
    }
    Ok(Some(check(client, push.health.clone())))
}

fn check(nats: bus::Client, health: Arc<Health>) -> listener::Check {
    Arc::new(move || {
        let mut reasons = Vec::new();
        if !bus::connect::is_connected(&nats) {
            reasons.push("push is not connected to NATS");
        }
        if health.is_failing() {
            reasons.push("push fails again and again");
        }
        if health.is_refused() {
            reasons.push("FCM refuses the credentials");
        }
        Box::pin(std::future::ready(reasons))
    })
}
