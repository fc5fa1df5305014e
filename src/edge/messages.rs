//! Sending, editing and deleting: the rules before the log.

use bytes::Bytes;
use jiff::Timestamp;

use crate::bus::BusError;
use crate::bus::publish::Record;
use crate::domain::conversation::{ConversationType, Role};
use crate::domain::expiry;
use crate::domain::ids::{ConversationId, MessageId, Seq, UserId, fresh_message_id};
use crate::domain::message::{ChangeRefused, Message, MessageType, may_delete, may_edit};
use crate::store::participants::Membership;
use crate::telemetry::trace::TraceParent;
use crate::wire::error::{ApiError, Code};
use crate::wire::event::{EventKind, MessageDeleted, splice_seq};
use crate::wire::objects;
use crate::wire::requests::{SendMessage, validate_content};

use super::Edge;
use super::ahead::{self, Found};
use super::auth::Caller;
use super::schedule;

mod prepare;
mod repeats;

pub use prepare::{Preparation, Prepared, prepare};
pub use repeats::original;

/// An accepted message.
pub struct Sent {
    pub message: objects::Message,
    /// It was new; otherwise this was a retry of one already accepted.
    pub created: bool,
}

/// The status of a message right after its acceptance.
const SENT: &str = "sent";

/// Sends a message and waits for its acceptance.
///
/// # Errors
/// As [`prepare`], and `unavailable` when the log does not accept it in time.
pub async fn send(
    edge: &Edge,
    caller: &Caller,
    request: SendMessage,
    trace: Option<TraceParent>,
) -> Result<Sent, ApiError> {
    let began = tokio::time::Instant::now();
    let prepared = match prepare(edge, caller, request, trace).await? {
        Preparation::Publish(prepared) => prepared,
        Preparation::Already(message) => return Ok(Sent { message: *message, created: false }),
        Preparation::Scheduled(message) => return Ok(Sent { message: *message, created: true }),
    };
    let stored = edge
        .publisher
        .publish(prepared.record())
        .await
        .map_err(|cause| publish_failed(edge, &cause))?;
    prepared.trace_accepted(stored.seq);
    let took = began.elapsed();
    edge.metrics.accept_to_puback.observe(took);
    edge.hub.trail().accepted(stored.seq, took);
    let own = accepted(&prepared.payload, stored.seq)?;
    if !(stored.duplicate && prepared.is_named) {
        return Ok(Sent { message: own, created: true });
    }
    let message = original(edge, &prepared, stored.seq).await?;
    // The stream also knows what this request itself had to send twice.
    let created = stored.repeated && message.created_at == own.created_at;
    Ok(Sent { message, created })
}

/// The answer's message for an accepted payload.
fn accepted(payload: &[u8], seq: Seq) -> Result<objects::Message, ApiError> {
    parse(&splice_seq(payload, seq))
}

fn parse(data: &[u8]) -> Result<objects::Message, ApiError> {
    let mut message: objects::Message = serde_json::from_slice(data).map_err(|cause| {
        tracing::error!(%cause, "a message of the log cannot be read");
        ApiError::internal()
    })?;
    message.status = Some(SENT.to_owned());
    Ok(message)
}

/// Gives a message new content.
///
/// # Errors
/// `invalid`, `not_found`, `forbidden` for what others wrote or after the window, `conflict` for a tombstone.
pub async fn edit(
    edge: &Edge,
    caller: &Caller,
    id: MessageId,
    content: String,
) -> Result<objects::Message, ApiError> {
    edge.limits.message(caller.user_id)?;
    let Current { mut message, role, .. } = current(edge, caller.user_id, id).await?;
    let now = edge.clock.now();
    may_edit(&message, caller.user_id, now, edge.settings.edit_window).map_err(refused)?;
    edge.may_reach(message.conversation_id)?;
    validate_content(message.kind, &content, edge.settings.max_content_chars)?;
    super::posting::check_edit(edge, message.conversation_id, role)?;
    let what = (MessageType::Text, content.as_str());
    super::newcomers::check(edge, caller.user_id, message.conversation_id, what, now).await?;
    message.content = content;
    message.edited_at = Some(now);
    message.updated_at = now;
    let conversation = message.conversation_id;
    let message = objects::Message::from(message);
    publish(edge, conversation, EventKind::MessageUpdated, json(&message)?, message.expires_at)
        .await?;
    Ok(message)
}

