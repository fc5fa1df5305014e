//! What was acknowledged and is not in Postgres yet.
//!
//! Postgres follows the log by some milliseconds, and a read waits for it. When it is further behind, because the
//! persister is down or its disk is full, what it lacks is taken from the recent events that this node keeps:
//! histories and messages stay right for as long as those reach back to where Postgres is. Only when they do not is
//! a read answered with less, and that is counted and logged.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::bus::{connect, direct, reads};
use crate::domain::ids::{ConversationId, MessageId, Seq};
use crate::domain::message::Message;
use crate::domain::reaction::{Reacted, SHOWN_USERS};
use crate::store::messages::History;
use crate::wire::error::ApiError;
use crate::wire::event::{EventKind, ReactionUpdated};
use crate::wire::objects;

use super::freshness::{PERSISTED_SOON, ROUTED};
use super::hub::event::Event;
use super::{Edge, error, freshness};

/// Events of one conversation that are read from the log when the recent ones do not reach back far enough: a
/// conversation as busy as this for as long as Postgres is behind is shown without them. A read of 1,000 takes
/// some 20 ms.
const MOST: usize = 1_000;

/// What Postgres lacks of a conversation, in the order of the log. Nothing, nearly always.
#[derive(Debug, Default)]
pub struct Ahead {
    events: Vec<Event>,
    /// Postgres has everything: there is nothing to add.
    is_fresh: bool,
    /// When this was asked for: what has vanished by then is shown as a tombstone.
    now: Timestamp,
}

/// A message as it is now.
pub struct Found {
    pub message: Message,
    /// Postgres has everything that happened to it, and more than the message shows.
    pub is_fresh: bool,
}

/// In which direction messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

/// What was acknowledged in a conversation until now and is not in Postgres.
///
/// # Errors
/// `unavailable` when the database does not answer, or when neither it nor this node has got as far as the log.
pub async fn conversation(edge: &Edge, conversation: ConversationId) -> Result<Ahead, ApiError> {
    let last = match last_seq(edge, conversation).await {
        Some(last) => last,
        None => return Ok(Ahead::nothing()),
    };
    if persisted_soon(edge, last).await {
        return Ok(Ahead::nothing());
    }
    // Notices can be lost; the database knows.
    let progress = edge.store.progress().await.map_err(error::store)?;
    if progress.last_seq >= last {
        return Ok(Ahead::nothing());
    }
    let is_routed = freshness::routed(edge, last, ROUTED).await;
    let events = match is_routed {
        true => since(edge, conversation, progress.last_seq, last).await,
        false => None,
    };
    Ok(match events {
        Some(events) => {
            edge.metrics.reads_ahead.inc();
            Ahead { events, is_fresh: false, now: edge.clock.now() }
        }
        None if freshness::sequence(edge, last).await => Ahead::nothing(),
        // Another node has shown it already, and this one soon will: an older state now would undo that.
        None if !is_routed => return Err(ApiError::unavailable()),
        None => {
            edge.metrics.reads_stale.inc();
            tracing::warn!(last, "Postgres is too far behind; answering with what it has");
            Ahead::default()
        }
    })
}

/// What happened in a conversation behind `after` and up to `until`: from the recent events, and what has left them
/// from the log itself. `None` when that is too much or cannot be read.
async fn since(
    edge: &Edge,
    conversation: ConversationId,
    after: Seq,
    until: Seq,
) -> Option<Vec<Event>> {
    if let Some(events) = edge.hub.since(conversation, after, until) {
        return Some(events);
    }
    let kept = edge.hub.ring_from().saturating_sub(1);
    let older = direct::events(&edge.log, conversation, after, kept, MOST).await;
    let older = older.inspect_err(|cause| tracing::warn!(%cause, "the log cannot be read")).ok()?;
    let mut events: Vec<Event> = older.events.iter().filter_map(Event::read).collect();
    events.extend(edge.hub.since(conversation, kept, until)?);
    (!older.more).then_some(events)
}

