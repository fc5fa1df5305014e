//! What each sender has sent, against what stands in the logs.

use std::collections::{BTreeSet, HashSet, VecDeque};

use crate::cli::bench::codec::{Id, Stamp};

use super::{Objections, text};

/// Ids that are remembered to notice one that comes again: more than can be in flight.
const RECENT_IDS: usize = 65_536;

/// Holes and refusals that are remembered; beyond it a run has failed anyway.
const MAX_EXCEPTIONS: usize = 100_000;

#[derive(Debug, Default)]
struct Sender {
    next: u32,
    /// Numbers that were passed over; each must turn out to have been refused.
    holes: BTreeSet<u32>,
    /// Numbers that were refused or never answered.
    refused: BTreeSet<u32>,
}

/// All senders of a run, by their numbers.
#[derive(Debug)]
pub struct Senders {
    senders: Vec<Sender>,
    recent: VecDeque<Id>,
    recent_ids: HashSet<Id>,
}

impl Senders {
    pub fn new(senders: usize) -> Self {
        Self {
            senders: std::iter::repeat_with(Sender::default).take(senders).collect(),
            recent: VecDeque::new(),
            recent_ids: HashSet::new(),
        }
    }

    /// A message was received for the first time, by `user`.
    pub fn stored(
        &mut self,
        stamp: Stamp,
        seq: u64,
        id: &Id,
        user: u32,
        objections: &mut Objections,
    ) {
        self.check_number(stamp, seq, user, objections);
        self.check_id(seq, id, objections);
    }

    fn check_number(&mut self, stamp: Stamp, seq: u64, user: u32, objections: &mut Objections) {
        let Stamp { sender, number, .. } = stamp;
        let Some(state) = self.senders.get_mut(sender as usize) else {
            objections.add(|| format!("seq {seq} is of a sender {sender} that does not exist"));
            return;
        };
        if number >= state.next {
            let room = MAX_EXCEPTIONS.saturating_sub(state.holes.len());
            state.holes.extend((state.next..number).take(room));
            state.next = number + 1;
            return;
        }
        let late = state.holes.remove(&number);
        let next = state.next - 1;
        objections.add(|| match late {
            true => format!(
                "message {number} of sender {sender} has seq {seq}, behind its later message {next}"
            ),
            false => format!(
                "message {number} of sender {sender} stands in the log twice, again as seq {seq} (first at user {user})"
            ),
        });
    }

    fn check_id(&mut self, seq: u64, id: &Id, objections: &mut Objections) {
        if !self.recent_ids.insert(*id) {
            objections.add(|| format!("the id {} came again as seq {seq}", text(id)));
            return;
        }
        self.recent.push_back(*id);
        if self.recent.len() > RECENT_IDS
            && let Some(old) = self.recent.pop_front()
        {
            self.recent_ids.remove(&old);
        }
    }

    /// A message was refused or never answered.
    pub fn refused(&mut self, sender: u32, number: u32) {
        let refused = &mut self.senders[sender as usize].refused;
        if refused.len() < MAX_EXCEPTIONS {
            refused.insert(number);
        }
    }

    /// Objects to every sender of whom a message is missing that was not refused.
    pub fn finish(&self, objections: &mut Objections) {
        for (sender, state) in self.senders.iter().enumerate() {
            if let Some(number) = state.holes.difference(&state.refused).next() {
                objections.add(|| {
                    format!(
                        "message {number} of sender {sender} is missing from the log although a later one is in it"
                    )
                });
            }
        }
    }
}
