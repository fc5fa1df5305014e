//! One connection, from its admission to its end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use uuid::Uuid;

use crate::domain::ids::Seq;
use crate::edge::Edge;
use crate::edge::auth::Caller;
use crate::edge::hub::Attached;
use crate::edge::hub::queue::Frame;
use crate::edge::hub::registry::Connection;
use crate::edge::presence::Present;
use crate::edge::resume::Start;
use crate::telemetry::metrics::Protocol;
use crate::wire::error::{ApiError, CloseCode};

use super::proof::Proof;
use super::writer::{self, End};
use super::{native, socketio};

/// Sends of one connection that may wait for the log. Enough to fill a round trip of 100 ms at 640 a second,
/// and a fraction of the outbound queue, so that the replies always fit.
const IN_FLIGHT: usize = 64;
/// Read markers of one connection that may wait for Postgres. At 10 a second (the default limit) it takes commits of
/// three seconds to fill; then the client is not read until one is done.
const MARKING: usize = 32;

/// What a connection knows of itself.
pub struct Session {
    pub edge: Arc<Edge>,
    pub connection: Arc<Connection>,
    pub caller: Caller,
    pub attached: Attached,
    pub present: Present,
    // Made when they are needed: most connections only listen.
    in_flight: OnceLock<Arc<Semaphore>>,
    marking: OnceLock<Arc<Semaphore>>,
    /// The place in the log from which events flow.
    pub cursor: Seq,
    pub proof: Proof,
    heard_at: Instant,
    expiry: Pin<Box<Sleep>>,
}

impl Session {
    /// Admits a user who has shown a valid token: from now on events are queued for the connection, or, when
    /// something was missed, as soon as that is replayed.
    ///
    /// # Errors
    /// `unavailable` when the database cannot say which conversations the user has.
    pub async fn admit(
        edge: &Arc<Edge>,
        mut caller: Caller,
        protocol: Protocol,
        start: Start,
    ) -> Result<Self, ApiError> {
        let connection = Arc::new(Connection {
            id: Uuid::new_v4(),
            user: caller.user_id,
            protocol,
            queue: edge.hub.queue(edge.settings.max_queued_frames),
        });
        let cursor = match start {
            Start::Since(seq) => {
                connection.queue.begin_replay();
                seq
            }
            // Whatever was acknowledged here is in the ring: it came before. What comes behind is queued.
            Start::Fresh | Start::Reset(_) => {
                let last = edge.hub.last_seq().max(edge.tail.borrow().seq);
                connection.queue.live_after(last);
                last
            }
        };
        let attached = Attached::new(edge.hub.clone(), connection.clone());
        // Attached before it is loaded: what changes meanwhile is not missed.
        let admitted = edge.hub.admit(&connection, edge.settings.max_connections_per_user);
        // Asked only now that the drain can find it: whoever comes too late to be sent away notices here.
        if edge.is_draining() {
            return Err(ApiError::unavailable());
        }
        // The same for whoever was suspended since the token was checked.
        edge.standings.check(caller.user_id, edge.clock.now())?;
        edge.erased.check(&caller)?;
        if admitted.needs_loading || caller.name.is_none() {
            let arrived = edge.arrivals.arrive(caller.arrival()).await;
            let arrived = arrived.ok_or_else(ApiError::unavailable)?;
            edge.hub.registry().loaded(caller.user_id, arrived.conversations);
            caller.name = caller.name.or(arrived.profile.display_name);
        }
        edge.metrics.connects.inc();
        let expiry = Box::pin(tokio::time::sleep_until(deadline(edge, &caller)));
        Ok(Self {
            edge: edge.clone(),
            present: edge.presence.arrive(connection.clone()),
            connection,
            caller,
            attached,
            in_flight: OnceLock::new(),
            marking: OnceLock::new(),
            cursor,
            proof: Proof::default(),
            heard_at: Instant::now(),
            expiry,
        })
    }

    /// Places for sends that wait for the log.
    pub fn in_flight(&self) -> Arc<Semaphore> {
        self.in_flight.get_or_init(|| Arc::new(Semaphore::new(IN_FLIGHT))).clone()
    }

    /// Places for read markers that wait for Postgres.
    pub fn marking(&self) -> Arc<Semaphore> {
        self.marking.get_or_init(|| Arc::new(Semaphore::new(MARKING))).clone()
    }

    /// The caller's token was renewed.
    pub fn renew(&mut self) {
        let deadline = deadline(&self.edge, &self.caller);
        self.expiry.as_mut().reset(deadline);
    }

