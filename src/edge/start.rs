//! Starting and stopping the edge.
//!
//! Start: connections to NATS, the publisher, the tail until it has caught up with what was there, and the
//! listeners last. Stop: the listeners first; clients are told to come back spread over a window; what they sent
//! gets its acknowledgement; sockets close; the tail and the publisher end last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::log::Log;
use crate::bus::presence::Bucket;
use crate::bus::publish::{self, Publisher};
use crate::bus::signals::Signal;
use crate::bus::{self, BusError, progress, tail};
use crate::domain::clock::SharedClock;
use crate::domain::ids::Seq;
use crate::lifecycle::Lifecycle;
use crate::outbox::Outbox;
use crate::store::Store;
use crate::telemetry::listener;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Sampler;
use crate::wire::error::CloseCode;
use crate::wire::frames::Reconnect;

use super::blocks::{self, Blocks};
use super::erased::{self, Erased};
use super::hub::frames::Event;
use super::hub::queue::Frame;
use super::hub::registry::Connection;
use super::hub::ring::{self, Ring};
use super::hub::{Fanout, Hub};
use super::newcomers::Newcomers;
use super::presence::keeper::Keeper;
use super::presence::{self, Presence, announcer};
use super::standing::{self, Standings};
use super::ws::admission::Gate;
use super::{
    Edge, Settings, arrivals, auth, behind, control, delivery, export, freshness, http, limits,
    media, posting, reads, signals,
};

/// What the edge is built from.
pub struct Parts {
    pub settings: Settings,
    pub auth: auth::Settings,
    pub limits: limits::Settings,
    pub ring: ring::Limits,
    pub presence: presence::Settings,
    pub media: media::Settings,
    pub nats: bus::connect::Settings,
    pub publish: publish::Settings,
    pub store: Store,
    pub clock: SharedClock,
    pub metrics: Arc<Metrics>,
    pub sampler: Sampler,
    pub listen: SocketAddr,
    /// The sockets on an address of their own as well.
    pub ws_listen: Option<SocketAddr>,
    /// Whether the process's other roles do their work: whoever asks this node whether it is ready hears of them too.
    pub beside: listener::Check,
}

/// How long the tail may take to read what the ring holds before clients are let in: a million events take some
/// five seconds.
const CATCH_UP: Duration = Duration::from_secs(30);
/// How long acknowledgements of a draining node are waited for: a leader election and a little.
const LAST_ACKS: Duration = Duration::from_secs(10);
/// How often a drain looks whether it is done.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// A running edge.
pub struct Started {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the sockets are served as well, if they have an address of their own.
    pub sockets: Option<SocketAddr>,
    /// What keeps it from serving, for a listener for operators.
    pub ready: listener::Check,
}

/// Starts the edge.
///
/// # Errors
/// When an address cannot be listened on, or NATS does not answer.
pub async fn start(parts: Parts, lifecycle: &Lifecycle) -> anyhow::Result<Started> {
    // Bound first: a port that is taken is better known before anything has begun.
    let listener = listener::bind(parts.listen).await?;
    let address = listener.local_addr()?;
    let ws_listener = match parts.ws_listen {
        Some(address) => Some(listener::bind(address).await?),
        None => None,
    };
    let sockets_address = ws_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let beside = parts.beside.clone();
    let (edge, work) = build(parts).await?;
    work.spawn(&edge, lifecycle);
    lifecycle.spawn("drain", drain(edge.clone(), lifecycle.soft.clone()));
    caught_up(&edge).await?;
    let ready = listener::all(vec![http::operators::readiness(edge.clone()), beside]);
    let sockets = ws_listener.is_some().then(|| http::sockets_router(edge.clone(), ready.clone()));
    let patience = edge.settings.header_timeout;
    let serve = |name, listener, router| {
        let soft = lifecycle.soft.clone();
        lifecycle.spawn_critical(name, listener::answer(listener, router, patience, soft));
    };
    serve("http", listener, http::router(edge.clone(), ready.clone()));
    if let Some((listener, sockets)) = ws_listener.zip(sockets) {
        serve("sockets", listener, sockets);
    }
    Ok(Started { address, sockets: sockets_address, ready })
}

/// What runs beside requests.
struct Work {
    driver: publish::Driver,
    tail_log: Log,
    tail_client: bus::Client,
    tail_from: Seq,
    tail_status: watch::Sender<tail::Status>,
    persisted: watch::Sender<Seq>,
    asker: freshness::Asker,
    loader: arrivals::Loader,
    committer: reads::Committer,
    keeper: Keeper,
}

