//! The thread's loop: phases, deadlines and sockets.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, bail};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use crate::cli::bench::frame;
use crate::cli::bench::verify::SeatId;

use super::exchange::exchange;
use super::link::{Connection, Home, Link, State};
use super::pacer::Pacer;
use super::storm::Storm;
use super::world::{Counts, Trouble, World};
use super::{Command, Load, Milestone, Outcome, Progress, Settings, User, WAKER};

/// Connections that are being opened at once: enough to keep two cores busy, far below the accept
/// backlog of 1,024 that servers have.
const OPENING: usize = 128;

/// How long connecting may make no progress at all.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// How long the last deliveries may take after the end of the load.
const SETTLE_PATIENCE: Duration = Duration::from_secs(30);

/// One read fetches at most so much; group messages of several frames fit many times.
const BUFFER_BYTES: usize = 64 << 10;

/// The longest the thread sleeps: progress and deadlines are looked at this often.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    /// Connected, waits for [`Command::Start`].
    Resting,
    Warming,
    Measuring,
    Draining,
    /// Still listens for what must not come, until [`Command::Finish`].
    Listening,
}

#[derive(Debug)]
pub struct Engine {
    pub(super) settings: Settings,
    pub(super) poll: Poll,
    waker: Arc<mio::Waker>,
    reached: tokio::sync::mpsc::Sender<Milestone>,
    progress: Arc<Progress>,
    pub(super) world: World,
    seats: Vec<Box<[SeatId]>>,
    pub(super) connections: Vec<Connection>,
    pub(super) storm: Option<Storm>,
    senders: Vec<usize>,
    phase: Phase,
    /// When the phase is over, or given up.
    until: u64,
    /// The open loop's next message.
    next_due: u64,
    next_sender: usize,
    pacer: Option<Pacer>,
    /// At the start and at the end of the window.
    marks: [(u64, Counts); 2],
    settled: Counts,
}

impl Engine {
    pub fn new(
        mut settings: Settings,
        poll: Poll,
        reached: tokio::sync::mpsc::Sender<Milestone>,
        progress: Arc<Progress>,
        waker: &Arc<mio::Waker>,
    ) -> Self {
        let mut world = World::new(
            settings.protocol,
            matches!(settings.load, Load::Closed { .. }),
            std::mem::take(&mut settings.conversations),
            settings.users.len(),
            settings.content_bytes,
        );
        let seat = |(user, it): (usize, &User)| {
            it.conversations.iter().map(|c| world.verifier.seat(user as u32, *c)).collect()
        };
        let seats = settings.users.iter().enumerate().map(seat).collect();
        let senders = (0..settings.users.len()).filter(|u| settings.users[*u].target.is_some());
        Self {
            senders: senders.collect(),
            waker: Arc::clone(waker),
            storm: settings.storm.map(Storm::new),
            settings,
            poll,
            reached,
            progress,
            world,
            seats,
            connections: Vec::new(),
            phase: Phase::Connecting,
            until: CONNECT_PATIENCE.as_nanos() as u64,
            next_due: 0,
            next_sender: 0,
            pacer: None,
            marks: Default::default(),
            settled: Counts::default(),
        }
    }

