//! Copies of users' data and their end, in numbers.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What becomes of users' own data.
#[derive(Debug, Default)]
pub struct OwnData {
    /// Copies that were made.
    pub exports: Counter<u64, AtomicU64>,
    /// Copies that failed.
    pub export_failures: Counter<u64, AtomicU64>,
    /// Users whose data is gone.
    pub erased: Counter<u64, AtomicU64>,
    /// Rounds of erasing that failed; they are made again.
    pub erasure_failures: Counter<u64, AtomicU64>,
    /// Users whose data is being erased.
    pub erasing: Gauge,
}

impl OwnData {
    pub(super) fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("own_data");
        r.register("exports", "Copies of users' data that were made", self.exports.clone());
        r.register("export_failures", "Copies that failed", self.export_failures.clone());
        r.register("erased", "Users whose data is gone", self.erased.clone());
        r.register(
            "erasure_failures",
            "Rounds of erasing that failed",
            self.erasure_failures.clone(),
        );
        r.register("erasing", "Users whose data is being erased", self.erasing.clone());
    }
}
