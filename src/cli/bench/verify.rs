//! The checker: nothing missing, doubled or out of order at any receiver, and one order for all.
//!
//! Whoever receives a message of a conversation first appends it to that conversation's log; everybody
//! else must then receive exactly what the log holds, entry by entry. That compares all observers with
//! each other at the price of one comparison a delivery, and the log is trimmed behind the slowest
//! observer, so memory follows how far observers are apart and not how much was sent.
//!
//! What is appended is checked once: `seq` ascends, no id comes twice, the numbers of each sender
//! ascend without a hole, and a digest over all appended (seq, id) equals the one over all
//! acknowledgements.

mod senders;

use std::collections::VecDeque;

use super::codec::{Id, Stamp};
use senders::Senders;

/// How far observers of one conversation may be apart: 65,536 entries of 64 bytes are 4 MiB. A server
/// keeps 512 frames for a connection, so whoever is further behind than this has lost something.
const MAX_LOG_ENTRIES: usize = 65_536;

/// Trimming looks at every observer, so it happens once in so many appended messages.
const TRIM_EVERY: u64 = 1024;

/// Objections that are written out; the rest is counted.
const MAX_OBJECTIONS: usize = 20;

/// What was objected to.
#[derive(Debug, Default)]
pub struct Objections {
    /// The first few, in words.
    pub texts: Vec<String>,
    pub count: u64,
}

impl Objections {
    pub fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.texts.len() < MAX_OBJECTIONS {
            self.texts.push(text());
        }
    }
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    id: Id,
    due: u64,
    /// The user who received it first.
    first: u32,
}

/// One conversation: what was received, in the order of whoever was first.
#[derive(Debug)]
struct Log {
    id: Id,
    entries: VecDeque<Entry>,
    /// How many entries were trimmed.
    base: u64,
    seats: Vec<u32>,
    /// Seats that are still compared.
    live: u64,
    newest: Option<(u64, Id)>,
    seen: Tally,
    accepted: Tally,
}

impl Log {
    fn length(&self) -> u64 {
        self.base + self.entries.len() as u64
    }
}

/// A count, and a digest that does not depend on the order.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    count: u64,
    digest: u64,
}

impl Tally {
    fn add(&mut self, seq: u64, id: &Id) {
        let word = |hash: u64, bytes: &[u8]| {
            let word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
        };
        self.count += 1;
        self.digest = self.digest.wrapping_add(id.chunks(8).fold(seq, word));
    }
}

/// One user's view of one conversation.
#[derive(Debug)]
struct Seat {
    user: u32,
    log: u32,
    /// Entries of the log that were received.
    position: u64,
    last_seq: u64,
    /// Set with the first objection: what follows would only repeat it.
    broken: bool,
}

/// A place from which one user observes one conversation.
pub type SeatId = u32;

#[derive(Debug)]
pub struct Verifier {
    logs: Vec<Log>,
    seats: Vec<Seat>,
    senders: Senders,
    delivered: u64,
    expected: u64,
    refused: u64,
    objections: Objections,
}

impl Verifier {
    /// Conversations by their ids; senders are numbered from zero.
    pub fn new(conversations: &[Id], senders: usize) -> Self {
        let log = |id: &Id| Log {
            id: *id,
            entries: VecDeque::new(),
            base: 0,
            seats: Vec::new(),
            live: 0,
            newest: None,
            seen: Tally::default(),
            accepted: Tally::default(),
        };
        Self {
            logs: conversations.iter().map(log).collect(),
            seats: Vec::new(),
            senders: Senders::new(senders),
            delivered: 0,
            expected: 0,
            refused: 0,
            objections: Objections::default(),
        }
    }

    /// Seats `user` in a conversation, before any message is sent.
    pub fn seat(&mut self, user: u32, conversation: u32) -> SeatId {
        let id = self.seats.len() as u32;
        let log = &mut self.logs[conversation as usize];
        log.seats.push(id);
        log.live += 1;
        self.seats.push(Seat { user, log: conversation, position: 0, last_seq: 0, broken: false });
        id
    }

    /// The conversation that is observed from a seat.
    pub fn conversation(&self, seat: SeatId) -> (u32, &Id) {
        let log = self.seats[seat as usize].log;
        (log, &self.logs[log as usize].id)
    }

    /// A message arrived at a seat. `stamp` is only asked for when this is the first seat it reaches.
    ///
    /// Answers when the message was due, unless the seat is broken.
    pub fn received(
        &mut self,
        seat: SeatId,
        seq: u64,
        id: &Id,
        stamp: impl FnOnce() -> Option<Stamp>,
    ) -> Option<u64> {
        let view = &self.seats[seat as usize];
        let log = &self.logs[view.log as usize];
        if view.broken {
            return None;
        }
        if seq <= view.last_seq {
            let (last, again) =
                (view.last_seq, if seq == view.last_seq { "again" } else { "late" });
            self.breaks(seat, || format!("got seq {seq} {again}, after seq {last}"));
            return None;
        }
        let due = if view.position == log.length() {
            let Some(stamp) = stamp() else {
                self.objections.add(|| format!("seq {seq} was not sent by this run"));
                return None;
            };
            self.append(seat, seq, id, stamp)
        } else {
            let entry = &log.entries[(view.position - log.base) as usize];
            if entry.seq != seq || entry.id != *id {
                let why = differs(entry, seq, id);
                self.breaks(seat, || why);
                return None;
            }
            entry.due
        };
        let view = &mut self.seats[seat as usize];
        view.position += 1;
        view.last_seq = seq;
        self.delivered += 1;
        Some(due)
    }