async fn build(parts: Parts) -> anyhow::Result<(Arc<Edge>, Work)> {
    // Three connections: a read blocks its connection's loop while the server fetches from disk, and neither
    // acknowledgements nor the tail may wait for that.
    let tailing = bus::connect::connect(&parts.nats, "edge-tail").await?;
    let reading = bus::connect::connect(&parts.nats, "edge-read").await?;
    let log = Log::open(&reading).await?;
    let tail_log = Log::open(&tailing).await?;
    let (publisher, driver) =
        Publisher::start(parts.nats.clone(), "edge-publish", parts.publish, parts.metrics.clone())
            .await?;
    let tail_from = beginning(&parts, &log).await?;
    let before = tail::Status { attached: false, seq: tail_from - 1 };
    let (tail_status, tail_seen) = watch::channel(before);
    let progress = parts.store.progress().await.context("Postgres cannot be read")?;
    let (persisted, persisted_seen) = watch::channel(progress.last_seq);
    let (arrivals, loader) =
        arrivals::arrivals(parts.store.clone(), parts.settings.max_conversations_per_user);
    let standings = Standings::load(&parts.store).await.context("Postgres cannot be read")?;
    let erased = Erased::load(&parts.store).await.context("Postgres cannot be read")?;
    let (heads, asker) = freshness::heads(log.clone());
    let (reads, committer) = reads::reads(parts.store.clone(), parts.clock.clone());
    let blocks = Arc::new(Blocks::load(&parts.store).await.context("Postgres cannot be read")?);
    let presence = Arc::new(Presence::new(&parts.presence, blocks.clone(), parts.clock.clone()));
    let keeper = keeper(&parts, presence.clone(), reading.clone());
    let hub = Arc::new(Hub::new(
        log.epoch(),
        Ring::new(parts.ring, tail_from),
        parts.clock.clone(),
        parts.metrics.clone(),
    ));
    posting::load(&parts.store, &hub).await.context("Postgres cannot be read")?;
    let new_for = parts.settings.new_for;
    let newcomers = Newcomers::new(new_for, &parts.store, parts.clock.now()).await;
    let newcomers = newcomers.context("Postgres cannot be read")?;
    let outbox = Outbox::new(parts.store.clone(), publisher.clone(), parts.clock.clone());
    let edge = Arc::new(Edge {
        replays: Semaphore::new(parts.settings.max_replays),
        gate: Gate::new(parts.settings.connects_per_second),
        searches: crate::edge::search::Turns::default(),
        auth: auth::Authenticator::new(&parts.auth).await?,
        limits: limits::Limits::new(parts.limits),
        newcomers,
        standings,
        hub,
        blocks,
        settings: parts.settings,
        store: parts.store,
        publisher,
        log,
        signals: reading,
        heads,
        arrivals,
        reads,
        deliveries: delivery::Deliveries::default(),
        typing: signals::Typing::default(),
        media: media::Media::new(parts.media)?,
        exports: export::Exports::default(),
        erased,
        presence,
        persisted: persisted_seen,
        tail: tail_seen,
        clock: parts.clock,
        metrics: parts.metrics,
        outbox,
        sampler: parts.sampler,
        sessions: TaskTracker::new(),
        draining: AtomicBool::new(false),
        leaving: CancellationToken::new(),
        finished: CancellationToken::new(),
    });
    let work = Work {
        driver,
        tail_log,
        tail_client: tailing,
        tail_from,
        tail_status,
        persisted,
        asker,
        loader,
        committer,
        keeper,
    };
    Ok((edge, work))
}

/// Where the tail begins: back by what the ring can hold; without a limit of events, by a default ring.
async fn beginning(parts: &Parts, log: &Log) -> anyhow::Result<Seq> {
    let back = if parts.ring.events == 0 { 100_000 } else { parts.ring.events as u64 };
    // What was erased although it still stands would be missing from the ring: whoever asks for it gets it from Postgres.
    let hole = parts.store.newest_hole().await.context("Postgres cannot be read")?;
    Ok(log.last_seq().saturating_sub(back).max(hole.min(log.last_seq())) + 1)
}

fn keeper(parts: &Parts, presence: Arc<Presence>, client: bus::Client) -> Keeper {
    let edge_ttl = parts.presence.timing.edge_ttl;
    let settings = bus::presence::Settings { edge_ttl, create: parts.presence.create };
    let metrics = parts.metrics.clone();
    Keeper { presence, bucket: Bucket::new(client, settings), edge_ttl, metrics }
}

