//! What this process remembers of the latest notifications: what was decided about whom, and what became of it. For
//! operators who ask about a message; nothing rests on it.
//!
//! It is a ring of 131,072 notes of 80 bytes, 10 MB once it is full. Somebody with a device takes two of a message, one for
//! each look, and one more for each device that is alerted: at 50 notifications a second a quarter of an hour is remembered,
//! at 2,000 some 20 seconds. A look costs one lock for all whom it is about and 20 ns for each of them; a question reads the
//! whole ring, some 2 ms in which a look waits.

use std::collections::VecDeque;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::domain::ids::{Seq, UserId};
use crate::store::push::DeviceId;

/// Notes that are kept.
const NOTES: usize = 1 << 17;
/// People of a page of a large conversation of whom notes are taken, those with the lowest ids: one message to 100,000
/// people would push out everything else, and whoever asks looks at some hundred of them.
pub const OF_MANY: usize = 500;

/// When something was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// At once.
    First,
    /// After the grace.
    Second,
    /// When the notification was due.
    Sending(DeviceId),
}

/// Something that was found out about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    pub seq: Seq,
    /// Whom it is about; `None` for everybody.
    pub user: Option<UserId>,
    pub at: Timestamp,
    pub step: Step,
    /// A name, as in metrics.
    pub what: &'static str,
}

/// What is known of one message.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recalled {
    /// In their order.
    pub notes: Vec<Note>,
    /// There may have been more, which later ones have pushed out.
    pub is_forgotten: bool,
}

#[derive(Debug, Default)]
struct Ring {
    notes: VecDeque<Note>,
    /// The highest place in the log of which something was pushed out.
    forgotten: Seq,
}

/// The memory of a process.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Ring>);

impl Memory {
    /// Takes notes.
    pub fn note(&self, notes: impl IntoIterator<Item = Note>) {
        let mut ring = self.0.lock();
        for note in notes {
            if ring.notes.len() == NOTES
                && let Some(oldest) = ring.notes.pop_front()
            {
                ring.forgotten = ring.forgotten.max(oldest.seq);
            }
            ring.notes.push_back(note);
        }
    }

    /// What is known of the message at a place in the log.
    pub fn of(&self, seq: Seq) -> Recalled {
        let ring = self.0.lock();
        let notes = ring.notes.iter().filter(|note| note.seq == seq).copied().collect();
        Recalled { notes, is_forgotten: seq <= ring.forgotten }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(seq: Seq, what: &'static str) -> Note {
        Note { seq, user: None, at: Timestamp::UNIX_EPOCH, step: Step::First, what }
    }

    #[test]
    fn the_latest_are_known_in_their_order_and_it_is_said_when_there_may_have_been_more() {
        assert!(size_of::<Note>() <= 80, "{}", size_of::<Note>());
        let memory = Memory::default();
        memory.note([note(7, "connected"), note(8, "alert"), note(7, "delivered")]);
        let told = memory.of(7);
        let whats: Vec<&str> = told.notes.iter().map(|note| note.what).collect();
        assert_eq!((whats, told.is_forgotten), (vec!["connected", "delivered"], false));
        assert_eq!(memory.of(9), Recalled::default());
        memory.note((0..NOTES as u64 - 2).map(|n| note(100 + n, "alert")));
        let told = memory.of(7);
        assert_eq!((told.notes.len(), told.is_forgotten), (1, true));
        assert!(!memory.of(8).is_forgotten, "that one is there still");
    }
}
