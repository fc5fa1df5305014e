//! Reading messages.

use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};
use crate::domain::message::Message;
use crate::store::messages::History;
use crate::wire::error::ApiError;
use crate::wire::objects;

use super::{Caller, Edge, freshness, store_error};
use crate::edge::messages::participates;

/// Where in the history to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A page by number, from 1, newest first.
    Page(u32),
    /// Older ones, newest first.
    Before(Seq),
    /// Newer ones, oldest first.
    After(Seq),
    /// A message in its surroundings, newest first.
    Around(MessageId),
}

/// Messages as the caller sees them.
pub struct Page {
    pub messages: Vec<objects::Message>,
    pub has_more: bool,
}

/// Part of a conversation's history, with what was acknowledged when the request began.
///
/// # Errors
/// `not_a_participant`, `not_found` for [`Place::Around`] a message that is not there, `unavailable`.
pub async fn read(
    edge: &Edge,
    caller: &Caller,
    conversation: ConversationId,
    place: Place,
    limit: u32,
) -> Result<Page, ApiError> {
    participates(edge, caller.user_id, conversation).await?;
    freshness::conversation(edge, conversation).await;
    let store = &edge.store;
    let found: Option<History> = match place {
        Place::Page(page) => Some(store.messages_page(conversation, page, limit).await),
        Place::Before(seq) => Some(store.messages_before(conversation, Some(seq), limit).await),
        Place::After(seq) => Some(store.messages_after(conversation, seq, limit).await),
        Place::Around(id) => store.messages_around(conversation, id, limit).await.transpose(),
    }
    .transpose()
    .map_err(store_error)?;
    let history = found.ok_or_else(ApiError::message_not_found)?;
    let messages = with_status(edge, caller.user_id, conversation, history.messages).await?;
    Ok(Page { messages, has_more: history.has_more })
}

/// One message.
///
/// # Errors
/// `not_found`, `unavailable`.
pub async fn message(
    edge: &Edge,
    caller: &Caller,
    id: MessageId,
) -> Result<objects::Message, ApiError> {
    let load =
        || async { edge.store.message_with_role(id, caller.user_id).await.map_err(store_error) };
    match load().await? {
        Some((message, Some(_))) => {
            freshness::conversation(edge, message.conversation_id).await;
        }
        Some((_, None)) => return Err(ApiError::message_not_found()),
        // It may have been acknowledged a moment ago.
        None => {
            freshness::everything(edge).await;
        }
    }
    let Some((message, Some(_))) = load().await? else {
        return Err(ApiError::message_not_found());
    };
    let conversation = message.conversation_id;
    let mut shown = with_status(edge, caller.user_id, conversation, vec![message]).await?;
    shown.pop().ok_or_else(ApiError::internal)
}

/// Senders learn how far their messages have come.
async fn with_status(
    edge: &Edge,
    caller: UserId,
    conversation: ConversationId,
    messages: Vec<Message>,
) -> Result<Vec<objects::Message>, ApiError> {
    let others = if messages.iter().any(|message| message.sender_id == caller) {
        edge.store.others_markers(conversation, caller).await.map_err(store_error)?
    } else {
        None
    };
    let status = |message: &Message| match others {
        Some(others) if message.seq <= others.read_seq => "read",
        Some(others) if message.seq <= others.delivered_seq => "delivered",
        _ => "sent",
    };
    let show = |message: Message| {
        let status = (message.sender_id == caller).then(|| status(&message).to_owned());
        let mut shown = objects::Message::from(message);
        shown.status = status;
        shown
    };
    Ok(messages.into_iter().map(show).collect())
}