    fn append(&mut self, seat: SeatId, seq: u64, id: &Id, stamp: Stamp) -> u64 {
        let view = &self.seats[seat as usize];
        let (user, place) = (view.user, view.log as usize);
        self.senders.stored(stamp, seq, id, user, &mut self.objections);
        let log = &mut self.logs[place];
        log.entries.push_back(Entry { seq, id: *id, due: stamp.due, first: user });
        log.newest = Some((seq, *id));
        log.seen.add(seq, id);
        self.expected += log.live;
        if log.length().is_multiple_of(TRIM_EVERY) {
            self.trim(place);
        }
        stamp.due
    }

    fn trim(&mut self, place: usize) {
        let log = &self.logs[place];
        let floor = log.length().saturating_sub(MAX_LOG_ENTRIES as u64);
        let live = |seat: &&u32| !self.seats[**seat as usize].broken;
        let position = |seat: &u32| self.seats[*seat as usize].position;
        let lost: Vec<u32> =
            log.seats.iter().filter(live).filter(|s| position(s) < floor).copied().collect();
        let least = log.seats.iter().filter(live).map(position).min();
        let keep_from = least.unwrap_or(log.length()).max(floor);
        for seat in lost {
            self.breaks(seat, || format!("is more than {MAX_LOG_ENTRIES} messages behind"));
        }
        let log = &mut self.logs[place];
        log.entries.drain(..(keep_from - log.base) as usize);
        log.base = keep_from;
    }

    fn breaks(&mut self, seat: SeatId, why: impl FnOnce() -> String) {
        self.abandoned(seat);
        let view = &self.seats[seat as usize];
        let (user, id) = (view.user, &self.logs[view.log as usize].id);
        self.objections.add(|| format!("user {user} in {}: {}", text(id), why()));
    }

    /// The seat's connection is gone: nothing more is expected to arrive there.
    pub fn abandoned(&mut self, seat: SeatId) {
        let view = &mut self.seats[seat as usize];
        let log = &mut self.logs[view.log as usize];
        if !std::mem::replace(&mut view.broken, true) {
            log.live -= 1;
            self.expected -= log.length() - view.position;
        }
    }

    /// The server acknowledged a message of the conversation.
    pub fn accepted(&mut self, conversation: u32, seq: u64, id: &Id) {
        self.logs[conversation as usize].accepted.add(seq, id);
    }

    /// The server refused a message, or never answered: it may or may not have been stored.
    pub fn refused(&mut self, sender: u32, number: u32) {
        self.refused += 1;
        self.senders.refused(sender, number);
    }

    /// Something else that must not happen, such as a connection that was closed.
    pub fn object(&mut self, text: impl FnOnce() -> String) {
        self.objections.add(text);
    }

    /// Deliveries so far, all seats together.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Has every seat received everything that any seat has received, and all that was acknowledged?
    pub fn settled(&self) -> bool {
        self.delivered >= self.expected
            && self.logs.iter().all(|log| log.live == 0 || log.seen.count >= log.accepted.count)
    }

    /// The newest message of each conversation that has one.
    pub fn newest(&self) -> Vec<(Id, u64, Id)> {
        self.logs.iter().filter_map(|log| log.newest.map(|(seq, id)| (log.id, seq, id))).collect()
    }

    /// The last look, when nothing more is to come: everything that is wrong.
    pub fn finish(mut self) -> Objections {
        for seat in 0..self.seats.len() {
            let view = &self.seats[seat];
            let log = &self.logs[view.log as usize];
            if !view.broken && view.position < log.length() {
                let (have, all) = (view.position, log.length());
                let seq = log.entries[(have - log.base) as usize].seq;
                let why = format!("got {have} of {all} messages, the first missing is seq {seq}");
                self.breaks(seat as u32, || why);
            }
        }
        for log in &self.logs {
            let (seen, accepted) = (log.seen, log.accepted);
            if log.live == 0 {
                continue;
            }
            if seen.count < accepted.count {
                self.objections.add(|| {
                    format!(
                        "{} messages of {} were acknowledged, but only {} were received by anyone",
                        accepted.count,
                        text(&log.id),
                        seen.count
                    )
                });
            } else if self.refused == 0 && seen != accepted {
                self.objections.add(|| format!(
                    "{} messages of {} were acknowledged and {} received, but not the same ones: a seq or id differs",
                    accepted.count, text(&log.id), seen.count
                ));
            }
        }
        self.senders.finish(&mut self.objections);
        self.objections
    }
}

fn differs(entry: &Entry, seq: u64, id: &Id) -> String {
    let (expected, first) = (entry.seq, entry.first);
    if entry.seq < seq {
        format!("missed seq {expected}, which user {first} got, and got seq {seq} instead")
    } else if entry.seq > seq {
        format!("got seq {seq}, which user {first} did not get before seq {expected}")
    } else {
        format!("seq {seq} has the id {} here and {} for user {first}", text(id), text(&entry.id))
    }
}

fn text(id: &Id) -> String {
    String::from_utf8_lossy(id).into_owned()
}

#[cfg(test)]
mod tests;
