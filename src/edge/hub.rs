//! From the log and the signals to the connections of this node.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::bus::log::{Entry, LogEvent};
use crate::bus::signals::Signal;
use crate::bus::tail;
use crate::domain::clock::SharedClock;
use crate::domain::ids::{ConversationId, MessageId, Seq};
use crate::telemetry::metrics::Metrics;
use crate::wire::error::CloseCode;

pub mod event;
pub mod frames;
pub mod held;
pub mod posting;
pub mod queue;
pub mod registry;
pub mod replay;
pub mod ring;
pub mod trail;

use event::{Event, Origin, Ruling};
use frames::Shared;
use held::Held;
use posting::Restricted;
use queue::{Awake, Pushed, Queue};
use registry::{Admitted, Connection, Registry};
use ring::{Ring, Span};
use trail::Trail;

/// How long the fan-out waits for connections that the scheduler owes a turn: 500 of them take some 10 ms to write
/// a chunk each.
const OWED: Duration = Duration::from_millis(50);

/// How often the ring is looked through for what is too old: the retention is hours at least.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Routes events to connections and keeps the recent ones.
pub struct Hub {
    epoch: String,
    registry: Registry,
    ring: RwLock<Ring>,
    awake: Awake,
    held: Held,
    trail: Trail,
    restricted: Restricted,
    clock: SharedClock,
    metrics: Arc<Metrics>,
}

