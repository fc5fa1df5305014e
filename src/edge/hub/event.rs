//! What an edge reads of an event: as little as routing, keeping and replaying it need.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use crate::bus::log::LogEvent;
use crate::domain::expiry;
use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};
use crate::domain::posting::{Posting, PostingPolicy};
use crate::wire::event::{Change, EventKind, splice_seq};

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub seq: Seq,
    pub conversation: ConversationId,
    pub kind: EventKind,
    /// Who wrote the message; for a new message only.
    pub sender: Option<UserId>,
    /// When the log stored it, in nanoseconds since 1970.
    pub stored_at: i64,
}

/// An event as clients get it.
#[derive(Debug, Clone)]
pub struct Event {
    pub origin: Origin,
    /// The event's `data`, with its `seq`; empty once erased.
    pub data: Bytes,
    /// The id of a new message.
    pub id: Option<MessageId>,
    /// For an edit, a deletion or a reaction, the place of the message that it changes.
    pub target: Option<Seq>,
    /// The message that it is about, for a deletion; the message that it quotes, for a reply.
    pub about: Option<MessageId>,
    /// When the message in it vanishes.
    pub expires_at: Option<Timestamp>,
    /// Who comes or goes with it.
    pub membership: Option<Arc<Membership>>,
    /// What it changes of who may write.
    pub ruling: Option<Arc<Ruling>>,
}

/// The fields that are looked at; each kind of event has some of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Glance {
    id: Option<Uuid>,
    seq: Option<Seq>,
    sender_id: Option<Uuid>,
    message_id: Option<Uuid>,
    reply_to_message_id: Option<Uuid>,
    change: Option<Change>,
    expires_at: Option<Timestamp>,
    #[serde(default)]
    user_ids: Vec<Uuid>,
    conversation: Option<Settings>,
}

/// The same of a changed conversation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    posting_policy: Option<String>,
    slow_mode_seconds: Option<u32>,
}

impl Event {
    /// Reads an event of the log; `None` for what is no JSON object with fields of the right types. Frames are made
    /// around the payload as it is, so such a thing would spoil every receiver's stream. The persister parks it.
    pub fn read(event: &LogEvent) -> Option<Self> {
        // An array would be taken for an object with its fields in order.
        let object = event.payload.first() == Some(&b'{');
        let glance: Glance = object.then(|| serde_json::from_slice(&event.payload).ok())??;
        let (mut id, mut target, mut about, mut sender) = (None, None, None, None);
        let mut data = event.payload.clone();
        match event.kind {
            EventKind::NewMessage => {
                data = splice_seq(&event.payload, event.seq);
                id = glance.id;
                sender = glance.sender_id;
                about = glance.reply_to_message_id;
            }
            EventKind::MessageUpdated => {
                target = glance.seq;
                about = glance.reply_to_message_id;
            }
            EventKind::MessageDeleted => {
                target = glance.seq;
                about = glance.message_id;
            }
            EventKind::ReactionUpdated => target = glance.seq,
            EventKind::ConversationUpdated => {}
        }
        let change = glance.change.filter(|_| event.kind == EventKind::ConversationUpdated);
        let ruling = change.and_then(|change| Ruling::of(change, &glance)).map(Arc::new);
        let membership = change.and_then(|change| Membership::of(change, glance.user_ids));
        let LogEvent { seq, conversation, kind, stored_at, .. } = *event;
        let origin = Origin { seq, conversation, kind, sender, stored_at };
        let (expires_at, membership) = (glance.expires_at, membership.map(Arc::new));
        Some(Self { origin, data, id, target, about, expires_at, membership, ruling })
    }

    /// The event as it may be shown at `now`: a message past its time is a tombstone, and its edits say nothing.
    pub fn shown_at(mut self, now: Timestamp) -> Option<Self> {
        if !expiry::is_over(self.expires_at, now) {
            return Some(self);
        }
        if self.origin.kind != EventKind::NewMessage {
            return None;
        }
        super::ring::bury(&mut self, now);
        (!self.data.is_empty()).then_some(self)
    }
}

/// What an event changes of who may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    Posting(Posting),
    /// These have another role.
    Roles(Vec<UserId>),
}

impl Ruling {
    fn of(change: Change, glance: &Glance) -> Option<Self> {
        match change {
            Change::Settings => {
                let settings = glance.conversation.as_ref()?;
                let policy = settings.posting_policy.as_deref().and_then(PostingPolicy::parse);
                let slow_mode_seconds = settings.slow_mode_seconds.unwrap_or_default();
                let policy = policy.unwrap_or_default();
                Some(Self::Posting(Posting { policy, slow_mode_seconds }))
            }
            Change::Role => Some(Self::Roles(glance.user_ids.clone())),
            _ => None,
        }
    }
}

/// Who comes or goes with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// They come; otherwise they go.
    pub gained: bool,
    pub users: Vec<UserId>,
}

impl Membership {
    fn of(change: Change, users: Vec<UserId>) -> Option<Self> {
        match change {
            Change::Created | Change::ParticipantsAdded => Some(Self { gained: true, users }),
            Change::ParticipantsRemoved => Some(Self { gained: false, users }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: EventKind, payload: &'static str) -> Option<Event> {
        Event::read(&LogEvent {
            seq: 7,
            stored_at: 1,
            conversation: Uuid::from_u128(1),
            kind,
            payload: Bytes::from_static(payload.as_bytes()),
            trace: None,
        })
    }

    #[test]
    fn a_new_message_gets_its_sequence_and_names_its_sender_and_what_it_quotes() {
        let event = read(
            EventKind::NewMessage,
            r#"{"senderId":"00000000-0000-0000-0000-000000000002","replyToMessageId":"00000000-0000-0000-0000-000000000003"}"#,
        )
        .expect("an event");
        assert!(event.data.starts_with(br#"{"seq":7,"senderId""#));
        assert_eq!(event.origin.sender, Some(Uuid::from_u128(2)));
        assert_eq!((event.target, event.about), (None, Some(Uuid::from_u128(3))));
    }

    #[test]
    fn what_is_no_object_is_no_event() {
        for spoiled in ["", "[]", "7", "{", r#"{"seq":"x"}"#, r#"{}{}"#] {
            assert!(read(EventKind::NewMessage, spoiled).is_none(), "{spoiled}");
        }
    }

    #[test]
    fn only_changes_of_participants_move_anybody() {
        let moved =
            |payload| read(EventKind::ConversationUpdated, payload).expect("an event").membership;
        assert!(moved(r#"{"change":"title"}"#).is_none());
        let removed = moved(
            r#"{"change":"participantsRemoved","userIds":["00000000-0000-0000-0000-000000000002"]}"#,
        );
        let users = vec![Uuid::from_u128(2)];
        assert_eq!(removed.as_deref(), Some(&Membership { gained: false, users }));
    }
}
