//! Messages that are looked at a second time, once people with a connection have had time to receive them.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::domain::ids::Seq;
use crate::store::push::decide::Place;

/// Messages that may wait. At the 15,000 a second of a busy service and 5 s they are 75,000; this is for the tenfold, and
/// 24 MB. What is full takes in nothing more, and the log waits.
const MAX_WAITING: usize = 750_000;

/// What was decided together.
#[derive(Debug)]
struct Round {
    due: Timestamp,
    through: Seq,
    places: Vec<Place>,
    /// Whoever had no connection was alerted at the first look.
    is_sure: bool,
}

/// Messages and when their second time comes.
#[derive(Debug)]
pub struct Window {
    rounds: VecDeque<Round>,
    waiting: usize,
    /// Everything up to here was looked at twice, or there was nothing to look at.
    passed: Seq,
}

impl Window {
    /// Everything up to `passed` is done.
    pub fn behind(passed: Seq) -> Self {
        Self { rounds: VecDeque::new(), waiting: 0, passed }
    }

    /// Is there room for another round?
    pub fn has_room(&self) -> bool {
        self.waiting < MAX_WAITING
    }

    /// Takes in the messages of a stretch of the log that ends at `through`. `is_sure` when it was known at the first look
    /// who had a connection.
    pub fn wait(&mut self, places: Vec<Place>, through: Seq, due: Timestamp, is_sure: bool) {
        if places.is_empty() && self.rounds.is_empty() {
            self.passed = self.passed.max(through);
            return;
        }
        self.waiting += places.len();
        match self.rounds.back_mut() {
            Some(last) if places.is_empty() => last.through = through,
            _ => self.rounds.push_back(Round { due, through, places, is_sure }),
        }
    }

    /// The messages of the first round of whose people it was not known who had a connection.
    pub fn unsure(&self) -> Option<&[Place]> {
        self.rounds.iter().find(|round| !round.is_sure).map(|round| &round.places[..])
    }

    /// That round was looked at again, now that it is known.
    pub fn now_sure(&mut self) {
        if let Some(round) = self.rounds.iter_mut().find(|round| !round.is_sure) {
            round.is_sure = true;
        }
    }

    /// When the next round is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.rounds.front().map(|round| round.due)
    }

    /// The messages of the first round, if it is due, and how far that leads.
    pub fn due(&self, now: Timestamp) -> Option<(&[Place], Seq)> {
        let first = self.rounds.front().filter(|round| round.due <= now)?;
        Some((&first.places, first.through))
    }

    /// The first round is done.
    pub fn done(&mut self) {
        if let Some(round) = self.rounds.pop_front() {
            self.waiting -= round.places.len();
            self.passed = round.through;
        }
    }

    /// Everything up to here is done.
    pub fn passed(&self) -> Seq {
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn place(seq: Seq) -> Place {
        Place { conversation_id: Uuid::nil(), seq }
    }

    #[test]
    fn rounds_come_in_order_when_they_are_due_and_only_a_done_one_is_passed() {
        let mut window = Window::behind(3);
        window.wait(vec![place(4), place(5)], 6, at(10), true);
        window.wait(vec![place(7)], 7, at(11), true);
        assert_eq!((window.passed(), window.next_due()), (3, Some(at(10))));
        assert_eq!(window.due(at(9)), None);
        assert_eq!(window.due(at(12)), Some((&[place(4), place(5)][..], 6)));
        assert_eq!(window.passed(), 3);
        window.done();
        assert_eq!((window.passed(), window.waiting), (6, 1));
        assert_eq!(window.due(at(12)), Some((&[place(7)][..], 7)));
        window.done();
        assert_eq!((window.passed(), window.waiting, window.next_due()), (7, 0, None));
    }

    #[test]
    fn rounds_of_which_too_little_was_known_are_named_once_each_and_stay() {
        let mut window = Window::behind(0);
        window.wait(vec![place(1)], 1, at(10), false);
        window.wait(vec![place(2)], 2, at(11), true);
        window.wait(vec![place(3)], 3, at(12), false);
        assert_eq!(window.unsure(), Some(&[place(1)][..]));
        window.now_sure();
        assert_eq!(window.unsure(), Some(&[place(3)][..]));
        window.now_sure();
        assert_eq!((window.unsure(), window.waiting, window.passed()), (None, 3, 0));
    }

    #[test]
    fn stretches_without_anything_to_look_at_cost_nothing() {
        let mut window = Window::behind(3);
        window.wait(Vec::new(), 9, at(10), true);
        assert_eq!((window.passed(), window.next_due()), (9, None));
        window.wait(vec![place(10)], 10, at(10), true);
        window.wait(Vec::new(), 20, at(11), true);
        window.wait(Vec::new(), 30, at(12), true);
        assert_eq!(window.rounds.len(), 1);
        window.done();
        assert_eq!(window.passed(), 30);
    }
}
