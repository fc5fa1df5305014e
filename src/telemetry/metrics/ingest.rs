//! What other services say, in numbers.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

/// What the role `ingest` does.
#[derive(Debug, Default)]
pub struct Ingest {
    taken: Family<KindLabel, Counter>,
    refused: Family<CodeLabel, Counter>,
    /// Messages that were there already.
    pub duplicates: Counter<u64, AtomicU64>,
    /// Messages in the queue behind the last that was handed out.
    pub waiting: Gauge,
    /// Batches that have to be tried again.
    pub failures: Counter<u64, AtomicU64>,
    /// Dead letters that were taken after all.
    pub replayed: Counter<u64, AtomicU64>,
}

impl Ingest {
    /// Counts what was dealt with: a `message`, a `profile` or a `context`.
    pub fn taken(&self, kind: &'static str) {
        self.taken.get_or_create_owned(&KindLabel { kind }).inc();
    }

    /// Counts what was refused with the error `code`, published or asked.
    pub fn refused(&self, code: &'static str) {
        self.refused.get_or_create_owned(&CodeLabel { code }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("ingest");
        r.register("taken", "What services said and was taken, by kind", self.taken.clone());
        r.register("refused", "What was refused, by error code", self.refused.clone());
        r.register("duplicates", "Messages that were there already", self.duplicates.clone());
        r.register("waiting", "Messages of services not handed out yet", self.waiting.clone());
        r.register("failures", "Times that services have to wait", self.failures.clone());
        r.register("replayed", "Dead letters taken after all", self.replayed.clone());
    }
}
