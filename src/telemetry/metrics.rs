//! Prometheus metrics of every stage, from the acceptance of a message to its delivery and its row.
//!
//! Everything on a message's way is a plain atomic: metrics that have one label value a protocol are fields,
//! not look-ups. Families (a lock and a hash each) are for refusals, REST calls and closes.
//!
//! To add one: a field, its registration in [`Metrics::new`], a line in `docs/`.

mod announced;
mod histogram;
mod ingest;
mod labels;
mod media;
mod own_data;
mod presence;
mod push;
mod safety;
mod search;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use histogram::Histogram;
pub use ingest::Ingest;
pub use labels::{CodeLabel, PerProtocol, Protocol};
pub use media::Media;
pub use own_data::OwnData;
pub use presence::Presence;
pub use push::{Push, Sent};
pub use safety::{Rule, Safety};

use labels::{ConsumerLabel, ProtocolLabel, RouteLabel, RouteStatusLabel, SourceLabel};

/// From 0.25 ms, below which nothing is visible to a person or a budget, to 10 s, the longest publish retry.
const LATENCY_BUCKETS: [f64; 18] = [
    0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25,
    0.5, 1.0, 2.5, 10.0,
];

/// Rows in a batch of the persister, up to twice the default size.
const BATCH_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

type IntGauge = Gauge;
/// A counter of events.
pub type RealCounter = Counter<u64, AtomicU64>;

/// Every metric of the process. Share it in an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// From the arrival of a send to the log's confirmation.
    pub accept_to_puback: Histogram,
    /// From the log's time stamp to the write into the socket, for each receiver.
    pub stored_to_delivered: Histogram,
    /// From the log's time stamp to the commit in Postgres.
    pub stored_to_persisted: Histogram,
    /// Open connections.
    pub connections: PerProtocol<IntGauge>,
    /// Connections that passed authentication.
    pub connects: RealCounter,
    disconnects: Family<CodeLabel, Counter>,
    /// Connections closed because their outbound queue was full.
    pub queue_overflow: RealCounter,
    /// From the admission of a client that comes back to its `caughtUp`.
    pub resumed: Histogram,
    replays: Family<SourceLabel, Counter>,
    /// Frames handed to sockets.
    pub frames_out: PerProtocol<RealCounter>,
    /// Pings answered, each of which proves that everything written before it has arrived.
    pub delivery_proofs: RealCounter,
    /// Proofs that found no room while Postgres was away.
    pub deliveries_dropped: RealCounter,
    /// Events confirmed by the log.
    pub published: RealCounter,
    /// Publishes repeated after a time-out or without a leader.
    pub publish_retries: RealCounter,
    /// Publishes that the log turned away for now, for lack of a leader or of room.
    pub publishes_turned_away: RealCounter,
    publish_failures: Family<CodeLabel, Counter>,
    /// Events in the log that Postgres does not have yet.
    pub persister_lag_messages: IntGauge,
    /// Transactions committed by the persister.
    pub persister_batches: RealCounter,
    /// Events in each of them.
    pub persister_batch_size: Histogram,
    /// Events written to Postgres.
    pub persisted: RealCounter,
    /// Times the persister had to start over.
    pub persister_failures: RealCounter,
    /// Events in the log that Postgres lacks, and for how long the oldest of them, in whole seconds, as an edge sees
    /// it: also when there is no persister to tell.
    pub postgres_behind_events: IntGauge,
    pub postgres_behind_seconds: IntGauge,
    /// Reads that took from memory what Postgres did not have yet.
    pub reads_ahead: RealCounter,
    /// Reads that lack something acknowledged, because neither Postgres nor memory had it.
    pub reads_stale: RealCounter,
    dead_letters: Family<ConsumerLabel, Counter>,
    /// 1 while this process holds the persister's lock.
    pub persister_leader: IntGauge,
    /// Events in the log that this node has not routed yet.
    pub tail_lag: IntGauge,
    /// Times the tail was begun anew after a failure.
    pub tail_restarts: RealCounter,
    /// Events kept in memory.
    pub ring_events: IntGauge,
    /// Their bytes.
    pub ring_bytes: IntGauge,
    pub presence: Presence,
    pub ingest: Ingest,
    pub push: Push,
    pub media: Media,
    pub search: search::Search,
    pub safety: Safety,
    pub own_data: OwnData,
    http_requests: Family<RouteStatusLabel, Counter>,
    http_request_seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
    errors: Family<CodeLabel, Counter>,
    tasks: IntGauge,
}

