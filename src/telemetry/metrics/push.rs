//! Notifications, in numbers.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Histogram;

/// From 5 ms, which is a fake next door, to the 10 s after which a request is given up.
const REQUEST_BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0];

/// What the push role does.
#[derive(Debug)]
pub struct Push {
    /// 1 while this process decides.
    pub deciding: Gauge,
    /// 1 while it is known who is online; alerts wait for the grace otherwise.
    pub presence_known: Gauge,
    /// Events of the log that were not decided yet.
    pub lag: Gauge,
    /// Notifications and withdrawals that were decided.
    pub jobs: Counter<u64, AtomicU64>,
    /// Requests under way.
    pub under_way: Gauge,
    /// 1 while FCM refuses the credentials.
    pub refused: Gauge,
    /// How long requests take.
    pub request_seconds: Histogram,
    due: Gauge,
    oldest: Gauge<f64, AtomicU64>,
    decisions: Family<ReasonLabel, Counter>,
    sent: Family<KindLabel, Counter>,
    dropped: Family<ReasonLabel, Counter>,
    failures: Family<KindLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// What a notification did on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Alert,
    /// Replaced what was shown, silently.
    Update,
    Dismissal,
}

impl Default for Push {
    fn default() -> Self {
        Self {
            deciding: Gauge::default(),
            presence_known: Gauge::default(),
            lag: Gauge::default(),
            jobs: Counter::default(),
            under_way: Gauge::default(),
            refused: Gauge::default(),
            request_seconds: Histogram::new(&REQUEST_BUCKETS),
            due: Gauge::default(),
            oldest: Gauge::default(),
            decisions: Family::default(),
            sent: Family::default(),
            dropped: Family::default(),
            failures: Family::default(),
        }
    }
}

impl Push {
    pub(super) fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("push");
        r.register("deciding", "1 while the process decides about alerts", self.deciding.clone());
        r.register(
            "presence_known",
            "1 while the decider knows who is online",
            self.presence_known.clone(),
        );
        r.register("lag", "Events of the log behind what was decided", self.lag.clone());
        r.register("jobs", "Notifications and withdrawals decided", self.jobs.clone());
        r.register("under_way", "Requests to FCM under way", self.under_way.clone());
        r.register("refused", "1 while FCM refuses the credentials", self.refused.clone());
        r.register("request_seconds", "Time of a request to FCM", self.request_seconds.clone());
        r.register("due", "Notifications due and not sent, 100,000 at most", self.due.clone());
        r.register("oldest_due_seconds", "Age of the oldest of them", self.oldest.clone());
        r.register("decisions", "People and messages, by what was decided", self.decisions.clone());
        r.register("sent", "Notifications that FCM has taken, by kind", self.sent.clone());
        r.register("dropped", "Notifications needless when due", self.dropped.clone());
        r.register("failures", "Requests that failed, by kind", self.failures.clone());
    }

    /// Counts what was decided about people.
    pub fn decided(&self, reason: &'static str, count: u64) {
        if count > 0 {
            self.decisions.get_or_create_owned(&ReasonLabel { reason }).inc_by(count);
        }
    }

    /// Counts what was not sent, because of what had happened since it was decided.
    pub fn dropped(&self, reason: &'static str) {
        self.dropped.get_or_create_owned(&ReasonLabel { reason }).inc();
    }

    /// Counts a notification that FCM has taken.
    pub fn sent(&self, what: Sent) {
        let kind = match what {
            Sent::Alert => "alert",
            Sent::Update => "update",
            Sent::Dismissal => "dismissal",
        };
        self.sent.get_or_create_owned(&KindLabel { kind }).inc();
    }

    /// Counts a request that failed.
    pub fn failed(&self, kind: &'static str) {
        self.failures.get_or_create_owned(&KindLabel { kind }).inc();
    }

    /// Notes what is due.
    pub fn waiting(&self, due: u64, oldest_seconds: f64) {
        self.due.set(i64::try_from(due).unwrap_or(i64::MAX));
        self.oldest.set(oldest_seconds);
    }
}