impl Work {
    /// What clients depend on while they are served ends after them, at the hard stop or when the drain is done;
    /// the rest ends at the soft stop.
    fn spawn(self, edge: &Arc<Edge>, lifecycle: &Lifecycle) {
        let last = edge.finished.clone();
        lifecycle.spawn_critical("publisher", self.driver.run(last.clone()));
        let fanout = Fanout(edge.hub.clone());
        let tail = tail::run(self.tail_log, self.tail_from, fanout, self.tail_status, last.clone());
        lifecycle.spawn_critical("tail", tail);
        let client = self.tail_client;
        let persisted = self.persisted;
        lifecycle.spawn_critical("progress", {
            let last = last.clone();
            async move { stoppable(&last, progress::follow(&client, persisted)).await }
        });
        lifecycle.spawn_critical("signals", {
            let (last, edge) = (last.clone(), edge.clone());
            async move {
                let pass_on = |signal: Signal| match signal.event.as_str() {
                    blocks::CHANGED => edge.blocks.heard(),
                    _ => edge.hub.signal(&signal),
                };
                stoppable(&last, bus::signals::follow(&edge.signals, pass_on)).await
            }
        });
        lifecycle.spawn_critical("log heads", self.asker.run(last.clone()));
        lifecycle.spawn_critical("arrivals", self.loader.run(last.clone()));
        lifecycle.spawn_critical("read markers", self.committer.run(last.clone()));
        lifecycle.spawn_critical("deliveries", delivery::commit(edge.clone(), last.clone()));
        lifecycle.spawn_critical("returns", delivery::returned::commit(edge.clone(), last.clone()));
        let soft = &lifecycle.soft;
        lifecycle.spawn_critical("presence", self.keeper.run(soft.clone()));
        lifecycle.spawn_critical("announcer", announcer::run(edge.clone(), soft.clone()));
        lifecycle.spawn_critical("statuses", {
            let (soft, edge) = (soft.clone(), edge.clone());
            async move {
                let node = edge.presence.process();
                let deliver = |news: &_| announcer::deliver(&edge, news);
                stoppable(&soft, bus::statuses::follow(&edge.signals, node, deliver)).await
            }
        });
        lifecycle.spawn_critical("control", {
            let (last, edge) = (last.clone(), edge.clone());
            async move { stoppable(&last, control::follow(&edge)).await }
        });
        lifecycle.spawn_critical("standings", standing::keep_current(edge.clone(), last.clone()));
        lifecycle.spawn_critical("erased users", erased::keep_current(edge.clone(), last.clone()));
        lifecycle.spawn_critical("blocks", blocks::keep_current(edge.clone(), last.clone()));
        lifecycle.spawn_critical("outbox sweep", {
            let (edge, soft) = (edge.clone(), soft.clone());
            async move { edge.outbox.sweep(soft).await }
        });
        lifecycle.spawn_critical("typing", signals::expire_typing(edge.clone(), soft.clone()));
        lifecycle.spawn_critical("lag of Postgres", {
            let (edge, soft) = (edge.clone(), soft.clone());
            async move { behind::watch(&edge, soft).await }
        });
        lifecycle.spawn_critical("token keys", {
            let (edge, last) = (edge.clone(), last.clone());
            async move { edge.auth.follow_keys(last).await }
        });
        lifecycle.spawn_critical("retention", {
            let (edge, soft) = (edge.clone(), soft.clone());
            async move { edge.hub.forget_the_old(edge.settings.kept_for, soft).await }
        });
        lifecycle.spawn_critical("limits", {
            let (edge, soft) = (edge.clone(), soft.clone());
            let now = edge.clock.clone();
            async move { edge.limits.forget_the_quiet(&now, soft).await }
        });
    }
}

async fn stoppable(
    stop: &CancellationToken,
    work: impl Future<Output = Result<(), BusError>>,
) -> Result<(), BusError> {
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = work => ended,
    }
}

/// Waits until the ring holds what the log held at the start: a client that comes back meets it filled.
async fn caught_up(edge: &Edge) -> anyhow::Result<()> {
    let target = edge.log.last_seq();
    let mut tail = edge.tail.clone();
    let there = tail.wait_for(|status| status.attached && status.seq >= target);
    match tokio::time::timeout(CATCH_UP, there).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => anyhow::bail!("the tail of the log ended while it was filling"),
        Err(_) => anyhow::bail!("the log could not be followed within 30 s; is NATS well?"),
    }
}

/// Waits for the soft stop and sees the clients off.
async fn drain(edge: Arc<Edge>, soft: CancellationToken) {
    soft.cancelled().await;
    tracing::info!("draining");
    for connection in edge.hub.registry().all() {
        connection.queue.send(come_back(&edge, &connection));
    }
    edge.draining.store(true, Ordering::SeqCst);
    edge.leaving.cancel();
    let acknowledged = async {
        let mut ticks = tokio::time::interval(DRAIN_TICK);
        while edge.publisher.in_flight() > 0 || edge.hub.holds_answers() {
            ticks.tick().await;
        }
    };
    if tokio::time::timeout(LAST_ACKS, acknowledged).await.is_err() {
        tracing::warn!("some sends were not answered; their clients will repeat them");
    }
    edge.hub.close_all(CloseCode::Draining);
    edge.sessions.close();
    edge.sessions.wait().await;
    edge.finished.cancel();
    tracing::info!("drained");
}

/// `reconnect`, with a delay of its own for each client, so that they do not all come back at once.
fn come_back(edge: &Edge, connection: &Connection) -> Frame {
    let window = u64::try_from(edge.settings.drain_window.as_millis()).unwrap_or(u64::MAX);
    let after_ms = rand::random_range(0..=window);
    let data = serde_json::json!(Reconnect { after_ms }).to_string();
    Event::passing("reconnect", data.as_bytes()).frame(connection.protocol)
}
