//! What somebody missed and the ring still has, and the step from there to what happens live.

use std::collections::HashMap;

use crate::domain::ids::{ConversationId, Seq, UserId};

use super::Hub;
use super::event::Event;
use super::registry::Connection;
use super::ring::{Limits, Move, Ring, Span};

/// Events that may be written while what happens live gathers behind them: half of a queue of the default size.
const LAST_STRETCH: usize = 256;

/// Whose absence is made up for.
#[derive(Clone, Copy)]
pub enum Returning<'a> {
    /// A connection, which hears what its user hears now; it goes live when it has come to the end.
    Connection(&'a Connection),
    /// Somebody who only asks, with the conversations to look at.
    Asking(UserId, &'a [ConversationId]),
}

/// A stretch of the log from the ring.
pub struct Recent {
    pub events: Vec<Event>,
    /// The stretch reaches up to here.
    pub through: Seq,
    /// It is the last: a connection is live from here on.
    pub end: bool,
}

impl Returning<'_> {
    pub fn user(&self) -> UserId {
        match self {
            Self::Connection(connection) => connection.user,
            Self::Asking(user, _) => *user,
        }
    }
}

impl Hub {
    /// What happened behind `after`, or `None` when it has left the ring. `joined` names those arrivals in
    /// conversations that are certain to be the user's first there: what came before them was not missed.
    ///
    /// Between looking and going live nothing can come in: the ring is locked for both, and what comes is put into
    /// the ring before it is handed to connections.
    pub fn replay(
        &self,
        returning: Returning<'_>,
        after: Seq,
        joined: &HashMap<ConversationId, Seq>,
    ) -> Option<Recent> {
        // Not under the lock: who comes into a conversation after this shows among the moves.
        let heard = self.heard(returning);
        let ring = self.ring.read();
        if !ring.covers(after) {
            return None;
        }
        let moves = ring.moves_of(returning.user(), after);
        let events = ring.collect(&spans(&heard, &moves, after, joined));
        let through = ring.last().max(after);
        let end = events.len() <= LAST_STRETCH;
        if let Returning::Connection(connection) = returning
            && end
        {
            connection.queue.live_after(through);
        }
        Some(Recent { events, through, end })
    }

    /// The conversations that somebody hears now.
    pub fn heard(&self, returning: Returning<'_>) -> Vec<ConversationId> {
        match returning {
            Returning::Connection(connection) => self.registry.conversations_of(connection.user),
            Returning::Asking(_, heard) => heard.to_vec(),
        }
    }

    /// When and where a user came or went behind `after`, as far as the ring knows.
    pub fn moves_of(&self, user: UserId, after: Seq) -> Vec<Move> {
        self.ring.read().moves_of(user, after)
    }

    /// Where the ring begins.
    pub fn ring_from(&self) -> Seq {
        self.ring.read().from()
    }

    /// Is everything behind `after` in the ring?
    pub fn covers(&self, after: Seq) -> bool {
        self.ring.read().covers(after)
    }

    /// The end of the ring.
    pub fn last_seq(&self) -> Seq {
        self.ring.read().last()
    }

    /// Events from elsewhere, as they may be shown now: what was deleted since is a tombstone, its edits are gone and
    /// quotes of it are empty.
    pub fn as_of_now(&self, events: Vec<Event>, conversations: &[ConversationId]) -> Vec<Event> {
        let Some(until) = events.last().map(|event| event.origin.seq) else { return events };
        let mut scratch = Ring::new(Limits { events: 0, bytes: 0 }, 0);
        let whole = |conversation: &ConversationId, until| Span {
            conversation: *conversation,
            after: 0,
            until,
        };
        let spans = |until| conversations.iter().map(|c| whole(c, until)).collect::<Vec<_>>();
        for event in events {
            scratch.push(event);
        }
        for deletion in self.ring.read().deletions(&spans(Seq::MAX)) {
            scratch.push(deletion);
        }
        scratch.collect(&spans(until))
    }
}

/// The stretches that somebody was there for.
fn spans(
    heard: &[ConversationId],
    moves: &[Move],
    after: Seq,
    joined: &HashMap<ConversationId, Seq>,
) -> Vec<Span> {
    let mut moved: HashMap<ConversationId, Vec<Move>> = HashMap::new();
    for one in moves {
        moved.entry(one.conversation).or_default().push(*one);
    }
    let still = heard.iter().filter(|conversation| !moved.contains_key(*conversation));
    let mut spans: Vec<Span> = still
        .map(|conversation| Span { conversation: *conversation, after, until: Seq::MAX })
        .collect();
    for (conversation, moves) in &moved {
        // An arrival may be announced twice; only one that is certain begins a stay.
        let first = moves.first().filter(|first| first.gained);
        let was_there = first.is_none_or(|first| joined.get(conversation) != Some(&first.seq));
        let mut since = was_there.then_some(after);
        for one in moves {
            if one.gained {
                since.get_or_insert(one.seq - 1);
            } else if let Some(after) = since.take() {
                spans.push(Span { conversation: *conversation, after, until: one.seq });
            }
        }
        if let Some(after) = since {
            spans.push(Span { conversation: *conversation, after, until: Seq::MAX });
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HERE: Uuid = Uuid::from_u128(1);
    const THERE: Uuid = Uuid::from_u128(2);

    fn moved(seq: Seq, gained: bool) -> Move {
        Move { seq, conversation: HERE, gained }
    }

    fn stays(heard: &[Uuid], moves: &[Move], joined: &[(Uuid, Seq)]) -> Vec<(Seq, Seq)> {
        let joined = joined.iter().copied().collect();
        let spans = spans(heard, moves, 10, &joined);
        spans.into_iter().filter(|s| s.conversation == HERE).map(|s| (s.after, s.until)).collect()
    }

    #[test]
    fn who_stayed_missed_everything_since() {
        assert_eq!(stays(&[HERE, THERE], &[], &[]), [(10, Seq::MAX)]);
        assert!(stays(&[THERE], &[], &[]).is_empty());
    }

    #[test]
    fn who_was_removed_missed_everything_up_to_that() {
        assert_eq!(stays(&[], &[moved(15, false)], &[]), [(10, 15)]);
        assert_eq!(stays(&[HERE], &[moved(15, false)], &[]), [(10, 15)], "still being removed");
    }

    #[test]
    fn who_came_meanwhile_missed_what_came_after_that() {
        assert_eq!(stays(&[HERE], &[moved(15, true)], &[(HERE, 15)]), [(14, Seq::MAX)]);
        let twice = [moved(15, true), moved(18, true)];
        assert_eq!(stays(&[HERE], &twice, &[(HERE, 12)]), [(10, Seq::MAX)], "announced again");
    }

    #[test]
    fn who_left_and_came_back_missed_both_stays_and_not_what_lay_between() {
        let moves = [moved(15, false), moved(18, true)];
        assert_eq!(stays(&[HERE], &moves, &[]), [(10, 15), (17, Seq::MAX)]);
    }
}
