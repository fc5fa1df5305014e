//! What happens now: typing, reads, and a user's own changes on another device. At most once, never stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::signals::{self, Signal};
use crate::domain::ids::{ConversationId, UserId};
use crate::store::markers::Marker;
use crate::wire::event::{Change, EventKind, UserTyping};
use crate::wire::frames::{OwnChange, OwnRead, ReadSoFar};

use super::Edge;

/// "Is typing" ends by itself after this.
const TYPING_EXPIRES: Duration = Duration::from_secs(5);
/// How often expiry is looked at: late by a tenth at most.
const TYPING_TICK: Duration = Duration::from_millis(500);
/// Typists of this node. A user may signal 10 times a second (the default), so 5 s hold 50 each: this is for
/// 2,000 users who all do nothing else. Beyond it nothing is announced.
const MAX_TYPING: usize = 100_000;

/// Who is typing where, on this node.
#[derive(Default)]
pub struct Typing {
    until: Mutex<HashMap<(ConversationId, UserId), (Instant, Uuid)>>,
}

/// Sends a signal. Nothing was promised, so a failure is only noted.
pub async fn send(edge: &Edge, signal: Signal) {
    if let Err(cause) = signals::send(&edge.signals, signal).await {
        tracing::debug!(%cause, "a signal was not sent");
    }
}

/// Announces that a user is typing, or has stopped.
pub async fn typing(
    edge: &Edge,
    user: UserId,
    connection: Uuid,
    conversation: ConversationId,
    is_typing: bool,
) {
    {
        let mut until = edge.typing.until.lock();
        let key = (conversation, user);
        if !is_typing {
            until.remove(&key);
        } else if until.len() < MAX_TYPING || until.contains_key(&key) {
            until.insert(key, (Instant::now() + TYPING_EXPIRES, connection));
        } else {
            return;
        }
    }
    announce_typing(edge, user, connection, conversation, is_typing).await;
}

/// Ends what was not renewed, until cancelled.
pub async fn expire_typing(edge: Arc<Edge>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TYPING_TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for ((conversation, user), connection) in edge.typing.expired(Instant::now()) {
            announce_typing(&edge, user, connection, conversation, false).await;
        }
    }
}

impl Typing {
    fn expired(&self, now: Instant) -> Vec<((ConversationId, UserId), Uuid)> {
        let mut until = self.until.lock();
        until.extract_if(|_, (end, _)| *end <= now).map(|(key, (_, from))| (key, from)).collect()
    }
}

async fn announce_typing(
    edge: &Edge,
    user: UserId,
    connection: Uuid,
    conversation: ConversationId,
    is_typing: bool,
) {
    let typing = UserTyping { conversation_id: conversation, user_id: user, is_typing };
    let Some(payload) = json(&typing) else { return };
    let event = "userTyping".to_owned();
    let except_connection = Some(connection);
    let (only_users, except_users) = (Vec::new(), edge.blocks.apart_from(user));
    let signal =
        Signal { conversation, event, only_users, except_users, except_connection, payload };
    send(edge, signal).await;
}

/// Tells a user's other devices that they have read on the one with that connection. It carries only what changed: reads
/// are frequent, and a whole view costs several queries.
pub async fn own_read(
    edge: &Edge,
    user: UserId,
    connection: Option<Uuid>,
    conversation: ConversationId,
    marker: &Marker,
) {
    let payload = OwnRead {
        conversation_id: conversation,
        change: Change::Read,
        conversation: ReadSoFar {
            id: conversation,
            unread_count: marker.unread_count,
            last_read_seq: marker.seq,
        },
    };
    let Some(payload) = json(&payload) else { return };
    let signal = own(user, conversation, payload);
    send(edge, Signal { except_connection: connection, ..signal }).await;
}

/// Tells a user's devices that their own view of a conversation has changed.
pub async fn own_change(edge: &Edge, user: UserId, conversation: ConversationId, change: Change) {
    if let Some(signal) = own_view(edge, user, conversation, change).await {
        send(edge, signal).await;
    }
}

/// A conversation as a user sees it, for their devices alone; `None` where it is not theirs or cannot be read.
pub async fn own_view(
    edge: &Edge,
    user: UserId,
    conversation: ConversationId,
    change: Change,
) -> Option<Signal> {
    let view = edge.store.view(conversation, user, edge.clock.now()).await;
    let view = view
        .inspect_err(|cause| tracing::warn!(%cause, "a user's own change cannot be announced"))
        .ok()??;
    let body =
        OwnChange { conversation_id: conversation, change, conversation: edge.presence.show(view) };
    Some(own(user, conversation, json(&body)?))
}

fn own(user: UserId, conversation: ConversationId, payload: Bytes) -> Signal {
    let event = EventKind::ConversationUpdated.as_str().to_owned();
    let (only_users, except_users) = (vec![user], Vec::new());
    Signal { conversation, event, only_users, except_users, except_connection: None, payload }
}

/// The payload of a signal.
pub(super) fn json(body: &impl Serialize) -> Option<Bytes> {
    serde_json::to_vec(body)
        .inspect_err(|cause| tracing::error!(%cause, "a signal cannot be written"))
        .ok()
        .map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_expires_once() {
        let typing = Typing::default();
        let start = Instant::now();
        let key = (Uuid::from_u128(1), Uuid::from_u128(2));
        typing.until.lock().insert(key, (start + TYPING_EXPIRES, Uuid::nil()));
        assert!(typing.expired(start).is_empty());
        assert_eq!(typing.expired(start + TYPING_EXPIRES), [(key, Uuid::nil())]);
        assert!(typing.expired(start + TYPING_EXPIRES).is_empty());
    }
}
