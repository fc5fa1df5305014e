//! Keeping somebody out of a conversation.

use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, UserId};
use crate::edge::Edge;
use crate::edge::auth::Caller;
use crate::edge::error::change as change_error;
use crate::store::bans::BanPage;
use crate::store::participants::ParticipantKey;
use crate::wire::error::ApiError;
use crate::wire::event::Change;

use super::event;

/// Bans somebody, and removes them if they are there. The others are told of the removal.
///
/// # Errors
/// `not_a_participant`, `forbidden` for members, `conflict` in a direct conversation and for oneself.
pub async fn ban(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    user: UserId,
    reason: Option<&str>,
) -> Result<(), ApiError> {
    let announced =
        |after: &Conversation| event(edge, Change::ParticipantsRemoved, caller, &[user], after);
    let was_there = edge
        .store
        .ban(id, caller.user_id, (user, reason), edge.clock.now(), announced)
        .await
        .map_err(change_error)?;
    if was_there {
        edge.outbox.publish(id).await;
    }
    Ok(())
}

/// Lifts a ban. Whoever was banned may come again, and is not brought back.
///
/// # Errors
/// As [`ban`], and `not_found` for who is not banned.
pub async fn lift(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    user: UserId,
) -> Result<(), ApiError> {
    edge.store.unban(id, caller.user_id, user).await.map_err(change_error)
}

/// Who is banned.
///
/// # Errors
/// `not_a_participant`, `forbidden` for members, `conflict` in a direct conversation.
pub async fn list(
    edge: &Edge,
    caller: &Caller,
    id: ConversationId,
    after: Option<ParticipantKey>,
    limit: u32,
) -> Result<BanPage, ApiError> {
    edge.store.bans(id, caller.user_id, after, limit).await.map_err(change_error)
}
