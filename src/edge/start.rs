//! Starting and stopping the edge.
//!
//! Start: connections to NATS, the publisher, the tail until it has caught up with what was there, and the
//! listeners last. Stop: the listeners first; clients are told to come back spread over a window; what they sent
//! gets its acknowledgement; sockets close; the tail and the publisher end last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::bus;
use crate::bus::publish;
use crate::domain::clock::SharedClock;
use crate::lifecycle::Lifecycle;
use crate::store::Store;
use crate::telemetry::listener;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Sampler;
use crate::wire::error::CloseCode;
use crate::wire::frames::Reconnect;

use super::hub::frames::Event;
use super::hub::queue::Frame;
use super::hub::registry::Connection;
use super::hub::ring;
use super::{Edge, Settings, auth, http, limits, media, presence};

mod build;
mod work;

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
    let (edge, work) = build::build(parts).await?;
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
