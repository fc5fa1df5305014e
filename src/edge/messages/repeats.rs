//! Sends of a message that was accepted before: whichever way they come, the answer is that message, as it is now.
//!
//! Three memories know of it. The recent events of this node know it by its id. The stream refuses to store
//! an id twice within its window of two minutes, whichever node sends. Postgres has it from then on; it is asked
//! when the sender says that it repeats itself, because a look-up for every send would cost a query each.

use crate::bus::reads;
use crate::domain::ids::{ConversationId, MessageId, Seq};
use crate::edge::{Edge, ahead, error, freshness};
use crate::wire::error::{ApiError, Code};
use crate::wire::objects;

use super::{Prepared, SENT, accepted};

/// The message that a send with the same id was accepted as, if any.
///
/// What is not recent and not in Postgres was never accepted, or so lately that the stream's window covers it. When
/// Postgres is so far behind that this is not certain, nobody can tell.
///
/// # Errors
/// `conflict` when that was in another conversation, `unavailable` when it cannot be found out.
pub async fn earlier(
    edge: &Edge,
    id: MessageId,
    conversation: ConversationId,
) -> Result<Option<objects::Message>, ApiError> {
    if let Some(message) = ahead::recent(edge, id).await {
        return answer(message.into(), conversation).map(Some);
    }
    let stored = edge.store.message(id).await.map_err(error::store)?;
    if stored.is_none() && ahead::nothing_is_hidden(edge).await {
        return Ok(None);
    }
    // As it is now: what happened to it may not be in Postgres yet.
    let found = ahead::message(edge, id).await?;
    found.map(|found| answer(found.message.into(), conversation)).transpose()
}

/// The message that the stream has stored at `seq` for the same id.
///
/// # Errors
/// `conflict` when that was in another conversation, `unavailable`.
pub async fn original(
    edge: &Edge,
    prepared: &Prepared,
    seq: Seq,
) -> Result<objects::Message, ApiError> {
    freshness::routed(edge, seq, freshness::ROUTED).await;
    let found = match ahead::recent(edge, prepared.id).await {
        Some(message) => Ok(Some(message)),
        None => ahead::message(edge, prepared.id).await.map(|found| found.map(|f| f.message)),
    };
    if let Ok(Some(message)) = found {
        return answer(message.into(), prepared.conversation);
    }
    // No longer recent, and Postgres is away or does not have it yet.
    let stored = reads::payload_at(&edge.log, seq).await.map_err(|cause| error::bus(&cause))?;
    let payload = stored.ok_or_else(ApiError::unavailable)?;
    answer(accepted(&payload, seq)?.shown_at(edge.clock.now()), prepared.conversation)
}

fn answer(
    mut message: objects::Message,
    conversation: ConversationId,
) -> Result<objects::Message, ApiError> {
    if message.conversation_id != conversation {
        let detail = "this clientMessageId was used for a message in another conversation";
        return Err(ApiError::new(Code::Conflict, detail));
    }
    message.status = Some(SENT.to_owned());
    Ok(message)
}