    pub fn run(&mut self, commands: &mpsc::Receiver<Command>) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            self.world.tick();
            self.step()?;
            match commands.try_recv() {
                Ok(Command::Start) => self.begin()?,
                Ok(Command::Finish) | Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
                Err(mpsc::TryRecvError::Empty) => {}
            }
            let left = Duration::from_nanos(self.until.saturating_sub(self.world.now));
            match self.poll.poll(&mut events, Some(left.min(LONGEST_WAIT))) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in events.iter().filter(|e| e.token() != WAKER) {
                self.serve(event, &mut buffer)?;
            }
        }
    }

    /// Reads and writes what the socket is ready for.
    fn serve(&mut self, event: &Event, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
        let user = event.token().0;
        let connection = &mut self.connections[user];
        if matches!(connection.link.state, State::Closed | State::Away) {
            return Ok(());
        }
        let ready = self.world.ready;
        let token = &self.settings.users[user].token;
        let served =
            exchange(&mut self.world, connection, event, buffer, &self.settings.host, token);
        let Err(trouble) = served else {
            if self.phase == Phase::Connecting && self.world.ready > ready {
                // Progress: the patience begins anew.
                self.until = self.world.now + CONNECT_PATIENCE.as_nanos() as u64;
            }
            return Ok(());
        };
        if self.phase == Phase::Connecting || matches!(trouble, Trouble::Overrun) {
            let text = format!("connection of user {user} to {}", self.settings.address);
            return Err(trouble).context(text);
        }
        if self.try_again(user, &trouble)? {
            return Ok(());
        }
        let link = &mut self.connections[user].link;
        self.poll.registry().deregister(&mut link.stream)?;
        self.world.lost(link, &trouble);
        Ok(())
    }

    /// Moves on when the phase is over, and does what is due in it.
    fn step(&mut self) -> anyhow::Result<()> {
        let now = self.world.now;
        self.publish_progress();
        if self.phase == Phase::Measuring && now >= self.until && self.awaits_somebody() {
            self.until = now + LONGEST_WAIT.as_nanos() as u64;
        }
        match self.phase {
            Phase::Connecting => self.connect(),
            Phase::Resting | Phase::Listening => {
                self.until = now + LONGEST_WAIT.as_nanos() as u64;
                Ok(())
            }
            Phase::Warming | Phase::Measuring if now < self.until => {
                self.send_due()?;
                self.come_back()
            }
            Phase::Warming => {
                self.cut()?;
                self.world.measure_from = now;
                self.marks[0] = (now, self.world.counts);
                self.enter(Phase::Measuring, self.settings.duration);
                self.report(Milestone::Measuring)
            }
            Phase::Measuring => {
                self.world.sending = false;
                self.pacer = None;
                self.marks[1] = (now, self.world.counts);
                self.enter(Phase::Draining, SETTLE_PATIENCE);
                self.report(Milestone::Ended)
            }
            Phase::Draining => self.drain(),
        }
    }

    fn enter(&mut self, phase: Phase, lasting: Duration) {
        self.phase = phase;
        self.until = self.world.now + lasting.as_nanos() as u64;
    }

    fn report(&mut self, milestone: Milestone) -> anyhow::Result<()> {
        // The channel has room for every milestone there is.
        self.reached.try_send(milestone).context("nobody waits for the load any more")
    }

    fn publish_progress(&self) {
        let Counts { accepted, delivered, .. } = self.world.counts;
        self.progress.connected.store(self.world.ready as u64, Ordering::Relaxed);
        self.progress.accepted.store(accepted, Ordering::Relaxed);
        self.progress.delivered.store(delivered, Ordering::Relaxed);
    }

    fn connect(&mut self) -> anyhow::Result<()> {
        let (ready, all) = (self.world.ready, self.settings.users.len());
        if ready == all {
            self.enter(Phase::Resting, LONGEST_WAIT);
            return self.report(Milestone::Connected(Duration::from_nanos(self.world.now)));
        }
        if self.world.now >= self.until {
            bail!("only {ready} of {all} connections are ready, and nothing happens any more");
        }
        while self.connections.len() < all && self.connections.len() - ready < OPENING {
            let user = self.connections.len();
            let seats = std::mem::take(&mut self.seats[user]);
            let target = self.settings.users[user].target;
            let mut link = Link::open(self.settings.address, user as u32, seats, target)
                .with_context(|| format!("cannot connect to {}", self.settings.address))?;
            link.home =
                self.storm.as_ref().filter(|s| s.takes(user)).map(|_| Box::<Home>::default());
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut link.stream, Token(user), interest)?;
            self.connections.push(Connection { inbox: frame::Inbox::default(), link });
        }
        Ok(())
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        self.world.sending = true;
        self.enter(Phase::Warming, self.settings.warmup);
        let now = self.world.now;
        match self.settings.load {
            Load::Silent => {}
            Load::Open { rate } => {
                self.next_due = now;
                let first = self.world.at(now);
                self.pacer = Some(Pacer::start(first, rate, Arc::clone(&self.waker))?);
            }
            Load::Closed { in_flight } => {
                for _ in 0..in_flight {
                    for at in 0..self.senders.len() {
                        self.send(self.senders[at], now)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends what the open loop's schedule asks for by now.
    fn send_due(&mut self) -> anyhow::Result<()> {
        let Load::Open { rate } = self.settings.load else { return Ok(()) };
        let interval = (1e9 / rate) as u64;
        while self.next_due <= self.world.now && !self.senders.is_empty() {
            let sender = self.senders[self.next_sender];
            self.next_sender = (self.next_sender + 1) % self.senders.len();
            self.send(sender, self.next_due)?;
            self.next_due += interval;
        }
        Ok(())
    }

    fn send(&mut self, user: usize, due: u64) -> anyhow::Result<()> {
        let link = &mut self.connections[user].link;
        if link.state == State::Closed {
            return Ok(());
        }
        match self.world.send(link, due) {
            Err(Trouble::Overrun) => Err(Trouble::Overrun.into()),
            Err(trouble) => {
                self.poll.registry().deregister(&mut link.stream)?;
                self.world.lost(link, &trouble);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn drain(&mut self) -> anyhow::Result<()> {
        let late = self.world.now >= self.until;
        if !late && (self.world.in_flight > 0 || !self.world.verifier.settled()) {
            return Ok(());
        }
        if late {
            let missing = self.world.in_flight;
            self.world.verifier.object(|| {
                let seconds = SETTLE_PATIENCE.as_secs();
                format!("not settled {seconds} s after the end; {missing} messages unanswered")
            });
        }
        self.settled = self.world.counts;
        self.enter(Phase::Listening, LONGEST_WAIT);
        self.report(Milestone::Settled(self.world.verifier.newest()))
    }

    pub fn outcome(&mut self) -> Outcome {
        let [(from, first), (until, last)] = self.marks;
        let empty = World::new(self.settings.protocol, false, Vec::new(), 0, 0);
        let world = std::mem::replace(&mut self.world, empty);
        Outcome {
            window: Duration::from_nanos(until - from),
            accepted: last.accepted - first.accepted,
            delivered: last.delivered - first.delivered,
            accepted_in_all: self.settled.accepted.saturating_sub(first.accepted),
            delivered_in_all: self.settled.delivered.saturating_sub(first.delivered),
            sent: world.counts.sent,
            ack: world.ack,
            delivery: world.delivery,
            refused: world.refused,
            returns: self.storm.take().map(|storm| storm.returns(world.returns)),
            objections: world.verifier.finish(),
        }
    }
}