/// One message as it is now, whoever may see it.
///
/// # Errors
/// `unavailable` when the database or the log does not answer, or when Postgres lacks events that this node no longer keeps and
/// the message may be among them.
pub async fn message(edge: &Edge, id: MessageId) -> Result<Option<Found>, ApiError> {
    let load = || async { edge.store.message(id).await.map_err(error::store) };
    let recent = || edge.hub.whereabouts(id).map(|(conversation, _)| conversation);
    let known = load().await?.map(|message| message.conversation_id).or_else(recent);
    let place = match known {
        Some(conversation) => conversation,
        None => {
            // It may have been acknowledged a moment ago, by another node.
            // Without an answer of the log that cannot be excluded.
            let last = last_seq_of_all(edge).await.ok_or_else(ApiError::unavailable)?;
            let routed = freshness::routed(edge, last, ROUTED).await;
            match recent() {
                Some(conversation) => conversation,
                None if routed && nothing_is_hidden(edge).await
                    || freshness::sequence(edge, last).await =>
                {
                    let found = load().await?;
                    return Ok(found.map(|message| Found { message, is_fresh: true }));
                }
                None => return Err(ApiError::unavailable()),
            }
        }
    };
    let ahead = conversation(edge, place).await?;
    // Read again: it may have been changed and persisted meanwhile.
    match ahead.find(id, load().await?) {
        Some(message) => Ok(Some(Found { message, is_fresh: ahead.is_fresh })),
        // It was known a moment ago, and Postgres is too far behind to tell.
        None if !ahead.is_fresh => Err(ApiError::unavailable()),
        None => Ok(None),
    }
}

/// A recent message as it is now, without the database. Reactions are left out.
pub async fn recent(edge: &Edge, id: MessageId) -> Option<Message> {
    let (conversation, _) = edge.hub.whereabouts(id)?;
    // What happened to it since may still be on its way to this node.
    let last = last_seq(edge, conversation).await?;
    let events = freshness::routed(edge, last, ROUTED).await.then(|| edge.hub.message(id))?;
    Ahead { events, is_fresh: false, now: edge.clock.now() }.find(id, None)
}

/// Is everything that Postgres lacks kept here? Then what neither has does not exist.
pub async fn nothing_is_hidden(edge: &Edge) -> bool {
    let persisted = *edge.persisted.borrow();
    edge.hub.covers(persisted)
        || edge.store.progress().await.is_ok_and(|progress| edge.hub.covers(progress.last_seq))
}

/// Waits until Postgres has the event at `seq`, unless it is behind for longer than that anyway. Returns whether it
/// has.
async fn persisted_soon(edge: &Edge, seq: Seq) -> bool {
    let mut persisted = edge.persisted.clone();
    let behind = edge.hub.stored_behind(*persisted.borrow()).map_or(0, |stored_at| {
        edge.clock.now().as_nanosecond().saturating_sub(i128::from(stored_at))
    });
    let waited = Duration::from_nanos(u64::try_from(behind).unwrap_or_default());
    let there = persisted.wait_for(|known| *known >= seq);
    matches!(tokio::time::timeout(PERSISTED_SOON.saturating_sub(waited), there).await, Ok(Ok(_)))
}

/// The last sequence of a conversation; `None` when nothing ever happened in it.
async fn last_seq(edge: &Edge, conversation: ConversationId) -> Option<Seq> {
    if !connect::is_connected(&edge.signals) {
        // Nothing new is acknowledged either. What came here before may not be in Postgres all the same.
        return Some(edge.tail.borrow().seq);
    }
    match reads::last_seq(&edge.log, conversation).await {
        Ok(last) => last,
        Err(cause) => {
            tracing::warn!(%cause, "cannot ask the log how far it is; answering with what is here");
            Some(edge.tail.borrow().seq)
        }
    }
}

/// Where the log ends; `None` when it does not answer.
async fn last_seq_of_all(edge: &Edge) -> Option<Seq> {
    if !connect::is_connected(&edge.signals) {
        return None;
    }
    let extent = freshness::extent(edge).await;
    let extent =
        extent.inspect_err(|cause| tracing::warn!(%cause, "cannot ask the log how far it is"));
    Some(extent.ok()?.last)
}

impl Ahead {
    fn nothing() -> Self {
        Self { is_fresh: true, ..Self::default() }
    }

    /// How many messages Postgres lacks.
    pub fn messages(&self) -> usize {
        let new = |event: &&Event| event.origin.kind == EventKind::NewMessage;
        self.events.iter().filter(new).count()
    }

