//! The only role that talks to clients: REST, WebSocket and Socket.IO in, subjects out, and back.
//!
//! In: `http` and `ws` read requests, `messages` and `conversations` apply the rules, the bus publishes. Out:
//! the tail hands what the log holds to the `hub`, which queues it for connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::log::Log;
use crate::bus::publish::Publisher;
use crate::bus::{self, tail};
use crate::domain::clock::SharedClock;
use crate::domain::ids::Seq;
use crate::outbox::Outbox;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Sampler;

pub mod ahead;
pub mod arrivals;
pub mod auth;
pub mod behind;
pub mod blocks;
pub mod control;
pub mod conversations;
pub mod delivery;
pub mod erased;
pub mod error;
pub mod export;
pub mod flood;
pub mod freshness;
pub mod http;
pub mod hub;
pub mod limits;
pub mod media;
pub mod messages;
pub mod newcomers;
pub mod posting;
pub mod presence;
pub mod reactions;
pub mod reads;
pub mod reports;
pub mod rereading;
pub mod resume;
pub mod rounds;
pub mod schedule;
pub mod search;
pub mod signals;
pub mod standing;
pub mod start;
pub mod ws;

/// What an operator may set; 0 turns a limit off.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This process, as operators know it: its machine and its number there.
    pub process: String,
    pub max_content_chars: usize,
    pub max_group_participants: u32,
    pub max_connections_per_user: usize,
    pub max_frame_bytes: usize,
    pub max_queued_frames: usize,
    /// Conversations that a connection hears; the ones with the newest activity where a user has more.
    pub max_conversations_per_user: u32,
    /// New connections of this node in a second; more of them wait.
    pub connects_per_second: u32,
    /// After this no event stays in memory: the shortest time for which messages are kept, if there is one.
    pub kept_for: Option<Duration>,
    /// How long somebody counts as new here; zero: nobody does.
    pub new_for: Duration,
    /// How long after sending a message may be edited; zero for ever.
    pub edit_window: Duration,
    /// The server's ping; a peer that is silent for two of them is closed.
    pub heartbeat: Duration,
    /// How long a client may take to say who it is.
    pub opening_timeout: Duration,
    /// What is replayed of one stretch to somebody who was away.
    pub replay: resume::Limits,
    /// Those who come back and have to be read from the database, at a time.
    pub max_replays: usize,
    /// Clients of a draining node come back spread over this.
    pub drain_window: Duration,
    pub request_body_limit: usize,
    /// For a request's headers, and between two requests of a connection.
    pub header_timeout: Duration,
    pub cors_origins: Vec<String>,
    /// Whether `/metrics` is served on an address of its own and not to clients.
    pub metrics_elsewhere: bool,
}

/// Everything that a request needs.
pub struct Edge {
    pub settings: Settings,
    pub store: Store,
    pub auth: auth::Authenticator,
    pub limits: limits::Limits,
    /// Who may send links and files.
    pub newcomers: newcomers::Newcomers,
    pub standings: standing::Standings,
    pub blocks: Arc<blocks::Blocks>,
    pub hub: Arc<hub::Hub>,
    pub publisher: Publisher,
    /// The log on the connection for reads.
    pub log: Log,
    /// The connection for signals.
    pub signals: bus::Client,
    pub heads: freshness::Heads,
    pub arrivals: arrivals::Arrivals,
    pub reads: reads::Reads,
    pub deliveries: delivery::Deliveries,
    pub typing: signals::Typing,
    pub media: media::Media,
    pub exports: export::Exports,
    pub erased: erased::Erased,
    pub presence: Arc<presence::Presence>,
    /// How far Postgres is.
    pub persisted: watch::Receiver<Seq>,
    pub tail: watch::Receiver<tail::Status>,
    pub clock: SharedClock,
    pub metrics: Arc<Metrics>,
    /// Hands announcements of changes to the log.
    pub outbox: Outbox,
    pub gate: ws::admission::Gate,
    pub searches: search::Turns,
    /// Turns with the database for those who were away for long.
    pub replays: Semaphore,
    pub sampler: Sampler,
    /// Open sockets and what works for them; waited for at the end.
    pub sessions: TaskTracker,
    /// Set when the node is about to leave.
    pub draining: AtomicBool,
    /// Cancelled right after `draining` is set, for those who wait.
    pub leaving: CancellationToken,
    /// Cancelled when the last client has been seen off.
    pub finished: CancellationToken,
}

impl Edge {
    /// Is the node about to leave? Then new sends are better made elsewhere.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}
