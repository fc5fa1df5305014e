//! The three sources of what was missed.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::future::try_join_all;
use serde::Serialize;

use crate::bus::direct::{self, Stretch};
use crate::domain::ids::{ConversationId, Seq};
use crate::domain::message::Message;
use crate::edge::hub::event::{Event, Origin};
use crate::edge::hub::replay::{Recent, Returning};
use crate::edge::{Edge, error};
use crate::store::StoreError;
use crate::store::replay::{Asked, Missed};
use crate::wire::error::ApiError;
use crate::wire::event::{EventKind, MessageDeleted, ReactionUpdated};
use crate::wire::objects;

use super::Page;
use super::bound::{Limited, bound};

/// Conversations that are read from the log at a time: each answer is read from disk.
const READS: usize = 8;

/// The stretch that the ring has.
pub async fn from_ring(edge: &Edge, after: Seq, recent: Recent) -> Page {
    let Recent { mut events, through, end } = recent;
    add_tombstones(edge, after, &mut events).await;
    let (limited, events) = bound(events, after, through, edge.settings.replay);
    Page { limited, events, through, end }
}

/// A message whose deletion came along may have been erased from the log before this node read it. Its place is the
/// projection's to fill.
async fn add_tombstones(edge: &Edge, after: Seq, events: &mut Vec<Event>) {
    let here: HashSet<Seq> = events.iter().map(|event| event.origin.seq).collect();
    let deletions = events.iter().filter(|event| event.origin.kind == EventKind::MessageDeleted);
    let missing: Vec<(ConversationId, Seq)> = deletions
        .filter_map(|event| event.target.map(|target| (event.origin.conversation, target)))
        .filter(|(_, target)| *target > after && !here.contains(target))
        .collect();
    if missing.is_empty() {
        return;
    }
    match edge.store.messages_at(&missing).await {
        Ok(tombstones) => {
            events.extend(tombstones.into_iter().filter_map(new_message));
            events.sort_by_key(|event| event.origin.seq);
        }
        // The client lacks the tombstones until it reads the history.
        Err(cause) => tracing::debug!(%cause, "tombstones are left out of a replay"),
    }
}

/// What Postgres has behind `after`; `None` when it has not come further itself.
pub async fn from_store(
    edge: &Edge,
    returning: Returning<'_>,
    after: Seq,
) -> Result<Option<Page>, StoreError> {
    let user = returning.user();
    // The persister may be ahead of this node, which would not know yet of a conversation that the user has joined
    // in between. What is known is known up to here.
    let until = edge.hub.last_seq();
    let mut heard = edge.hub.heard(returning);
    // Left behind what the projection knows: heard all the same until then.
    let moves = edge.hub.moves_of(user, after);
    heard.extend(moves.iter().filter(|one| !one.gained).map(|one| one.conversation));
    let limits = edge.settings.replay;
    let limit = u32::try_from(limits.per_conversation).unwrap_or(u32::MAX);
    let missed = edge.store.missed(Asked { user, after, until, heard: &heard, limit }).await?;
    if missed.through <= after {
        return Ok(None);
    }
    let through = missed.through;
    let (limited, events) = bound(events(missed), after, through, limits);
    Ok(Some(Page { limited, events, through, end: false }))
}

fn events(missed: Missed) -> Vec<Event> {
    let mut events: Vec<Event> = missed.messages.into_iter().filter_map(new_message).collect();
    events.extend(missed.edited.into_iter().filter_map(|(seq, message)| {
        let origin = origin(seq, message.conversation_id, EventKind::MessageUpdated);
        event(origin, &objects::Message::from(message))
    }));
    events.extend(missed.deleted.into_iter().filter_map(|deleted| {
        let origin = origin(deleted.seq, deleted.conversation_id, EventKind::MessageDeleted);
        let data = MessageDeleted {
            message_id: deleted.message_id,
            conversation_id: deleted.conversation_id,
            seq: deleted.message_seq,
        };
        event(origin, &data)
    }));
    events.extend(missed.reactions.into_iter().filter_map(|reacted| {
        let origin = origin(reacted.seq, reacted.conversation_id, EventKind::ReactionUpdated);
        let data = ReactionUpdated {
            message_id: reacted.message_id,
            conversation_id: reacted.conversation_id,
            seq: reacted.message_seq,
            emoji: reacted.emoji,
            user_id: reacted.user_id,
            added: reacted.added,
        };
        event(origin, &data)
    }));
    events.extend(missed.conversations.into_iter().map(|changed| {
        let origin = origin(changed.seq, changed.conversation_id, EventKind::ConversationUpdated);
        plain(origin, changed.payload.into())
    }));
    events.sort_by_key(|event| event.origin.seq);
    events.dedup_by_key(|event| event.origin.seq);
    events
}

fn new_message(message: Message) -> Option<Event> {
    let mut origin = origin(message.seq, message.conversation_id, EventKind::NewMessage);
    origin.sender = Some(message.sender_id);
    let stored_at = message.created_at.as_nanosecond();
    origin.stored_at = i64::try_from(stored_at).unwrap_or_default();
    event(origin, &objects::Message::from(message))
}

fn origin(seq: Seq, conversation: ConversationId, kind: EventKind) -> Origin {
    Origin { seq, conversation, kind, sender: None, stored_at: 0 }
}

fn event(origin: Origin, data: &impl Serialize) -> Option<Event> {
    let data = serde_json::to_vec(data)
        .inspect_err(|cause| tracing::error!(%cause, "an event cannot be written"));
    Some(plain(origin, data.ok()?.into()))
}

fn plain(origin: Origin, data: Bytes) -> Event {
    let (id, target, about, expires_at, membership, ruling) = Default::default();
    Event { origin, data, id, target, about, expires_at, membership, ruling }
}

/// The log itself, up to where the ring begins.
pub async fn from_log(edge: &Edge, returning: Returning<'_>, after: Seq) -> Result<Page, ApiError> {
    let until = edge.hub.ring_from().saturating_sub(1).max(after);
    let heard = edge.hub.heard(returning);
    let limits = edge.settings.replay;
    let mut stretches: Vec<(ConversationId, Stretch)> = Vec::new();
    for some in heard.chunks(READS) {
        let reads = some.iter().map(|conversation| {
            direct::events(&edge.log, *conversation, after, until, limits.per_conversation)
        });
        let read = try_join_all(reads).await.map_err(|cause| error::bus(&cause))?;
        stretches.extend(some.iter().copied().zip(read));
    }
    let cut = stretches.iter().filter(|(_, stretch)| stretch.more);
    // The log is read from its beginning: what is left out is the newest, with its changes.
    let mut limited: Vec<Limited> = cut
        .map(|(conversation_id, _)| Limited {
            conversation_id: *conversation_id,
            after_seq: 0,
            before_seq: until + 1,
        })
        .collect();
    let read = stretches.iter().flat_map(|(_, stretch)| &stretch.events);
    let mut events: Vec<Event> = read.filter_map(Event::read).collect();
    events.sort_by_key(|event| event.origin.seq);
    let events = edge.hub.as_of_now(events, &heard);
    let (more, events) = bound(events, after, until, limits);
    limited.extend(more);
    Ok(Page { limited, events, through: until, end: false })
}
