//! Acknowledgements that wait for the fan-out.
//!
//! The log often confirms a message before its event has come back to this node. A sender that is answered then
//! may send on while others still have to be told, and in a large group that outruns every queue. So the answer
//! waits until the event was routed here: it leaves in the same write as the event, and whoever sends can never be
//! further ahead than what is in flight. When the tail has lost its place nothing is held.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::domain::ids::Seq;

/// What is done once its event was routed. It must not block.
pub type Action = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    /// The last sequence that was routed.
    routed: Seq,
    /// Bounded by the sends that a connection may have in flight, times connections.
    waiting: BTreeMap<Seq, Action>,
}

/// Actions by the sequence that they wait for.
#[derive(Default)]
pub struct Held(Mutex<State>);

impl Held {
    /// Does it now if the event was routed already, else when it is.
    pub fn after(&self, seq: Seq, action: Action) {
        {
            let mut state = self.0.lock();
            if state.routed < seq {
                // The log gives a sequence once; should two wait for it all the same, none is forgotten.
                let Some(earlier) = state.waiting.insert(seq, action) else { return };
                drop(state);
                return earlier();
            }
        }
        action();
    }

    /// Does nothing wait?
    pub fn is_empty(&self) -> bool {
        self.0.lock().waiting.is_empty()
    }

    /// Everything up to `seq` was routed.
    pub fn routed(&self, seq: Seq) {
        let due = {
            let mut state = self.0.lock();
            state.routed = state.routed.max(seq);
            let later = state.waiting.split_off(&(seq + 1));
            std::mem::replace(&mut state.waiting, later)
        };
        due.into_values().for_each(|action| action());
    }

    /// Nothing is known of what is routed now: nobody waits for it.
    pub fn let_go(&self) {
        let due = std::mem::take(&mut self.0.lock().waiting);
        due.into_values().for_each(|action| action());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn noting(notes: &Arc<Mutex<Vec<Seq>>>, seq: Seq) -> Action {
        let notes = notes.clone();
        Box::new(move || notes.lock().push(seq))
    }

    #[test]
    fn an_answer_waits_for_its_event_and_no_longer() {
        let (held, notes) = (Held::default(), Arc::default());
        held.after(5, noting(&notes, 5));
        held.after(7, noting(&notes, 7));
        held.routed(4);
        assert!(notes.lock().is_empty());
        held.routed(6);
        assert_eq!(*notes.lock(), [5]);
        assert!(!held.is_empty(), "7 waits");
        held.after(6, noting(&notes, 6));
        assert_eq!(*notes.lock(), [5, 6], "it was routed already");
    }

    #[test]
    fn nothing_is_held_when_the_tail_has_lost_its_place() {
        let (held, notes) = (Held::default(), Arc::default());
        held.after(5, noting(&notes, 5));
        held.let_go();
        assert_eq!(*notes.lock(), [5]);
        held.routed(9);
        assert_eq!(*notes.lock(), [5], "once");
    }
}
