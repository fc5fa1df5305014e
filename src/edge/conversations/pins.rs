//! Messages that everyone in a conversation finds at the top.

use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, MessageId};
use crate::edge::auth::Caller;
use crate::edge::error::{change as change_error, store as store_error};
use crate::edge::messages::{current, participates};
use crate::edge::{Edge, freshness};
use crate::store::outbox::OutboxEvent;
use crate::store::pins::Pin;
use crate::wire::error::ApiError;
use crate::wire::event::Change;

use super::event_of;

/// Pins a message; doing so twice is harmless.
///
/// # Errors
/// `not_a_participant`, `not_found` for what is no message of the conversation, `forbidden` for members, `conflict` for a
/// deleted one and when there are too many.
pub async fn pin(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    message: MessageId,
) -> Result<(), ApiError> {
    participates(edge, caller.user_id, id).await?;
    edge.may_reach(id)?;
    let found = current(edge, caller.user_id, message).await?.message;
    if found.conversation_id != id {
        return Err(ApiError::message_not_found());
    }
    if found.deleted_at.is_some() {
        return Err(crate::edge::error::refused(crate::domain::membership::Refused::Deleted));
    }
    let announced =
        |after: &Conversation| changed(edge, Change::MessagePinned, caller, message, after);
    let is_new = edge
        .store
        .pin_message(id, caller.user_id, message, edge.clock.now(), announced)
        .await
        .map_err(change_error)?;
    if is_new {
        edge.outbox.publish(id).await;
    }
    Ok(())
}

/// Unpins a message; one that is not pinned is left as it is.
///
/// # Errors
/// `not_a_participant`, `forbidden` for members.
pub async fn unpin(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    message: MessageId,
) -> Result<(), ApiError> {
    let announced =
        |after: &Conversation| changed(edge, Change::MessageUnpinned, caller, message, after);
    let was_pinned = edge
        .store
        .unpin_message(id, caller.user_id, message, edge.clock.now(), announced)
        .await
        .map_err(change_error)?;
    if was_pinned {
        edge.outbox.publish(id).await;
    }
    Ok(())
}

/// The pinned messages, the last pinned first.
///
/// # Errors
/// `not_a_participant`, `unavailable`.
pub async fn list(edge: &Edge, caller: &Caller, id: ConversationId) -> Result<Vec<Pin>, ApiError> {
    participates(edge, caller.user_id, id).await?;
    // A message can be pinned before Postgres has it.
    freshness::conversation(edge, id).await;
    edge.store.pins(id).await.map_err(store_error)
}

fn changed(
    edge: &Edge,
    change: Change,
    actor: &Caller,
    message: MessageId,
    after: &Conversation,
) -> OutboxEvent {
    event_of(edge, change, actor, &[], Some(message), after)
}
