//! Blocks, reports and refusals, in numbers.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why somebody may not do what they may do elsewhere, or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// One of the two has blocked the other.
    Blocked,
    /// Only admins write there.
    Announcements,
    SlowMode,
    /// The same text into too many conversations.
    Flood,
    /// Links and files of who is new.
    Newcomer,
    /// Suspended or banned.
    Standing,
}

impl Rule {
    const ALL: [Self; 6] = [
        Self::Blocked,
        Self::Announcements,
        Self::SlowMode,
        Self::Flood,
        Self::Newcomer,
        Self::Standing,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Announcements => "announcements",
            Self::SlowMode => "slow_mode",
            Self::Flood => "flood",
            Self::Newcomer => "newcomer",
            Self::Standing => "standing",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabel {
    rule: &'static str,
}

/// What keeps people from each other.
#[derive(Debug, Default)]
pub struct Safety {
    /// Reports that nobody has dealt with; of the leading persister.
    pub reports_open: Gauge,
    /// Reports that were filed here.
    pub reports: Counter<u64, AtomicU64>,
    /// Pairs of people between whom a block began or ended, as this node has heard of it.
    pub block_changes: Counter<u64, AtomicU64>,
    /// Times in which it could not be read who is blocked, suspended or banned; what was known before counts.
    pub read_failures: Counter<u64, AtomicU64>,
    refused: Family<RuleLabel, Counter>,
}

impl Safety {
    pub(super) fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("safety");
        r.register("reports_open", "Reports that nobody has dealt with", self.reports_open.clone());
        r.register("reports", "Reports that were filed", self.reports.clone());
        r.register(
            "block_changes",
            "Pairs between whom a block began or ended",
            self.block_changes.clone(),
        );
        r.register(
            "read_failures",
            "Times in which blocks or standings could not be read",
            self.read_failures.clone(),
        );
        r.register("refused", "Requests refused, by the rule", self.refused.clone());
        for rule in Rule::ALL {
            self.refused.get_or_create_owned(&RuleLabel { rule: rule.name() });
        }
    }

    /// Counts a request that a rule refuses.
    pub fn refused(&self, rule: Rule) {
        self.refused.get_or_create_owned(&RuleLabel { rule: rule.name() }).inc();
    }
}