/// Turns a message into a tombstone. One that is to be sent later is cancelled.
///
/// # Errors
/// `not_found`, `forbidden` unless the sender or an admin asks.
pub async fn delete(
    edge: &Edge,
    caller: &Caller,
    id: MessageId,
) -> Result<objects::Message, ApiError> {
    edge.limits.message(caller.user_id)?;
    if let Some(cancelled) = schedule::cancel(edge, caller, id).await? {
        return Ok(cancelled);
    }
    let found = current(edge, caller.user_id, id).await;
    if found.is_err() && schedule::own(edge, caller, id).await?.is_some() {
        return Err(ApiError::new(Code::Conflict, "the message is being sent"));
    }
    let Current { mut message, role, .. } = found?;
    may_delete(&message, caller.user_id, role).map_err(refused)?;
    if message.deleted_at.is_none() {
        let deleted = MessageDeleted {
            message_id: id,
            conversation_id: message.conversation_id,
            seq: message.seq,
        };
        publish(edge, message.conversation_id, EventKind::MessageDeleted, json(&deleted)?, None)
            .await?;
        message.bury(edge.clock.now());
    }
    Ok(message.into())
}

/// A message as one of its conversation's participants finds it.
pub struct Current {
    pub message: Message,
    pub role: Role,
    /// Postgres had all that the log held of the conversation.
    pub is_fresh: bool,
}

/// The message as it is now, with the caller's role. What is not there for the caller is not found.
///
/// # Errors
/// `not_found`, `unavailable`.
pub async fn current(edge: &Edge, user: UserId, id: MessageId) -> Result<Current, ApiError> {
    let found = ahead::message(edge, id).await?.ok_or_else(ApiError::message_not_found)?;
    let Found { message, is_fresh } = found;
    let membership = edge.store.membership(message.conversation_id, user).await;
    let membership = membership.map_err(super::error::store)?;
    let Membership { role, kind } = membership.ok_or_else(ApiError::message_not_found)?;
    // Whoever opened a direct conversation has no power over what the other one wrote.
    let role = if kind == ConversationType::Direct { Role::Member } else { role };
    Ok(Current { message, role, is_fresh })
}

/// Is the user in the conversation? Those who are connected here are known without asking anyone.
///
/// # Errors
/// `not_a_participant`, `unavailable`.
pub async fn participates(
    edge: &Edge,
    user: UserId,
    conversation: ConversationId,
) -> Result<(), ApiError> {
    if edge.hub.registry().is_participant(user, conversation) {
        return Ok(());
    }
    // The rare branches are boxed: what they need on their way would be allocated for every send.
    let membership = Box::pin(edge.store.membership(conversation, user)).await;
    match membership.map_err(super::error::store)? {
        Some(_) => Ok(()),
        None => Err(ApiError::not_a_participant()),
    }
}

/// Publishes a change of a message; one with content leaves the log when the message has vanished.
async fn publish(
    edge: &Edge,
    conversation: ConversationId,
    kind: EventKind,
    payload: Bytes,
    expires_at: Option<Timestamp>,
) -> Result<(), ApiError> {
    let msg_id = fresh_message_id().to_string();
    let ttl = expires_at.map(|at| expiry::log_ttl(at, edge.clock.now()));
    let record = Record { conversation, kind, msg_id, payload, ttl, trace: None };
    let stored = edge.publisher.publish(record).await;
    stored.map(|_| ()).map_err(|cause| publish_failed(edge, &cause))
}

/// The answer to a publish that failed; counted here, for every protocol.
pub fn publish_failed(edge: &Edge, cause: &BusError) -> ApiError {
    let error = super::error::bus(cause);
    edge.metrics.publish_failed(error.code.as_str());
    error
}

fn refused(why: ChangeRefused) -> ApiError {
    match why {
        ChangeRefused::NotAllowed => {
            ApiError::new(Code::Forbidden, "only its sender may do this to a message")
        }
        ChangeRefused::TooLate => {
            ApiError::new(Code::Forbidden, "the time for editing this message has passed")
        }
        ChangeRefused::Deleted => ApiError::new(Code::Conflict, "the message was deleted"),
        ChangeRefused::System => ApiError::new(Code::Forbidden, "system messages cannot be edited"),
    }
}

/// The payload of an event.
pub fn json(value: &impl serde::Serialize) -> Result<Bytes, ApiError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|cause| {
        tracing::error!(%cause, "an event cannot be written");
        ApiError::internal()
    })
}
