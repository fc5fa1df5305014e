//! The edge, from the configuration to what it is started from.

use std::sync::Arc;

use super::Base;
use crate::cli::settings;
use crate::domain::clock::SystemClock;
use crate::edge::hub::ring;
use crate::edge::start::Parts;
use crate::telemetry::listener;
use crate::telemetry::trace::Sampler;

/// `beside` tells of the other roles of the process.
pub fn parts(base: &Base<'_>, beside: listener::Check) -> anyhow::Result<Parts> {
    let config = base.config;
    Ok(Parts {
        settings: settings::edge(config),
        auth: settings::auth(&config.auth)?,
        limits: settings::limits(config),
        ring: ring::Limits { events: config.tail.ring_events, bytes: config.tail.ring_bytes },
        presence: settings::presence(config),
        media: settings::media(config)?,
        nats: base.nats.clone(),
        publish: settings::publish(&config.nats),
        store: base.store.clone(),
        clock: Arc::new(SystemClock),
        metrics: base.metrics.clone(),
        sampler: Sampler::new(config.telemetry.trace_sample_ratio),
        listen: config.http.listen(),
        ws_listen: config.http.ws_listen(),
        beside,
    })
}