impl Hub {
    pub fn new(epoch: &str, ring: Ring, clock: SharedClock, metrics: Arc<Metrics>) -> Self {
        Self {
            epoch: epoch.to_owned(),
            registry: Registry::default(),
            ring: RwLock::new(ring),
            awake: Awake::default(),
            held: Held::default(),
            trail: Trail::default(),
            restricted: Restricted::default(),
            clock,
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

    /// What this node remembers of the latest events.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Who is connected and hears what.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Where not everybody may write at any time.
    pub fn restricted(&self) -> &Restricted {
        &self.restricted
    }

    /// Adds a connection; the oldest of its user gives way when there are more than `max`.
    pub fn admit(&self, connection: &Arc<Connection>, max: usize) -> Admitted {
        let admitted = self.registry.admit(connection, max);
        if let Some(displaced) = &admitted.displaced {
            displaced.queue.close(CloseCode::TooMany);
        }
        admitted
    }

    /// Forgets what is older than messages are kept, until cancelled: it may have been removed everywhere else. Who comes back with
    /// an older cursor is served by Postgres.
    pub async fn forget_the_old(&self, kept_for: Option<Duration>, stop: CancellationToken) {
        let Some(kept_for) = kept_for else { return stop.cancelled().await };
        let mut ticks = tokio::time::interval(FORGET_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let before = self.clock.now().checked_sub(kept_for).unwrap_or(Timestamp::MIN);
            let before = i64::try_from(before.as_nanosecond()).unwrap_or(i64::MIN);
            self.ring.write().forget_before(before);
        }
    }

    /// The data of a recent event.
    pub fn recent(&self, seq: Seq) -> Option<Bytes> {
        self.ring.read().get(seq).map(|event| event.data.clone())
    }

    /// The conversation and the place of a recent message.
    pub fn whereabouts(&self, id: MessageId) -> Option<(ConversationId, Seq)> {
        self.ring.read().whereabouts(id)
    }

    /// A recent message and its edits, in order; if it was deleted, its tombstone.
    pub fn message(&self, id: MessageId) -> Vec<Event> {
        self.ring.read().message(id)
    }

    /// When the log stored the first event behind `seq`, in nanoseconds since 1970.
    pub fn stored_behind(&self, seq: Seq) -> Option<i64> {
        self.ring.read().first_behind(seq).map(|event| event.origin.stored_at)
    }

    /// What happened in a conversation behind `after`, up to and with `until`; `None` when some of it is no
    /// longer kept.
    pub fn since(
        &self,
        conversation: ConversationId,
        after: Seq,
        until: Seq,
    ) -> Option<Vec<Event>> {
        let ring = self.ring.read();
        let span = Span { conversation, after, until };
        ring.covers(after).then(|| ring.collect(&[span]))
    }

    /// Closes every connection once what waits for it is written.
    pub fn close_all(&self, code: CloseCode) {
        for connection in self.registry.all() {
            connection.queue.close(code);
        }
    }

    /// Passes a signal on to those who hear the conversation, or to the users that it names.
    pub fn signal(&self, signal: &Signal) {
        let event = frames::Event::passing(&signal.event, &signal.payload);
        let mut shared = Shared::default();
        let pass_on = |connection: &Arc<Connection>| {
            let is_excepted = signal.except_connection == Some(connection.id)
                || signal.except_users.contains(&connection.user);
            if !is_excepted {
                let frame = shared.of(connection.protocol, &event);
                self.count(connection.queue.send(frame));
            }
        };
        if signal.only_users.is_empty() {
            self.registry.receivers(signal.conversation, pass_on);
        } else {
            let mut pass_on = pass_on;
            for user in &signal.only_users {
                self.registry.connections_of(*user, &mut pass_on);
            }
        }
    }

    /// What comes is in the ring before anyone hears it, so that whoever goes live behind the ring's end misses
    /// nothing.
    fn route(&self, event: &LogEvent, now: i64, woken: &mut Vec<Arc<Connection>>) {
        if let Some(trace) = &event.trace {
            tracing::info!(trace, seq = event.seq, "routed");
        }
        let Some(event) = Event::read(event) else {
            return tracing::debug!(seq = event.seq, "no event; not routed");
        };
        let (origin, membership) = (event.origin, event.membership.clone());
        let gained = membership.iter().filter(|m| m.gained).flat_map(|m| &m.users);
        gained.for_each(|user| self.registry.gained(*user, origin.conversation));
        self.mind(&event);
        let Some(mut event) = self.ring.write().push(event) else { return };
        if event.expires_at.is_some() {
            // It may have taken long to get here.
            let Some(shown) = event.shown_at(self.clock.now()) else { return };
            event = shown;
        }
        let logged = frames::Event::logged(&self.epoch, origin, &event.data);
        let mut shared = Shared::default();
        let mut connections = 0;
        self.registry.receivers(origin.conversation, |connection| {
            connections += 1;
            let pushed = connection.queue.push(shared.of(connection.protocol, &logged));
            self.count(pushed);
            if matches!(pushed, Pushed::First | Pushed::Overflow) {
                woken.push(connection.clone());
            }
        });
        self.trail.routed(origin.seq, now, connections);
        let lost = membership.iter().filter(|m| !m.gained).flat_map(|m| &m.users);
        lost.for_each(|user| self.registry.lost(*user, origin.conversation));
    }

    /// Keeps up what sends are checked against.
    fn mind(&self, event: &Event) {
        let Origin { conversation, sender, stored_at, .. } = event.origin;
        if let Some(sender) = sender {
            self.restricted.wrote(conversation, sender, event.id, stored_at);
        }
        match event.ruling.as_deref() {
            Some(Ruling::Posting(posting)) => self.restricted.set(conversation, *posting),
            Some(Ruling::Roles(users)) => self.restricted.roles_changed(conversation, users),
            None => {}
        }
        if let Some(membership) = event.membership.as_deref() {
            self.restricted.roles_changed(conversation, &membership.users);
        }
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
        let now = self.0.clock.now().as_millisecond();
        for entry in entries {
            match entry {
                Ok(event) => self.0.route(&event, now, &mut woken),
                // The persister parks it and says so.
                Err(malformed) => tracing::debug!(seq = malformed.seq, "not an event; not routed"),
            }
        }
        if let Some(last) = last {
            self.0.ring.write().reached(last);
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
