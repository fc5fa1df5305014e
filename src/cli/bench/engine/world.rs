//! What all connections of a run share: the checker, the figures and the way a message is sent.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::cli::bench::codec::{self, Id, Incoming, Protocol, Request, Stamp};
use crate::cli::bench::frame::{self, FrameError};
use crate::cli::bench::verify::Verifier;

use super::link::{Link, Pending, State};
use super::storm::Tally;

/// Messages without an answer, all connections together. A closed loop stays far below; an open loop
/// that gets here asks for a rate that the server does not reach, and its figures would be worthless.
const MAX_IN_FLIGHT: usize = 100_000;

/// Latencies above a minute count as one.
const MAX_LATENCY_MICROS: u64 = 60_000_000;

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("closed by the server with {0} {1}")]
    Closed(u16, String),
    #[error("closed by the server without a word")]
    Ended,
    #[error("refused: {0}")]
    Rejected(String),
    #[error("{0}")]
    Protocol(String),
    #[error(
        "more than {MAX_IN_FLIGHT} messages are unanswered: the server does not reach this rate"
    )]
    Overrun,
}

/// Latencies in microseconds, to three digits.
pub type Latencies = Histogram<u64>;

/// An empty one.
pub fn latencies() -> Latencies {
    Latencies::new_with_bounds(1, MAX_LATENCY_MICROS, 3).expect("the bounds are constants")
}

/// Counters since the start of the load.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub sent: u64,
    pub accepted: u64,
    pub delivered: u64,
}

#[derive(Debug)]
pub struct World {
    pub protocol: Protocol,
    pub verifier: Verifier,
    pub counts: Counts,
    pub in_flight: usize,
    /// Are new messages to be sent?
    pub sending: bool,
    /// Do acknowledgements call for the next message at once?
    pub closed_loop: bool,
    /// Messages due before this are of the warm-up and stay out of the latencies.
    pub measure_from: u64,
    pub ack: Latencies,
    pub delivery: Latencies,
    pub refused: BTreeMap<String, u64>,
    pub ready: usize,
    pub returns: Tally,
    /// The time of the run, nanoseconds, as of the last read.
    pub now: u64,
    epoch: Instant,
    request: Request,
    conversations: Vec<Id>,
}

impl World {
    pub fn new(
        protocol: Protocol,
        closed_loop: bool,
        conversations: Vec<Id>,
        senders: usize,
        content_bytes: usize,
    ) -> Self {
        Self {
            protocol,
            verifier: Verifier::new(&conversations, senders),
            counts: Counts::default(),
            in_flight: 0,
            sending: false,
            closed_loop,
            measure_from: u64::MAX,
            ack: latencies(),
            delivery: latencies(),
            refused: BTreeMap::new(),
            ready: 0,
            returns: Tally::default(),
            now: 0,
            epoch: instant(),
            request: Request::new(protocol, content_bytes),
            conversations,
        }
    }

    /// Looks at the clock.
    pub fn tick(&mut self) {
        self.now = instant().duration_since(self.epoch).as_nanos() as u64;
    }

    /// A time of the run on the clock of the threads.
    pub fn at(&self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }

    /// Sends the link's next message, whose latency counts from `due`.
    pub fn send(&mut self, link: &mut Link, due: u64) -> Result<(), Trouble> {
        let Some(conversation) = link.target else { return Ok(()) };
        if self.in_flight >= MAX_IN_FLIGHT {
            return Err(Trouble::Overrun);
        }
        let stamp = Stamp { sender: link.user, number: link.next_number, due };
        link.write(self.request.fill(&self.conversations[conversation as usize], stamp))?;
        link.next_number += 1;
        link.pending.push_back(Pending { number: stamp.number, due });
        self.in_flight += 1;
        self.counts.sent += 1;
        Ok(())
    }

    /// Handles one text frame of a connection that is not ready yet.
    pub fn greeting(&mut self, link: &mut Link, text: &[u8], token: &str) -> Result<(), Trouble> {
        match codec::read(self.protocol, text).map_err(Trouble::Protocol)? {
            Incoming::Open => {
                let ticket = link.home.as_ref().filter(|home| home.away).map(|home| &home.ticket);
                let words = self.protocol.introduction(token, ticket);
                link.write(&frame::text(words.as_bytes()))?;
            }
            Incoming::Ready(welcome) => {
                self.ready += 1;
                link.state = State::Ready;
                self.welcomed(link, &welcome);
            }
            Incoming::Rejected(why) => return Err(Trouble::Rejected(why)),
            Incoming::Beat => link.write(&frame::text(b"3"))?,
            Incoming::Other => {}
            other => return Err(Trouble::Protocol(format!("{other:?} before the welcome"))),
        }
        Ok(())
    }