    /// A page of Postgres, with what it lacks: of new messages those that are `wanted`, of changes those that concern
    /// what is on the page. The first `limit` of them remain.
    pub fn complete(
        &self,
        page: History,
        wanted: impl Fn(Seq) -> bool,
        order: Order,
        limit: usize,
    ) -> History {
        if self.events.is_empty() {
            return page;
        }
        let mut all = by_place(page.messages);
        for event in &self.events {
            if event.origin.kind != EventKind::NewMessage || wanted(event.origin.seq) {
                apply(event, &mut all);
            }
        }
        let has_more = page.has_more || all.len() > limit;
        let all = all.into_values().map(|message| message.shown_at(self.now));
        let messages = match order {
            Order::NewestFirst => all.rev().take(limit).collect(),
            Order::OldestFirst => all.take(limit).collect(),
        };
        History { messages, has_more }
    }

    /// One message: as Postgres has it if it does, and what happened to it since.
    pub fn find(&self, id: MessageId, stored: Option<Message>) -> Option<Message> {
        let mut all = by_place(stored);
        for event in &self.events {
            let is_new = event.origin.kind == EventKind::NewMessage;
            if !is_new || event.id == Some(id) {
                apply(event, &mut all);
            }
        }
        let found = all.into_values().find(|message| message.id == id);
        found.map(|message| message.shown_at(self.now))
    }
}

fn by_place(messages: impl IntoIterator<Item = Message>) -> BTreeMap<Seq, Message> {
    messages.into_iter().map(|message| (message.seq, message)).collect()
}

/// Lets an event have its effect, as the persister will. What cannot be read, it parks and says so.
fn apply(event: &Event, all: &mut BTreeMap<Seq, Message>) {
    let seq = event.origin.seq;
    let read = || serde_json::from_slice::<objects::Message>(&event.data).ok();
    match (event.origin.kind, event.target) {
        (EventKind::NewMessage, _) => {
            let message = read().and_then(|message| message.into_domain(seq).ok());
            if let Some(message) = message {
                // Postgres may have got it meanwhile, with what happened since.
                all.entry(seq).or_insert(message);
            }
        }
        (EventKind::MessageUpdated, Some(target)) => {
            let Some(message) = all.get_mut(&target).filter(|m| m.deleted_at.is_none()) else {
                return;
            };
            let Some((content, edited_at)) = read().and_then(|m| Some((m.content, m.edited_at?)))
            else {
                return;
            };
            // Postgres may know of a later edit already.
            if message.edited_at.is_none_or(|known| known < edited_at) {
                message.content = content;
                message.edited_at = Some(edited_at);
                message.updated_at = edited_at;
            }
        }
        (EventKind::MessageDeleted, Some(target)) => {
            let at = Timestamp::from_millisecond(event.origin.stored_at / 1_000_000);
            if let Some(message) = all.get_mut(&target).filter(|m| m.deleted_at.is_none()) {
                message.bury(at.unwrap_or(Timestamp::UNIX_EPOCH));
            }
        }
        (EventKind::ReactionUpdated, Some(target)) => {
            let reaction: Option<ReactionUpdated> = serde_json::from_slice(&event.data).ok();
            let message = all.get_mut(&target).filter(|m| m.deleted_at.is_none());
            if let Some((message, reaction)) = message.zip(reaction) {
                react(&mut message.reactions, reaction);
            }
        }
        _ => {}
    }
}

/// Saying again what is so changes nothing, as far as the people are named.
fn react(
    reactions: &mut Vec<Reacted>,
    ReactionUpdated { emoji, user_id, added, .. }: ReactionUpdated,
) {
    let Some(reacted) = reactions.iter_mut().find(|reacted| reacted.emoji == emoji) else {
        if added {
            reactions.push(Reacted { emoji, count: 1, user_ids: vec![user_id] });
        }
        return;
    };
    let named = reacted.user_ids.iter().position(|user| *user == user_id);
    match (added, named) {
        (true, None) => {
            reacted.count += 1;
            if reacted.user_ids.len() < SHOWN_USERS as usize {
                reacted.user_ids.push(user_id);
            }
        }
        (false, Some(place)) => {
            reacted.count -= 1;
            reacted.user_ids.remove(place);
        }
        _ => {}
    }
    reactions.retain(|reacted| reacted.count > 0);
}
