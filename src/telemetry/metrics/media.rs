//! Files, in numbers.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What becomes of files.
#[derive(Debug, Default)]
pub struct Media {
    /// Files that were stored.
    pub stored: Counter<u64, AtomicU64>,
    /// Their bytes, as stored.
    pub stored_bytes: Counter<u64, AtomicU64>,
    /// Uploads that were refused for what they are: their type, their size.
    pub refused: Counter<u64, AtomicU64>,
    /// Uploads under way.
    pub uploading: Gauge,
    /// Requests to the object store, or to the disk for spooled files, that failed.
    pub failures: Counter<u64, AtomicU64>,
    /// Files whose bytes were erased.
    pub erased: Counter<u64, AtomicU64>,
}

impl Media {
    pub(super) fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("media");
        r.register("stored", "Files that were stored", self.stored.clone());
        r.register("stored_bytes", "Bytes of files that were stored", self.stored_bytes.clone());
        r.register("refused", "Uploads refused for type or size", self.refused.clone());
        r.register("uploading", "Uploads under way", self.uploading.clone());
        r.register("failures", "Failures of the object store or the spool", self.failures.clone());
        r.register("erased", "Files whose bytes were erased", self.erased.clone());
    }
}
