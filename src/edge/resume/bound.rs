//! How much is replayed: who was away for long pages the rest by REST, where the newest is what one sees first.

use std::collections::HashMap;

use crate::domain::ids::{ConversationId, Seq};
use crate::edge::hub::event::Event;
use crate::wire::event::EventKind;
pub use crate::wire::frames::Limited;

/// The most of one stretch.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// New messages of a conversation, and changes as many.
    pub per_conversation: usize,
    /// Events of all conversations.
    pub in_all: usize,
}

#[derive(Default)]
struct Count {
    messages: usize,
    changes: usize,
    /// The oldest message that is kept.
    first: Option<Seq>,
    dropped_message: bool,
    dropped_change: bool,
}

/// Keeps the newest. `events` are in order, behind `after` and up to `through`.
pub fn bound(
    events: Vec<Event>,
    after: Seq,
    through: Seq,
    limits: Limits,
) -> (Vec<Limited>, Vec<Event>) {
    let mut counts: HashMap<ConversationId, Count> = HashMap::new();
    let mut kept = Vec::with_capacity(events.len().min(limits.in_all));
    for event in events.into_iter().rev() {
        let count = counts.entry(event.origin.conversation).or_default();
        let fits = kept.len() < limits.in_all;
        if event.origin.kind == EventKind::NewMessage {
            if !fits || count.messages == limits.per_conversation {
                count.dropped_message = true;
                continue;
            }
            count.messages += 1;
            count.first = Some(event.origin.seq);
        } else {
            if !fits || count.changes == limits.per_conversation {
                count.dropped_change = true;
                continue;
            }
            count.changes += 1;
        }
        kept.push(event);
    }
    kept.reverse();
    let cut = counts.into_iter().filter(|(_, count)| count.dropped_message || count.dropped_change);
    let limited = cut.map(|(conversation_id, count)| Limited {
        conversation_id,
        after_seq: if count.dropped_change { 0 } else { after },
        before_seq: count.first.unwrap_or(through + 1),
    });
    (limited.collect(), kept)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use crate::edge::hub::event::Origin;

    use super::*;

    fn event(seq: Seq, conversation: u128, kind: EventKind) -> Event {
        let conversation = Uuid::from_u128(conversation);
        let origin = Origin { seq, conversation, kind, sender: None, stored_at: 0 };
        Event {
            origin,
            data: Bytes::new(),
            id: None,
            target: None,
            about: None,
            expires_at: None,
            membership: None,
            ruling: None,
        }
    }

    fn bounded(
        events: &[Event],
        per_conversation: usize,
        in_all: usize,
    ) -> (Vec<Limited>, Vec<Seq>) {
        let limits = Limits { per_conversation, in_all };
        let (limited, kept) = bound(events.to_vec(), 10, 20, limits);
        (limited, kept.iter().map(|event| event.origin.seq).collect())
    }

    fn limited(conversation: u128, after_seq: Seq, before_seq: Seq) -> Limited {
        Limited { conversation_id: Uuid::from_u128(conversation), after_seq, before_seq }
    }

    #[test]
    fn the_newest_messages_of_a_conversation_are_kept_and_the_gap_is_named() {
        use EventKind::{MessageUpdated, NewMessage};
        let events = [
            event(11, 1, NewMessage),
            event(12, 2, NewMessage),
            event(13, 1, MessageUpdated),
            event(14, 1, NewMessage),
            event(15, 1, NewMessage),
        ];
        assert_eq!(bounded(&events, 2, 100), (vec![limited(1, 10, 14)], vec![12, 13, 14, 15]));
        assert_eq!(bounded(&events, 9, 100).0, []);
    }

    #[test]
    fn with_changes_left_out_older_messages_are_in_doubt_too() {
        let events = [11, 12, 13].map(|seq| event(seq, 1, EventKind::MessageUpdated));
        assert_eq!(bounded(&events, 2, 100), (vec![limited(1, 0, 21)], vec![12, 13]));
    }

    #[test]
    fn all_conversations_share_one_limit() {
        let events =
            [1, 2, 1, 2].iter().zip(11..).map(|(c, seq)| event(seq, *c, EventKind::NewMessage));
        let (mut cut, kept) = bounded(&events.collect::<Vec<_>>(), 9, 3);
        cut.sort_by_key(|limited| limited.conversation_id);
        assert_eq!((cut, kept), (vec![limited(1, 10, 13)], vec![12, 13, 14]));
    }
}
