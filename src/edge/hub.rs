//! From the log and the signals to the connections of this node.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::RwLock;
use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use crate::bus::log::{Entry, LogEvent};
use crate::bus::signals::Signal;
use crate::bus::tail;
use crate::domain::ids::{ConversationId, Seq, UserId};
use crate::telemetry::metrics::{Metrics, Protocol};
use crate::wire::error::CloseCode;
use crate::wire::event::{Change, EventKind, splice_seq};

pub mod frames;
pub mod held;
pub mod queue;
pub mod registry;
pub mod ring;

use frames::{Event, ListUpdate, Shared};
use held::Held;
use queue::{Awake, Pushed, Queue};
use registry::{Admitted, Connection, Registry};
use ring::{Kept, Ring};

/// How long the fan-out waits for connections that the scheduler owes a turn: 500 of them take some 10 ms to write
/// a chunk each.
const OWED: Duration = Duration::from_millis(50);

/// Routes events to connections and keeps the recent ones.
pub struct Hub {
    epoch: String,
    registry: Registry,
    ring: RwLock<Ring>,
    awake: Awake,
    held: Held,
    metrics: Arc<Metrics>,
}

impl Hub {
    pub fn new(epoch: &str, ring: ring::Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            epoch: epoch.to_owned(),
            registry: Registry::default(),
            ring: RwLock::new(Ring::new(ring)),
            awake: Awake::default(),
            held: Held::default(),
            metrics,
        }
    }

    /// The first half of every cursor.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// A queue for a new connection, at most `limit` frames.
    pub fn queue(&self, limit: usize) -> Queue {
        Queue::new(limit, self.awake.clone())
    }

    /// Does something once the event at `seq` was routed to the connections of this node.
    pub fn after(&self, seq: Seq, action: held::Action) {
        self.held.after(seq, action);
    }

    /// Do answers wait for their events?
    pub fn holds_answers(&self) -> bool {
        !self.held.is_empty()
    }

    /// Lets the connections that were woken take what they were woken for.
    ///
    /// It ends after some time in any case: that they come is up to the scheduler, and events must not depend on
    /// its mood.
    async fn let_them_take(&self) {
        let began = tokio::time::Instant::now();
        while self.awake.load(Ordering::Relaxed) > 0 && began.elapsed() < OWED {
            tokio::task::yield_now().await;
        }
    }

    /// Who is connected and hears what.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Adds a connection; the oldest of its user gives way when there are more than `max`.
    pub fn admit(&self, connection: &Arc<Connection>, max: usize) -> Admitted {
        let admitted = self.registry.admit(connection, max);
        if let Some(displaced) = &admitted.displaced {
            displaced.queue.close(CloseCode::TooMany);
        }
        admitted
    }

    /// The data of a recent event.
    pub fn recent(&self, seq: Seq) -> Option<Bytes> {
        self.ring.read().get(seq).map(|kept| kept.data.clone())
    }

    /// Closes every connection once what waits for it is written.
    pub fn close_all(&self, code: CloseCode) {
        for connection in self.registry.all() {
            connection.queue.close(code);
        }
    }

    /// Passes a signal on to those who hear the conversation, or to the one user that it names.
    pub fn signal(&self, signal: &Signal) {
        let event =
            Event { name: &signal.event, cursor: None, data: &signal.payload, stored_at: 0 };
        let update = ListUpdate { kind: None, conversation: signal.conversation, updated_at: "" };
        let mut shared = Shared::default();
        let pass_on = |connection: &Arc<Connection>| {
            if signal.except_connection != Some(connection.id) {
                let frame = shared.of(connection.protocol, &event, &update);
                self.count(connection.queue.send(frame));
            }
        };
        match signal.only_user {
            Some(user) => self.registry.connections_of(user, pass_on),
            None => self.registry.receivers(signal.conversation, pass_on),
        }
    }

    fn route(&self, event: LogEvent, woken: &mut Vec<Arc<Connection>>) {
        if let Some(trace) = &event.trace {
            tracing::info!(trace, seq = event.seq, "routed");
        }
        let membership = Membership::of(&event);
        if let Some(membership) = &membership {
            membership.gained(|user| self.registry.gained(user, event.conversation));
        }
        let kept = keep(&event);
        if self.ring.read().is_void(&kept) {
            return;
        }
        let updated_at = || {
            let at = Timestamp::from_nanosecond(i128::from(event.stored_at));
            at.map(crate::wire::time::format).unwrap_or_default()
        };
        let mut list_time = String::new();
        let mut shared = Shared::default();
        self.registry.receivers(event.conversation, |connection| {
            if connection.protocol == Protocol::SocketIo && list_time.is_empty() {
                list_time = updated_at();
            }
            let frame = shared.of(
                connection.protocol,
                &Event {
                    name: event.kind.as_str(),
                    cursor: Some((&self.epoch, event.seq)),
                    data: &kept.data,
                    stored_at: event.stored_at,
                },
                &ListUpdate {
                    kind: Some(event.kind),
                    conversation: event.conversation,
                    updated_at: &list_time,
                },
            );
            let pushed = connection.queue.push(frame);
            self.count(pushed);
            if matches!(pushed, Pushed::First | Pushed::Overflow) {
                woken.push(connection.clone());
            }
        });
        if let Some(membership) = &membership {
            membership.lost(|user| self.registry.lost(user, event.conversation));
        }
        self.ring.write().push(kept);
    }

    fn count(&self, pushed: Pushed) {
        if pushed == Pushed::Overflow {
            self.metrics.queue_overflow.inc();
        }
    }
}