    /// Handles one text frame.
    pub fn text(&mut self, link: &mut Link, text: &[u8]) -> Result<(), Trouble> {
        let incoming = codec::read(self.protocol, text).map_err(Trouble::Protocol)?;
        if let Some(home) = &mut link.home {
            home.ticket.keep(self.protocol, text);
        }
        match incoming {
            Incoming::Message(head) => self.message(link, &head, text),
            Incoming::Accepted(number, head) => return self.accepted(link, number, &head),
            Incoming::Refused(number, code) => return self.refused(link, number, code),
            Incoming::Rejected(why) => return Err(Trouble::Rejected(why)),
            Incoming::Beat => link.write(&frame::text(b"3"))?,
            Incoming::CaughtUp => self.caught_up(link),
            Incoming::Missed(event) => {
                let user = link.user;
                self.verifier.object(|| format!("user {user} was told `{event}`"));
            }
            Incoming::Open | Incoming::Ready(_) | Incoming::Other => {}
        }
        Ok(())
    }

    fn message(&mut self, link: &Link, head: &codec::Head, text: &[u8]) {
        let verifier = &mut self.verifier;
        let seat = link.seats.iter().find(|s| *verifier.conversation(**s).1 == head.conversation);
        let Some(&seat) = seat else {
            let (user, id) = (link.user, String::from_utf8_lossy(&head.conversation).into_owned());
            verifier.object(|| format!("user {user} got a message of {id}, which it is not in"));
            return;
        };
        let due = verifier.received(seat, head.seq, &head.id, || Stamp::find(text));
        self.counts.delivered = verifier.delivered();
        if link.home.as_ref().is_some_and(|home| home.away) {
            // How long it was away says nothing about the service.
            self.returns.replayed += 1;
        } else if let Some(due) = due.filter(|due| *due >= self.measure_from) {
            self.delivery.saturating_record(self.now.saturating_sub(due) / 1000);
        }
    }

    fn accepted(
        &mut self,
        link: &mut Link,
        number: u32,
        head: &codec::Head,
    ) -> Result<(), Trouble> {
        let user = link.user;
        let (Some(pending), Some(conversation)) = (link.answered(number), link.target) else {
            self.verifier.object(|| format!("user {user}: message {number} was answered twice"));
            return Ok(());
        };
        self.in_flight -= 1;
        self.counts.accepted += 1;
        if self.conversations[conversation as usize] != head.conversation {
            self.verifier.object(|| format!("user {user}: message {number} went elsewhere"));
        }
        self.verifier.accepted(conversation, head.seq, &head.id);
        if pending.due >= self.measure_from {
            self.ack.saturating_record(self.now.saturating_sub(pending.due) / 1000);
        }
        self.proceed(link)
    }

    fn refused(&mut self, link: &mut Link, number: u32, code: String) -> Result<(), Trouble> {
        let user = link.user;
        if link.answered(number).is_none() {
            self.verifier.object(|| format!("user {user}: message {number} was answered twice"));
            return Ok(());
        }
        self.in_flight -= 1;
        self.verifier.refused(user, number);
        *self.refused.entry(code).or_default() += 1;
        self.proceed(link)
    }

    fn proceed(&mut self, link: &mut Link) -> Result<(), Trouble> {
        if self.closed_loop && self.sending { self.send(link, self.now) } else { Ok(()) }
    }

    /// The connection is gone: nothing of what it waited for will come.
    pub fn lost(&mut self, link: &mut Link, why: &Trouble) {
        let user = link.user;
        link.state = State::Closed;
        self.in_flight -= link.pending.len();
        for pending in link.pending.drain(..) {
            self.verifier.refused(user, pending.number);
            *self.refused.entry("unanswered".to_owned()).or_default() += 1;
        }
        for seat in &link.seats {
            self.verifier.abandoned(*seat);
        }
        self.verifier.object(|| format!("user {user}: connection lost: {why}"));
    }
}

/// The load generator measures real time by its nature.
pub fn instant() -> Instant {
    Instant::now()
}
