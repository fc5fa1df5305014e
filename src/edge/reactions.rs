//! Reacting to messages: one of each emoji a user, as events of the log.

use uuid::Uuid;

use crate::bus::publish::Record;
use crate::domain::ids::{MessageId, UserId, fresh_message_id};
use crate::domain::message::Message;
use crate::domain::reaction::{self, MAX_EMOJI, Reacted};
use crate::store::reactions::Standing;
use crate::wire::error::{ApiError, Code};
use crate::wire::event::{EventKind, ReactionUpdated};

use super::Edge;
use super::auth::Caller;
use super::messages::{self, Current};

/// Adds a reaction or takes it back. What is so already succeeds, and nobody hears of it.
///
/// # Errors
/// `invalid` for what is no emoji, and beyond [`MAX_EMOJI`] of them; `not_found`; `conflict` for a tombstone;
/// `rate_limited`; `unavailable`.
pub async fn change(
    edge: &Edge,
    caller: &Caller,
    id: MessageId,
    emoji: &str,
    added: bool,
) -> Result<(), ApiError> {
    edge.limits.message(caller.user_id)?;
    let emoji =
        reaction::emoji(emoji).ok_or_else(|| ApiError::field("emoji", "must be a single emoji"))?;
    let Current { message, is_fresh, .. } = messages::current(edge, caller.user_id, id).await?;
    edge.may_reach(message.conversation_id)?;
    if message.deleted_at.is_some() {
        return Err(ApiError::new(Code::Conflict, "the message was deleted"));
    }
    let user = caller.user_id;
    let msg_id = if is_fresh {
        let standing = edge.store.reaction(id, user, emoji).await.map_err(super::error::store)?;
        if standing.is_some_and(|s| s.added) == added {
            return Ok(());
        }
        if added {
            has_room(&message, emoji)?;
        }
        change_id(id, user, emoji, standing)
    } else {
        // What stands cannot be known while the persister is behind. Saying again what is so changes nothing.
        fresh_message_id()
    };
    let updated = ReactionUpdated {
        message_id: id,
        conversation_id: message.conversation_id,
        seq: message.seq,
        emoji: emoji.to_owned(),
        user_id: user,
        added,
    };
    let record = Record {
        conversation: message.conversation_id,
        kind: EventKind::ReactionUpdated,
        msg_id: msg_id.to_string(),
        payload: messages::json(&updated)?,
        ttl: None,
        trace: None,
    };
    let stored = edge.publisher.publish(record).await;
    stored.map(|_| ()).map_err(|cause| messages::publish_failed(edge, &cause))
}

/// Of those who gave an emoji that many have given, only the first are named. The caller is named in any case, to know
/// what to take back.
///
/// # Errors
/// `unavailable`.
pub async fn name_caller(
    edge: &Edge,
    user: UserId,
    messages: &mut [Message],
) -> Result<(), ApiError> {
    let lacks = |reacted: &Reacted| {
        reacted.count > reacted.user_ids.len() as u64 && !reacted.user_ids.contains(&user)
    };
    let crowded = messages.iter().filter(|message| message.reactions.iter().any(lacks));
    let ids: Vec<MessageId> = crowded.map(|message| message.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let own = edge.store.reactions_of(user, &ids).await.map_err(super::error::store)?;
    for message in messages {
        for reacted in message.reactions.iter_mut().filter(|reacted| lacks(reacted)) {
            if own.iter().any(|(id, emoji)| *id == message.id && *emoji == reacted.emoji) {
                reacted.user_ids.push(user);
            }
        }
    }
    Ok(())
}

/// People who react at the same moment may take a message a few emoji beyond the limit.
fn has_room(message: &Message, emoji: &str) -> Result<(), ApiError> {
    let known = message.reactions.iter().any(|reacted| reacted.emoji == emoji);
    if known || message.reactions.len() < MAX_EMOJI {
        return Ok(());
    }
    Err(ApiError::field("emoji", format!("a message has at most {MAX_EMOJI} different emoji")))
}

/// A change from what stood before has one id, so that a request that is repeated, or made on two devices at once,
/// is stored once.
fn change_id(message: MessageId, user: UserId, emoji: &str, before: Option<Standing>) -> Uuid {
    let before = before.map_or(0, |standing| standing.seq);
    Uuid::new_v5(&message, format!("{user}:{before}:{emoji}").as_bytes())
}