/// The tail's receiver; the one task that routes.
pub struct Fanout(pub Arc<Hub>);

impl tail::Receiver for Fanout {
    async fn deliver(&mut self, entries: Vec<Entry>) {
        let mut woken = Vec::new();
        let last = entries.last().map(tail::seq_of);
        for entry in entries {
            match entry {
                Ok(event) if is_object(&event.payload) => self.0.route(event, &mut woken),
                Ok(event) => tracing::debug!(seq = event.seq, "no JSON object; not routed"),
                // The persister parks it and says so.
                Err(malformed) => tracing::debug!(seq = malformed.seq, "not an event; not routed"),
            }
        }
        if let Some(last) = last {
            self.0.held.routed(last);
        }
        for connection in woken {
            connection.queue.wake();
        }
        self.0.let_them_take().await;
        let (events, bytes) = self.0.ring.read().size();
        self.0.metrics.ring_events.set(i64::try_from(events).unwrap_or(i64::MAX));
        self.0.metrics.ring_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn reattached(&mut self) {
        self.0.metrics.tail_restarts.inc();
        self.0.held.let_go();
    }
}

/// Frames are made around the payload as it is, so what is no JSON object would spoil every receiver's stream.
/// Looking at it without keeping anything takes half a microsecond for a usual message.
fn is_object(payload: &[u8]) -> bool {
    payload.first() == Some(&b'{') && serde_json::from_slice::<IgnoredAny>(payload).is_ok()
}

/// The event as the ring keeps it and clients get it.
fn keep(event: &LogEvent) -> Kept {
    #[derive(Deserialize)]
    struct Target {
        seq: Seq,
    }
    let data = match event.kind {
        EventKind::NewMessage => splice_seq(&event.payload, event.seq),
        _ => event.payload.clone(),
    };
    let target = match event.kind {
        EventKind::MessageUpdated | EventKind::MessageDeleted => {
            serde_json::from_slice::<Target>(&event.payload).ok().map(|t| t.seq)
        }
        _ => None,
    };
    Kept { seq: event.seq, kind: event.kind, data, target }
}

/// Who comes and who goes with an event.
struct Membership {
    change: Change,
    users: Vec<UserId>,
}

impl Membership {
    fn of(event: &LogEvent) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Changed {
            change: Change,
            #[serde(default)]
            user_ids: Vec<Uuid>,
        }
        if event.kind != EventKind::ConversationUpdated {
            return None;
        }
        let changed: Changed = serde_json::from_slice(&event.payload).ok()?;
        Some(Self { change: changed.change, users: changed.user_ids })
    }

    fn gained(&self, apply: impl Fn(UserId)) {
        if matches!(self.change, Change::Created | Change::ParticipantsAdded) {
            self.users.iter().copied().for_each(apply);
        }
    }

    fn lost(&self, apply: impl Fn(UserId)) {
        if self.change == Change::ParticipantsRemoved {
            self.users.iter().copied().for_each(apply);
        }
    }
}

/// What a connection's owner calls at its end, however it ends.
pub struct Attached {
    hub: Arc<Hub>,
    connection: Arc<Connection>,
    /// What the connection asked to hear. The user's own list need not hold it: that list has a limit, and the
    /// event that makes somebody a participant may still be on its way. As many as the user has conversations,
    /// for those who ask for each.
    asked_for: Vec<ConversationId>,
}

impl Attached {
    pub fn new(hub: Arc<Hub>, connection: Arc<Connection>) -> Self {
        hub.metrics.connections.of(connection.protocol).inc();
        Self { hub, connection, asked_for: Vec::new() }
    }

    /// A conversation that this connection asked to hear, or no longer to hear.
    pub fn hears(&mut self, conversation: ConversationId, on: bool) {
        self.asked_for.retain(|other| *other != conversation);
        if on {
            self.asked_for.push(conversation);
            self.hub.registry.hear(conversation, &self.connection);
        } else {
            self.hub.registry.unhear(conversation, |other| other.id == self.connection.id);
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        for conversation in &self.asked_for {
            self.hub.registry.unhear(*conversation, |other| other.id == self.connection.id);
        }
        self.hub.registry.remove(&self.connection);
        self.hub.metrics.connections.of(self.connection.protocol).dec();
    }
}
