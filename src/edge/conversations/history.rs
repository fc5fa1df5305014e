//! Reading messages.

use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};
use crate::domain::message::Message;
use crate::domain::receipt::{Receipts, Status};
use crate::store::messages::History;
use crate::wire::error::{ApiError, Code};
use crate::wire::objects;

use super::{Caller, Edge, store_error};
use crate::edge::ahead::{self, Ahead, Found, Order};
use crate::edge::messages::participates;
use crate::edge::{reactions, schedule};

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
    let ahead = ahead::conversation(edge, conversation).await?;
    let reading = Reading { edge, conversation, ahead: &ahead };
    let history = match place {
        Place::Page(page) => reading.page(page, limit).await?,
        Place::Before(seq) => reading.before(seq, limit).await?,
        Place::After(seq) => reading.after(seq, limit).await?,
        Place::Around(id) => reading.around(id, limit).await?,
    };
    let messages = with_status(edge, caller.user_id, conversation, history.messages).await?;
    Ok(Page { messages, has_more: history.has_more })
}

/// A conversation's messages in Postgres, and what it lacks of them.
struct Reading<'a> {
    edge: &'a Edge,
    conversation: ConversationId,
    ahead: &'a Ahead,
}

impl Reading<'_> {
    async fn page(&self, page: u32, limit: u32) -> Result<History, ApiError> {
        let skipped = u64::from(page.saturating_sub(1)) * u64::from(limit);
        // The newest are those that Postgres lacks.
        let lacking = self.ahead.messages() as u64;
        let behind = skipped.saturating_sub(lacking);
        let store = &self.edge.store;
        let found = store.messages_behind(self.conversation, behind, limit).await;
        let found = found.map_err(store_error)?;
        let before = skipped.min(lacking) as usize;
        let limit = limit as usize;
        let mut history =
            self.ahead.complete(found, |_| skipped < lacking, Order::NewestFirst, before + limit);
        if skipped < lacking {
            history.messages.drain(..before.min(history.messages.len()));
        }
        history.messages.truncate(limit);
        Ok(history)
    }

    async fn before(&self, seq: Seq, limit: u32) -> Result<History, ApiError> {
        let found = self.edge.store.messages_before(self.conversation, Some(seq), limit).await;
        let found = found.map_err(store_error)?;
        Ok(self.ahead.complete(found, |place| place < seq, Order::NewestFirst, limit as usize))
    }

    async fn after(&self, seq: Seq, limit: u32) -> Result<History, ApiError> {
        let found = self.edge.store.messages_after(self.conversation, seq, limit).await;
        let found = found.map_err(store_error)?;
        Ok(self.ahead.complete(found, |place| place > seq, Order::OldestFirst, limit as usize))
    }

    /// A message and about as many before as after it, newest first. `has_more` tells of older ones.
    async fn around(&self, id: MessageId, limit: u32) -> Result<History, ApiError> {
        let stored = self.edge.store.message(id).await.map_err(store_error)?;
        let middle = self.ahead.find(id, stored);
        let middle = middle.filter(|message| message.conversation_id == self.conversation);
        let middle = middle.ok_or_else(ApiError::message_not_found)?;
        let others = limit.saturating_sub(1);
        let newer = self.after(middle.seq, others / 2).await?.messages;
        let older = self.before(middle.seq, others - newer.len() as u32).await?;
        let mut messages: Vec<Message> = newer.into_iter().rev().collect();
        messages.push(middle);
        messages.extend(older.messages);
        Ok(History { messages, has_more: older.has_more })
    }
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
    let message = match shown_to(edge, caller, id).await {
        Err(missing) if missing.code == Code::NotFound => {
            return schedule::own(edge, caller, id).await?.ok_or(missing);
        }
        found => found?,
    };
    let conversation = message.conversation_id;
    let mut shown = with_status(edge, caller.user_id, conversation, vec![message]).await?;
    shown.pop().ok_or_else(ApiError::internal)
}

/// Who else has received and read a message.
///
/// # Errors
/// `not_found`, `unavailable`.
pub async fn receipts(edge: &Edge, caller: &Caller, id: MessageId) -> Result<Receipts, ApiError> {
    let message = shown_to(edge, caller, id).await?;
    if edge.blocks.is_severed(message.conversation_id) {
        return Ok(Receipts::default());
    }
    edge.store.receipts(&message).await.map_err(store_error)
}

/// A message as it is now. What is not for the caller does not exist.
async fn shown_to(edge: &Edge, caller: &Caller, id: MessageId) -> Result<Message, ApiError> {
    let found = ahead::message(edge, id).await?;
    let Found { message, .. } = found.ok_or_else(ApiError::message_not_found)?;
    match participates(edge, caller.user_id, message.conversation_id).await {
        Ok(()) => Ok(message),
        Err(error) if error.code == Code::NotAParticipant => Err(ApiError::message_not_found()),
        Err(error) => Err(error),
    }
}

/// Senders learn how far their messages have come.
async fn with_status(
    edge: &Edge,
    caller: UserId,
    conversation: ConversationId,
    mut messages: Vec<Message>,
) -> Result<Vec<objects::Message>, ApiError> {
    reactions::name_caller(edge, caller, &mut messages).await?;
    // Of two people of whom one has blocked the other neither learns how far the other one is.
    let is_told = !edge.blocks.is_severed(conversation);
    let others = if is_told && messages.iter().any(|message| message.sender_id == caller) {
        edge.store.others_markers(conversation, caller).await.map_err(store_error)?
    } else {
        None
    };
    let show = |message: Message| {
        let own = message.sender_id == caller;
        let status = own.then(|| Status::of(message.seq, others.as_ref()).as_str().to_owned());
        objects::Message { status, ..message.into() }
    };
    Ok(messages.into_iter().map(show).collect())
}
