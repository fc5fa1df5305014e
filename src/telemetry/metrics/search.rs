//! The index of words, in numbers.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How far the index is; of the leading persister.
#[derive(Debug, Default)]
pub struct Search {
    /// Events of the log that are persisted and not indexed.
    pub lag: Gauge,
    /// Rounds of the indexer that failed.
    pub failures: Counter<u64, AtomicU64>,
}

impl Search {
    pub(super) fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("search");
        r.register("lag", "Events that are persisted and not indexed", self.lag.clone());
        r.register("failures", "Rounds of the indexer that failed", self.failures.clone());
    }
}
