//! A storm: most clients are cut off at once and come back with their cursors, while the rest goes on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use anyhow::Context;
use mio::{Interest, Token};

use crate::cli::bench::codec::{Ticket, Welcome};
use crate::cli::bench::frame::Inbox;

use super::drive::Engine;
use super::link::{Link, State};
use super::world::{Latencies, Trouble, World, latencies};

/// A client that was turned away waits so long, and up to twice that, before it dials again.
const PAUSE: Duration = Duration::from_millis(500);

/// How long after the window everybody may take to catch up; beyond it the run has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who is cut off, and how they come back.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Users from this number on.
    pub from: usize,
    /// They come back evenly spread over this time.
    pub window: Duration,
}

/// What is counted while they come back, in the time of the run.
#[derive(Debug)]
pub struct Tally {
    pub replayed: u64,
    caught_up: usize,
    last_connected: u64,
    last_caught_up: u64,
    catching_up: Latencies,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            replayed: 0,
            caught_up: 0,
            last_connected: 0,
            last_caught_up: 0,
            catching_up: latencies(),
        }
    }
}

/// How everybody came back.
#[derive(Debug)]
pub struct Returns {
    pub clients: usize,
    pub caught_up: usize,
    pub window: Duration,
    /// From the cut until the last one was connected again.
    pub last_connected: Duration,
    /// From the cut until the last one had caught up.
    pub last_caught_up: Duration,
    /// From dialling until everything was caught up with, of each client's last attempt.
    pub catching_up: Latencies,
    /// Messages that came before `caughtUp`.
    pub replayed: u64,
    /// Attempts that were refused or broke, by close code.
    pub turned_away: BTreeMap<String, u64>,
}

/// The state of a storm.
#[derive(Debug)]
pub struct Storm {
    cut: Cut,
    clients: usize,
    cut_at: u64,
    /// Who dials when, soonest first.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    turned_away: BTreeMap<String, u64>,
    given_up: bool,
}

impl Storm {
    pub fn new(cut: Cut) -> Self {
        Self {
            cut,
            clients: 0,
            cut_at: 0,
            due: BinaryHeap::new(),
            turned_away: BTreeMap::new(),
            given_up: false,
        }
    }

    /// Is the user one of those who are cut off?
    pub fn takes(&self, user: usize) -> bool {
        user >= self.cut.from
    }

    pub fn returns(self, tally: Tally) -> Returns {
        let since = |at: u64| Duration::from_nanos(at.saturating_sub(self.cut_at));
        Returns {
            clients: self.clients,
            caught_up: tally.caught_up,
            window: self.cut.window,
            last_connected: since(tally.last_connected),
            last_caught_up: since(tally.last_caught_up),
            catching_up: tally.catching_up,
            replayed: tally.replayed,
            turned_away: self.turned_away,
        }
    }
}

impl Engine {
    /// Cuts off whoever is to be, if this run has a storm, and decides when each dials again.
    pub(super) fn cut(&mut self) -> anyhow::Result<()> {
        let (now, users) = (self.world.now, self.connections.len());
        let Some(storm) = &mut self.storm else { return Ok(()) };
        storm.clients = users.saturating_sub(storm.cut.from);
        storm.cut_at = now;
        let apart = storm.cut.window.as_nanos() as u64 / storm.clients.max(1) as u64;
        for (place, user) in (storm.cut.from..users).enumerate() {
            let connection = &mut self.connections[user];
            let link = &mut connection.link;
            let Some(home) = &mut link.home else { continue };
            if link.state != State::Ready {
                continue;
            }
            home.away = true;
            if home.ticket.cursor.is_empty() {
                let seconds = self.settings.warmup.as_secs_f64();
                self.world.verifier.object(|| {
                    format!("user {user} got no cursor in the {seconds} s before the cut")
                });
            }
            self.poll.registry().deregister(&mut link.stream)?;
            link.cut()?;
            connection.inbox = Inbox::default();
            self.world.ready -= 1;
            storm.due.push(Reverse((now + apart * (place as u64 + 1), user)));
        }
        Ok(())
    }

    /// Dials for everybody whose time has come.
    pub(super) fn come_back(&mut self) -> anyhow::Result<()> {
        let now = self.world.now;
        let Some(storm) = &mut self.storm else { return Ok(()) };
        while let Some(Reverse((due, user))) = storm.due.peek().copied() {
            if due > now {
                break;
            }
            storm.due.pop();
            let link = &mut self.connections[user].link;
            link.dial(self.settings.address).with_context(|| format!("user {user} cannot dial"))?;
            if let Some(home) = &mut link.home {
                home.dialled = now;
            }
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut link.stream, Token(user), interest)?;
        }
        Ok(())
    }

    /// A connection has ended. If its client is on its way back it will try again, else it is lost.
    pub(super) fn try_again(&mut self, user: usize, trouble: &Trouble) -> anyhow::Result<bool> {
        let connection = &mut self.connections[user];
        let link = &mut connection.link;
        let away = link.home.as_ref().is_some_and(|home| home.away);
        let Some(storm) = self.storm.as_mut().filter(|_| away) else { return Ok(false) };
        if link.state == State::Ready {
            self.world.ready -= 1;
        }
        self.poll.registry().deregister(&mut link.stream)?;
        link.cut()?;
        connection.inbox = Inbox::default();
        let why = match trouble {
            Trouble::Closed(code, _) => code.to_string(),
            Trouble::Rejected(_) => "refused".to_owned(),
            _ => "broken".to_owned(),
        };
        *storm.turned_away.entry(why).or_default() += 1;
        // Spread by the user's number: as good as random, and the same in every run.
        let pause = PAUSE.as_nanos() as u64;
        let spread = (user as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) % pause;
        storm.due.push(Reverse((self.world.now + pause + spread, user)));
        Ok(true)
    }

    /// Does the load go on because somebody has not caught up?
    pub(super) fn awaits_somebody(&mut self) -> bool {
        let Some(storm) = &mut self.storm else { return false };
        let missing = storm.clients - self.world.returns.caught_up.min(storm.clients);
        if missing == 0 || storm.given_up {
            return false;
        }
        let deadline = storm.cut_at + (storm.cut.window + PATIENCE).as_nanos() as u64;
        storm.given_up = self.world.now > deadline;
        if storm.given_up {
            self.world.verifier.object(|| format!("{missing} clients never caught up"));
        }
        !storm.given_up
    }
}

impl World {
    /// A connection was welcomed, for the first time or again.
    pub(super) fn welcomed(&mut self, link: &mut Link, welcome: &Welcome) {
        let Some(home) = &mut link.home else { return };
        if !home.away {
            home.ticket = Ticket::begin(welcome);
            return;
        }
        self.returns.last_connected = self.now;
        if !home.ticket.is_honoured(self.protocol, welcome) {
            let user = link.user;
            self.verifier.object(|| format!("user {user} came back and was not recovered"));
        }
    }

    /// A client has everything that it missed.
    pub(super) fn caught_up(&mut self, link: &mut Link) {
        let Some(home) = link.home.as_mut().filter(|home| home.away) else { return };
        home.away = false;
        self.returns.caught_up += 1;
        self.returns.last_caught_up = self.now;
        let micros = self.now.saturating_sub(home.dialled) / 1000;
        self.returns.catching_up.saturating_record(micros);
    }
}
