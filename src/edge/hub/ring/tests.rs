use std::sync::Arc;

use uuid::Uuid;

use super::super::event::{Membership, Origin};
use super::*;

const HERE: Uuid = Uuid::from_u128(100);
const ELSEWHERE: Uuid = Uuid::from_u128(101);

fn id(seq: Seq) -> MessageId {
    Uuid::from_u128(1_000 + u128::from(seq))
}

fn event(seq: Seq, conversation: Uuid, kind: EventKind, data: &str) -> Event {
    let origin = Origin { seq, conversation, kind, sender: None, stored_at: 1_000_000_000 };
    let data = Bytes::copy_from_slice(data.as_bytes());
    Event {
        origin,
        data,
        id: None,
        target: None,
        about: None,
        expires_at: None,
        membership: None,
        ruling: None,
    }
}

fn message(seq: Seq) -> Event {
    event(seq, HERE, EventKind::NewMessage, "{}")
}

fn edit(seq: Seq, target: Seq) -> Event {
    Event { target: Some(target), ..event(seq, HERE, EventKind::MessageUpdated, "{}") }
}

fn reaction(seq: Seq, target: Seq) -> Event {
    Event { target: Some(target), ..event(seq, HERE, EventKind::ReactionUpdated, "{}") }
}

fn deletion(seq: Seq, target: Seq) -> Event {
    let event = event(seq, HERE, EventKind::MessageDeleted, "{}");
    Event { target: Some(target), about: Some(id(target)), ..event }
}

/// As it stands in the log and with its place.
fn whole(seq: Seq, quoted: Option<Seq>) -> Event {
    let time = "2026-11-22T09:00:00.000Z";
    let reply = quoted.map(|seq| {
        serde_json::json!({ "id": id(seq), "senderId": HERE, "type": "text", "content": "secret" })
    });
    let data = serde_json::json!({
        "seq": seq, "id": id(seq), "conversationId": HERE, "senderId": HERE, "senderName": null,
        "type": "text", "content": "secret", "replyToMessageId": quoted.map(id), "replyTo": reply,
        "metadata": { "key": "secret" }, "mentions": [], "clientMessageId": null, "isEdited": false, "editedAt": null,
        "isDeleted": false, "deletedAt": null, "expiresAt": null, "reactions": {},
        "createdAt": time, "updatedAt": time,
    });
    let event = event(seq, HERE, EventKind::NewMessage, &data.to_string());
    Event { about: quoted.map(id), ..event }
}

fn ring(events: usize) -> Ring {
    Ring::new(Limits { events, bytes: 0 }, 1)
}

fn all_of(conversation: Uuid) -> Span {
    Span { conversation, after: 0, until: Seq::MAX }
}

fn seqs(events: &[Event]) -> Vec<Seq> {
    events.iter().map(|event| event.origin.seq).collect()
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
    let mut ring = Ring::new(Limits { events: 0, bytes: 2 * (2 + OVERHEAD) }, 1);
    for seq in 1..=5 {
        ring.push(message(seq));
    }
    assert_eq!(ring.size().0, 2);
}

#[test]
fn it_knows_from_where_on_it_has_everything() {
    let mut ring = Ring::new(Limits { events: 2, bytes: 0 }, 10);
    assert!(ring.covers(9) && !ring.covers(8), "it began at 10");
    for seq in [12, 14, 16] {
        ring.push(message(seq));
    }
    assert!(ring.covers(12) && !ring.covers(11), "12 has left");
    ring.reached(20);
    assert_eq!(ring.last(), 20);
}

#[test]
fn somebody_who_comes_back_gets_the_own_conversations_in_order() {
    let mut ring = ring(10);
    ring.push(message(1));
    ring.push(event(2, ELSEWHERE, EventKind::NewMessage, "{}"));
    ring.push(message(3));
    ring.push(event(4, Uuid::from_u128(102), EventKind::NewMessage, "{}"));
    ring.push(message(5));
    let here = Span { conversation: HERE, after: 1, until: 3 };
    assert_eq!(seqs(&ring.collect(&[here])), [3]);
    assert_eq!(seqs(&ring.collect(&[all_of(HERE), all_of(ELSEWHERE), here])), [1, 2, 3, 5]);
}