fn latency() -> Histogram {
    Histogram::new(&LATENCY_BUCKETS)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero, registered under the prefix `messaging_`.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("messaging"),
            accept_to_puback: latency(),
            stored_to_delivered: latency(),
            stored_to_persisted: latency(),
            connections: PerProtocol::default(),
            connects: Counter::default(),
            disconnects: Family::default(),
            queue_overflow: Counter::default(),
            resumed: latency(),
            replays: Family::default(),
            frames_out: PerProtocol::default(),
            delivery_proofs: Counter::default(),
            deliveries_dropped: Counter::default(),
            published: Counter::default(),
            publish_retries: Counter::default(),
            publishes_turned_away: Counter::default(),
            publish_failures: Family::default(),
            persister_lag_messages: Gauge::default(),
            persister_batches: Counter::default(),
            persister_batch_size: Histogram::new(&BATCH_BUCKETS),
            persisted: Counter::default(),
            persister_failures: Counter::default(),
            postgres_behind_events: Gauge::default(),
            postgres_behind_seconds: Gauge::default(),
            reads_ahead: Counter::default(),
            reads_stale: Counter::default(),
            dead_letters: Family::default(),
            persister_leader: Gauge::default(),
            tail_lag: Gauge::default(),
            tail_restarts: Counter::default(),
            ring_events: Gauge::default(),
            ring_bytes: Gauge::default(),
            presence: Presence::default(),
            ingest: Ingest::default(),
            push: Push::default(),
            media: Media::default(),
            search: search::Search::default(),
            safety: Safety::default(),
            own_data: OwnData::default(),
            http_requests: Family::default(),
            http_request_seconds: Family::new_with_constructor(latency),
            errors: Family::default(),
            tasks: Gauge::default(),
        };
        metrics.register_message_path();
        metrics.register_connections();
        metrics.register_persister();
        metrics.presence.register(&mut metrics.registry);
        metrics.ingest.register(&mut metrics.registry);
        metrics.push.register(&mut metrics.registry);
        metrics.media.register(&mut metrics.registry);
        metrics.search.register(&mut metrics.registry);
        metrics.safety.register(&mut metrics.registry);
        metrics.own_data.register(&mut metrics.registry);
        metrics.register_requests();
        metrics.announce();
        metrics
    }

    fn register_message_path(&mut self) {
        let r = &mut self.registry;
        r.register(
            "accept_to_puback_seconds",
            "From the arrival of a send to its confirmation by the log",
            self.accept_to_puback.clone(),
        );
        r.register(
            "stored_to_delivered_seconds",
            "From the log's time stamp to the write into a receiver's socket",
            self.stored_to_delivered.clone(),
        );
        r.register(
            "stored_to_persisted_seconds",
            "From the log's time stamp to the commit in Postgres",
            self.stored_to_persisted.clone(),
        );
        r.register("published", "Events confirmed by the log", self.published.clone());
        r.register("publish_retries", "Publishes repeated", self.publish_retries.clone());
        r.register(
            "publishes_turned_away",
            "Publishes that the log turned away for now",
            self.publishes_turned_away.clone(),
        );
        r.register("publish_failures", "Publishes given up", self.publish_failures.clone());
        r.register("tail_lag", "Events in the log not routed yet", self.tail_lag.clone());
        r.register("tail_restarts", "Times the tail was begun anew", self.tail_restarts.clone());
        r.register("ring_events", "Events kept in memory", self.ring_events.clone());
        r.register("ring_bytes", "Bytes of the events kept in memory", self.ring_bytes.clone());
    }

    fn register_connections(&mut self) {
        let connections = Family::<ProtocolLabel, Gauge>::default();
        let frames_out = Family::<ProtocolLabel, RealCounter>::default();
        for (name, protocol) in [("native", Protocol::Native), ("socketio", Protocol::SocketIo)] {
            let label = ProtocolLabel { protocol: name };
            let gauge = connections.get_or_create(&label).clone();
            let counter = frames_out.get_or_create(&label).clone();
            match protocol {
                Protocol::Native => {
                    self.connections.native = gauge;
                    self.frames_out.native = counter;
                }
                Protocol::SocketIo => {
                    self.connections.socketio = gauge;
                    self.frames_out.socketio = counter;
                }
            }
        }
        let r = &mut self.registry;
        r.register("connections", "Open connections", connections);
        r.register("frames_out", "Frames handed to sockets", frames_out);
        r.register("delivery_proofs", "Pings answered", self.delivery_proofs.clone());
        r.register(
            "deliveries_dropped",
            "Proofs that found no room while Postgres was away",
            self.deliveries_dropped.clone(),
        );
        r.register("connects", "Connections that passed authentication", self.connects.clone());
        r.register("disconnects", "Connections ended, by close code", self.disconnects.clone());
        r.register(
            "resumed_seconds",
            "From the admission of a client that comes back to its caughtUp",
            self.resumed.clone(),
        );
        r.register(
            "replays",
            "Stretches replayed to clients that came back, by source; reset where that is impossible",
            self.replays.clone(),
        );
        r.register(
            "queue_overflow",
            "Connections closed because their outbound queue was full",
            self.queue_overflow.clone(),
        );
    }

    fn register_persister(&mut self) {
        let r = &mut self.registry;
        r.register(
            "persister_lag_messages",
            "Events in the log that Postgres does not have yet",
            self.persister_lag_messages.clone(),
        );
        r.register("persister_batches", "Transactions committed", self.persister_batches.clone());
        r.register("persister_batch_size", "Events a batch", self.persister_batch_size.clone());
        r.register("persisted", "Events written to Postgres", self.persisted.clone());
        r.register(
            "persister_failures",
            "Times the persister had to start over",
            self.persister_failures.clone(),
        );
        r.register(
            "postgres_behind_events",
            "Events that an edge knows and Postgres lacks",
            self.postgres_behind_events.clone(),
        );
        r.register(
            "postgres_behind_seconds",
            "For how long Postgres lacks the oldest of them",
            self.postgres_behind_seconds.clone(),
        );
        r.register(
            "reads_ahead",
            "Reads completed from memory because Postgres was behind",
            self.reads_ahead.clone(),
        );
        r.register(
            "reads_stale",
            "Reads that lack something acknowledged",
            self.reads_stale.clone(),
        );
        r.register("dead_letters", "Events parked, by consumer", self.dead_letters.clone());
        r.register(
            "persister_leader",
            "1 while this process is the active persister",
            self.persister_leader.clone(),
        );
    }

    fn register_requests(&mut self) {
        let r = &mut self.registry;
        r.register("http_requests", "REST calls, by route and status", self.http_requests.clone());
        r.register(
            "http_request_seconds",
            "Time to answer a REST call, by route",
            self.http_request_seconds.clone(),
        );
        r.register("errors", "Refusals and failures, by error code", self.errors.clone());
        r.register("tasks", "Tasks of the process, a few for each connection", self.tasks.clone());
    }

    /// Counts a connection that ended with the WebSocket close `code`.
    pub fn disconnected(&self, code: u16) {
        self.disconnects.get_or_create_owned(&CodeLabel { code: code.to_string() }).inc();
    }

    /// Counts a stretch that was replayed from `source`.
    pub fn replayed(&self, source: &'static str) {
        self.replays.get_or_create_owned(&SourceLabel { source }).inc();
    }

    /// Counts a publish that was given up with the error `code`.
    pub fn publish_failed(&self, code: &'static str) {
        self.publish_failures.get_or_create_owned(&CodeLabel { code: code.to_owned() }).inc();
    }

    /// Counts an event that `consumer` parked in the dead-letter stream.
    pub fn dead_lettered(&self, consumer: &'static str) {
        self.dead_letters.get_or_create_owned(&ConsumerLabel { consumer }).inc();
    }

    /// Counts a refusal or failure answered with the error `code`.
    pub fn error(&self, code: &'static str) {
        self.errors.get_or_create_owned(&CodeLabel { code: code.to_owned() }).inc();
    }

    /// Counts and times a REST call. `route` is the pattern, never the path: ids would make a series each.
    pub fn http_request(&self, route: &str, status: u16, elapsed: Duration) {
        let label = RouteStatusLabel { route: route.to_owned(), status };
        self.http_requests.get_or_create_owned(&label).inc();
        let label = RouteLabel { route: label.route };
        self.http_request_seconds.get_or_create_owned(&label).observe(elapsed);
    }

    /// The OpenMetrics text of everything.
    ///
    /// # Errors
    /// Never in practice: writing into a `String` cannot fail.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.tasks.set(i64::try_from(runtime.metrics().num_alive_tasks()).unwrap_or(i64::MAX));
        }
        let mut out = String::with_capacity(16 * 1024);
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}
