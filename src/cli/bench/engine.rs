//! The load itself: one thread, one `epoll`, all connections.
//!
//! The generator shares the machine with what it measures, so it does as little as it can: one read a
//! wake into a buffer that all connections share, frames handled where they lie, requests written
//! from a prebuilt frame. The thread runs through phases and reports each [`Milestone`]; it is told
//! when to start the load and when to leave, so that the caller can look at the servers in between.

mod drive;
mod exchange;
mod link;
mod pacer;
mod storm;
mod world;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use mio::{Poll, Token, Waker};

use super::codec::{Id, Protocol};
use super::verify::Objections;
use drive::Engine;
pub use link::upgraded;
pub use storm::{Cut, Returns};
pub use world::{Latencies, latencies};

const WAKER: Token = Token(usize::MAX);

/// How messages are sent.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// Each sender keeps so many messages in flight.
    Closed { in_flight: u32 },
    /// So many messages a second on a fixed schedule, whatever the answers.
    Open { rate: f64 },
    /// Nothing: the connections only stay.
    Silent,
}

/// One user, who has one connection.
#[derive(Debug)]
pub struct User {
    pub token: String,
    /// The conversations the user is in, by their place in [`Settings::conversations`].
    pub conversations: Vec<u32>,
    /// The one it sends to, if it sends.
    pub target: Option<u32>,
}

#[derive(Debug)]
pub struct Settings {
    pub address: SocketAddr,
    /// For the `Host` header.
    pub host: String,
    pub protocol: Protocol,
    pub users: Vec<User>,
    pub conversations: Vec<Id>,
    pub load: Load,
    /// Who is cut off when the window begins, if anybody.
    pub storm: Option<Cut>,
    pub warmup: Duration,
    pub duration: Duration,
    pub content_bytes: usize,
}

/// What has just been reached.
#[derive(Debug)]
pub enum Milestone {
    /// Everybody is connected, after so long.
    Connected(Duration),
    /// The warm-up is over, the measured window begins.
    Measuring,
    /// No new messages are sent.
    Ended,
    /// Everything was delivered, or the wait for it was given up. Per conversation: its id and the
    /// `seq` and id of its newest message.
    Settled(Vec<(Id, u64, Id)>),
}

#[derive(Debug)]
enum Command {
    Start,
    Finish,
}

/// What the thread saw.
#[derive(Debug)]
pub struct Outcome {
    pub window: Duration,
    /// Within the window.
    pub accepted: u64,
    pub delivered: u64,
    /// From the start of the window until everything had settled.
    pub accepted_in_all: u64,
    pub delivered_in_all: u64,
    /// The whole run.
    pub sent: u64,
    pub ack: Latencies,
    pub delivery: Latencies,
    pub refused: BTreeMap<String, u64>,
    /// Of those who were cut off.
    pub returns: Option<Returns>,
    pub objections: Objections,
}

/// Figures for a progress bar.
#[derive(Debug, Default)]
pub struct Progress {
    pub connected: AtomicU64,
    pub accepted: AtomicU64,
    pub delivered: AtomicU64,
}

/// The running thread.
#[derive(Debug)]
pub struct Handle {
    /// At most four milestones are ever reported.
    pub milestones: tokio::sync::mpsc::Receiver<Milestone>,
    pub progress: Arc<Progress>,
    commands: mpsc::Sender<Command>,
    waker: Arc<Waker>,
    thread: JoinHandle<anyhow::Result<Outcome>>,
}

impl Handle {
    /// Starts the thread, which begins to connect.
    pub fn spawn(settings: Settings) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (commands, received) = mpsc::channel();
        let (reached, milestones) = tokio::sync::mpsc::channel(4);
        let progress = Arc::new(Progress::default());
        let mut engine = Engine::new(settings, poll, reached, Arc::clone(&progress), &waker);
        let thread = std::thread::Builder::new()
            .name("load".into())
            .spawn(move || engine.run(&received).map(|()| engine.outcome()))?;
        Ok(Self { milestones, progress, commands, waker, thread })
    }

    /// The load may begin.
    pub fn start(&self) -> anyhow::Result<()> {
        self.command(Command::Start)
    }

    fn command(&self, command: Command) -> anyhow::Result<()> {
        // When the thread has ended, joining it tells why.
        self.commands.send(command).ok();
        self.waker.wake().context("cannot wake the load thread")
    }

    /// Ends the thread, or learns why it ended.
    pub fn finish(self) -> anyhow::Result<Outcome> {
        self.command(Command::Finish)?;
        self.thread.join().map_err(|_| anyhow::anyhow!("the load thread panicked"))?
    }
}
