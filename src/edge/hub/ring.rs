//! The recent end of the log in memory, bounded in events and in bytes.
//!
//! It answers a sender that repeats itself, and it is what a storm of returning clients meets instead of Postgres
//! and JetStream. Deleted content leaves it as soon as the deletion comes along.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::domain::ids::Seq;
use crate::wire::event::EventKind;

/// An event as clients get it.
#[derive(Debug, Clone)]
pub struct Kept {
    pub seq: Seq,
    pub kind: EventKind,
    /// The event's `data`, with its `seq`; empty once erased.
    pub data: Bytes,
    /// For an edit or a deletion, the place of the message that it changes.
    pub target: Option<Seq>,
}

/// Bounds of the ring. 0 turns one off.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub events: usize,
    pub bytes: usize,
}

/// The events, oldest first.
pub struct Ring {
    events: VecDeque<Kept>,
    bytes: usize,
    limits: Limits,
    /// Edits in the ring by the place of the message they edit: they carry its content too.
    edits: HashMap<Seq, SmallVec<[Seq; 1]>>,
    /// Messages whose deletion is in the ring: an edit that was under way meanwhile must not bring them back.
    deleted: HashSet<Seq>,
}

/// What an entry costs beside its data: the struct, rounded up.
const OVERHEAD: usize = 96;

impl Ring {
    pub fn new(limits: Limits) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            limits,
            edits: HashMap::new(),
            deleted: HashSet::new(),
        }
    }

    /// Adds the newest event; the oldest make room.
    pub fn push(&mut self, event: Kept) {
        match (event.kind, event.target) {
            (EventKind::MessageUpdated, Some(target)) => {
                self.edits.entry(target).or_default().push(event.seq);
            }
            (EventKind::MessageDeleted, Some(target)) => {
                self.erase(target);
                self.deleted.insert(target);
            }
            _ => {}
        }
        self.bytes += event.data.len() + OVERHEAD;
        self.events.push_back(event);
        while self.over() {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.data.len() + OVERHEAD;
            self.forget(&oldest);
        }
    }

    /// The data of the event at `seq`, unless it has left or was erased.
    pub fn get(&self, seq: Seq) -> Option<&Kept> {
        let at = self.place(seq)?;
        self.events.get(at).filter(|event| !event.data.is_empty())
    }

    /// Is the event an edit of a message that was deleted before it?
    pub fn is_void(&self, event: &Kept) -> bool {
        event.kind == EventKind::MessageUpdated
            && event.target.is_some_and(|target| self.deleted.contains(&target))
    }

    /// Erases a message and its edits.
    fn erase(&mut self, seq: Seq) {
        let edits = self.edits.remove(&seq).unwrap_or_default();
        for seq in edits.into_iter().chain([seq]) {
            if let Some(event) = self.place(seq).and_then(|at| self.events.get_mut(at)) {
                self.bytes -= event.data.len();
                event.data = Bytes::new();
            }
        }
    }

    /// Events held, and bytes with what they cost beside their data.
    pub fn size(&self) -> (usize, usize) {
        (self.events.len(), self.bytes)
    }

    fn over(&self) -> bool {
        let Limits { events, bytes } = self.limits;
        (events > 0 && self.events.len() > events) || (bytes > 0 && self.bytes > bytes)
    }

    fn place(&self, seq: Seq) -> Option<usize> {
        self.events.binary_search_by_key(&seq, |event| event.seq).ok()
    }

    /// What is known of edits and deletions is forgotten as they leave.
    fn forget(&mut self, gone: &Kept) {
        let Some(target) = gone.target else { return };
        if gone.kind == EventKind::MessageDeleted {
            self.deleted.remove(&target);
        } else if let Some(edits) = self.edits.get_mut(&target) {
            edits.retain(|seq| *seq != gone.seq);
            if edits.is_empty() {
                self.edits.remove(&target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: Seq) -> Kept {
        let data = Bytes::from_static(b"{}");
        let kind = EventKind::NewMessage;
        Kept { seq, kind, data, target: None }
    }

    fn edit(seq: Seq, target: Seq) -> Kept {
        Kept { kind: EventKind::MessageUpdated, target: Some(target), ..message(seq) }
    }

    fn ring(events: usize) -> Ring {
        Ring::new(Limits { events, bytes: 0 })
    }

    fn deletion(seq: Seq, target: Seq) -> Kept {
        Kept { kind: EventKind::MessageDeleted, target: Some(target), ..message(seq) }
    }

    #[test]
    fn the_oldest_makes_room_for_the_newest() {
        let mut ring = ring(2);
        for seq in [3, 5, 9] {
            ring.push(message(seq));
        }
        assert!(ring.get(3).is_none());
        assert!(ring.get(5).is_some() && ring.get(9).is_some());
        assert!(ring.get(6).is_none(), "a sequence that the log skipped");
        assert_eq!(ring.size(), (2, 2 * (2 + OVERHEAD)));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut ring = Ring::new(Limits { events: 0, bytes: 2 * (2 + OVERHEAD) });
        for seq in 1..=5 {
            ring.push(message(seq));
        }
        assert_eq!(ring.size().0, 2);
    }

    #[test]
    fn an_erased_message_takes_its_edits_along() {
        let mut ring = ring(10);
        ring.push(message(1));
        ring.push(edit(2, 1));
        ring.push(message(3));
        ring.push(deletion(4, 1));
        assert!(ring.get(1).is_none() && ring.get(2).is_none());
        assert!(ring.is_void(&edit(5, 1)), "an edit that was under way");
        assert!(!ring.is_void(&edit(5, 3)));
        assert!(ring.get(3).is_some());
    }

    #[test]
    fn changes_that_left_are_forgotten() {
        let mut ring = ring(1);
        ring.push(deletion(1, 9));
        ring.push(edit(2, 1));
        ring.push(message(3));
        assert!(ring.edits.is_empty() && ring.deleted.is_empty());
    }
}