    /// Queues a frame for this connection.
    pub fn queue(&self, frame: Frame) {
        self.connection.queue.send(frame);
    }

    /// Serves the connection until one side has had enough. Returns the code to close with, or none when the peer
    /// has gone.
    pub async fn run(&mut self, socket: &mut WebSocket) -> Option<CloseCode> {
        let code = self.exchange(socket).await;
        self.edge.metrics.disconnected(code.map_or(1000, CloseCode::code));
        code
    }

    async fn exchange(&mut self, socket: &mut WebSocket) -> Option<CloseCode> {
        let heartbeat = self.edge.settings.heartbeat;
        let mut beats = tokio::time::interval_at(Instant::now() + heartbeat, heartbeat);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = VecDeque::new();
        let edge = self.edge.clone();
        let connection = self.connection.clone();
        loop {
            tokio::select! {
                () = connection.queue.ready() => {
                    match writer::drain(&edge, &connection, socket, &mut self.proof, &mut batch).await {
                        Ok(()) => {}
                        Err(End::Close(code)) => return Some(code),
                        Err(End::Gone) => return None,
                    }
                }
                received = socket.recv() => {
                    self.heard_at = Instant::now();
                    let message = match received {
                        None => return None,
                        Some(Err(cause)) => return fault(cause),
                        Some(Ok(message)) => message,
                    };
                    connection.queue.occupied();
                    // Boxed: what a request needs on its way is large, and most connections are idle.
                    if let Err(code) = Box::pin(self.receive(message)).await {
                        return code;
                    }
                }
                () = self.proof.due() => {
                    match Box::pin(writer::ask(&connection, socket, &mut self.proof)).await {
                        Ok(()) => {}
                        Err(End::Close(code)) => return Some(code),
                        Err(End::Gone) => return None,
                    }
                }
                _ = beats.tick() => {
                    if self.heard_at.elapsed() > 2 * heartbeat {
                        return Some(CloseCode::HeartbeatMissed);
                    }
                    if !Box::pin(self.beat(socket)).await {
                        return None;
                    }
                }
                () = self.expiry.as_mut() => return Some(CloseCode::Unauthenticated),
            }
        }
    }

    async fn beat(&self, socket: &mut WebSocket) -> bool {
        let ping = match self.connection.protocol {
            // What is asked already is a sign of life as well.
            Protocol::Native if self.proof.is_asking() => return true,
            Protocol::Native => Message::Ping(Bytes::new()),
            Protocol::SocketIo => Message::Text(socketio::PING.into()),
        };
        // A peer that does not read is found by the heartbeat, or by its queue.
        let patience = Duration::from_secs(5);
        !matches!(tokio::time::timeout(patience, socket.send(ping)).await, Ok(Err(_)))
    }

    fn prove(&mut self, payload: &[u8]) {
        let Some(proven) = self.proof.pong(payload, Instant::now()) else { return };
        let (edge, user) = (&self.edge, self.connection.user);
        let dropped = edge.deliveries.proven(user, &proven, edge.clock.now());
        edge.metrics.delivery_proofs.inc();
        edge.metrics.deliveries_dropped.inc_by(dropped as u64);
    }

    async fn receive(&mut self, message: Message) -> Result<(), Option<CloseCode>> {
        match message {
            Message::Text(text) => match self.connection.protocol {
                Protocol::Native => native::receive(self, &text).await,
                Protocol::SocketIo => socketio::receive(self, &text).await,
            },
            Message::Binary(_) => Err(Some(CloseCode::Malformed)),
            Message::Pong(payload) => {
                self.prove(&payload);
                Ok(())
            }
            Message::Ping(_) => Ok(()),
            Message::Close(_) => Err(None),
        }
    }
}

/// When the token expires, in the time of timers. The wall clock is read here, at admission and renewal only.
fn deadline(edge: &Edge, caller: &Caller) -> Instant {
    let left = caller.expires_at.duration_since(edge.clock.now());
    // A year is further than any connection lives, and timers have a limit.
    let left = Duration::try_from(left).unwrap_or_default().min(Duration::from_secs(365 * 86_400));
    Instant::now() + left
}

/// What a failed read means.
pub fn fault(cause: axum::Error) -> Option<CloseCode> {
    use tokio_tungstenite::tungstenite::Error;
    let cause = cause.into_inner();
    match cause.downcast_ref::<Error>() {
        Some(Error::Capacity(_)) => Some(CloseCode::FrameTooLarge),
        Some(Error::Utf8(_) | Error::Protocol(_)) => Some(CloseCode::Malformed),
        _ => None,
    }
}
