//! Who is online, in numbers.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What presence does.
#[derive(Debug, Default)]
pub struct Presence {
    /// 1 while this node knows who is online on others.
    pub attached: Gauge,
    /// Users online anywhere, as this node knows it.
    pub online: Gauge,
    /// Keys written or removed.
    pub writes: Counter<u64, AtomicU64>,
    /// Look-ups of contacts, each for many users.
    pub rounds: Counter<u64, AtomicU64>,
    /// Messages to nodes about who is online.
    pub messages: Counter<u64, AtomicU64>,
    /// Contacts named in them.
    pub told: Counter<u64, AtomicU64>,
    /// Announcements dropped because too many waited.
    pub dropped: Counter<u64, AtomicU64>,
}

impl Presence {
    pub(super) fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("presence");
        r.register("attached", "1 while the node knows who is online", self.attached.clone());
        r.register("online", "Users online anywhere", self.online.clone());
        r.register("writes", "Keys written or removed", self.writes.clone());
        r.register("rounds", "Look-ups of contacts", self.rounds.clone());
        r.register("messages", "Messages to nodes about who is online", self.messages.clone());
        r.register("told", "Contacts named in them", self.told.clone());
        r.register("dropped", "Announcements dropped as too many waited", self.dropped.clone());
    }
}