#[test]
fn a_deleted_message_becomes_a_tombstone_and_its_edits_and_quotes_say_nothing() {
    let mut ring = ring(10);
    ring.push(whole(1, None));
    ring.push(Event { target: Some(1), ..whole(2, None) }.into_edit());
    ring.push(whole(3, Some(1)));
    ring.push(deletion(4, 1));
    assert!(ring.push(edit(5, 1)).is_none(), "an edit that was under way");
    assert!(ring.push(reaction(5, 1)).is_none(), "a reaction that was under way");
    assert!(ring.push(reaction(5, 3)).is_some());
    ring.push(whole(6, Some(1)));
    let shown = ring.collect(&[all_of(HERE)]);
    assert_eq!(seqs(&shown), [1, 3, 4, 5, 6]);
    let read = |event: &Event| -> objects::Message {
        serde_json::from_slice(&event.data).expect("a message")
    };
    let tombstone = read(&shown[0]);
    assert!(tombstone.is_deleted && tombstone.content.is_empty() && tombstone.deleted_at.is_some());
    assert_eq!(tombstone.metadata.get(), "{}");
    assert_eq!(tombstone.seq, Some(1));
    for reply in [&shown[1], &shown[4]] {
        let reply = read(reply);
        assert_eq!(reply.content, "secret", "it is the reply's own");
        assert_eq!(reply.reply_to.map(|quote| quote.content).as_deref(), Some(""));
    }
}

impl Event {
    fn into_edit(mut self) -> Self {
        self.origin.kind = EventKind::MessageUpdated;
        self
    }
}

#[test]
fn a_message_is_deleted_once_however_often_that_was_asked_for() {
    let mut ring = ring(10);
    ring.push(whole(1, None));
    let first = ring.push(deletion(2, 1)).expect("said");
    assert!(ring.push(deletion(3, 1)).is_none(), "nothing is left to delete");
    let again = ring.collect(&[all_of(HERE)]);
    assert_eq!(seqs(&again), [1, 2]);
    assert_eq!(again[1].data, first.data);
}

#[test]
fn it_knows_who_came_and_went() {
    let mut ring = ring(2);
    let user = Uuid::from_u128(7);
    for (seq, gained) in [(1, true), (2, false), (3, true)] {
        let membership = Some(Arc::new(Membership { gained, users: vec![user] }));
        let event = event(seq, HERE, EventKind::ConversationUpdated, "{}");
        ring.push(Event { membership, ..event });
    }
    let moved = |seq, gained| Move { seq, conversation: HERE, gained };
    assert_eq!(ring.moves_of(user, 0), [moved(2, false), moved(3, true)], "1 has left");
    assert_eq!(ring.moves_of(user, 2), [moved(3, true)]);
    assert!(ring.moves_of(Uuid::nil(), 0).is_empty());
}

#[test]
fn what_left_is_forgotten() {
    let mut ring = ring(1);
    ring.push(deletion(1, 9));
    ring.push(edit(2, 1));
    ring.push(whole(3, Some(2)));
    let membership = Some(Arc::new(Membership { gained: true, users: vec![HERE] }));
    ring.push(Event { membership, ..event(4, ELSEWHERE, EventKind::ConversationUpdated, "{}") });
    ring.push(message(5));
    assert!(ring.edits.is_empty() && ring.deleted.is_empty() && ring.deleted_ids.is_empty());
    assert!(ring.quotes.is_empty() && ring.moves.is_empty());
    assert_eq!(ring.by_conversation.len(), 1);
}

#[test]
fn a_message_is_found_by_its_id_and_a_second_of_that_id_is_none() {
    let mut ring = ring(3);
    let named = |seq| Event { id: Some(id(7)), ..message(seq) };
    assert!(ring.push(named(1)).is_some());
    assert!(ring.push(named(2)).is_none(), "stored again, long after");
    assert_eq!(ring.whereabouts(id(7)), Some((HERE, 1)));
    assert!(ring.get(2).is_none());
    for seq in 3..=5 {
        ring.push(message(seq));
    }
    assert_eq!(ring.whereabouts(id(7)), None, "it has left");
    assert!(ring.push(named(6)).is_some());
    assert_eq!(ring.whereabouts(id(7)), Some((HERE, 6)));
}
