//! Messages that are sent later: accepted by Postgres, sent at their time by the persister's leader.

use jiff::Timestamp;

use crate::domain::ids::{ConversationId, MessageId};
use crate::domain::message::Message;
use crate::domain::schedule::{self, MAX_SCHEDULED, State, TimeRefused, When};
use crate::store::scheduled::{Kept, Scheduled, Sending};
use crate::wire::error::{ApiError, Code};
use crate::wire::objects;

use super::auth::Caller;
use super::messages::Preparation;
use super::{Edge, error, freshness};

/// What becomes of a send that names a time.
pub enum Plan {
    /// It was scheduled before.
    Already(Box<objects::Message>),
    Now,
    At(Timestamp),
}

/// Decides when to send. A repetition is recognised before its time is judged: that may have passed meanwhile.
///
/// # Errors
/// `invalid` for a time in the past or too far ahead; `conflict` for one that was cancelled, or was for another
/// conversation; `unavailable`.
pub async fn plan(
    edge: &Edge,
    named: Option<MessageId>,
    conversation: ConversationId,
    at: Timestamp,
) -> Result<Plan, ApiError> {
    if let Some(id) = named
        && let Some(known) = edge.store.scheduled_message(id).await.map_err(error::store)?
    {
        return known_before(known, conversation).map(|message| Plan::Already(Box::new(message)));
    }
    match schedule::when(at, edge.clock.now()) {
        Ok(When::Now) => Ok(Plan::Now),
        Ok(When::At(at)) => Ok(Plan::At(at)),
        Err(TimeRefused::Past) => Err(ApiError::field("sendAt", "has passed")),
        Err(TimeRefused::TooFar) => {
            let days = schedule::MAX_AHEAD.as_secs() / (24 * 3600);
            Err(ApiError::field("sendAt", format!("must lie at most {days} days ahead")))
        }
    }
}

/// Keeps a message for later; its answer.
///
/// # Errors
/// `conflict` when the sender has too many, or as [`plan`]; `unavailable`.
pub async fn keep(
    edge: &Edge,
    message: Message,
    send_at: Timestamp,
    ttl_seconds: Option<u64>,
    msg_id: &str,
) -> Result<Preparation, ApiError> {
    let (reply_to_message_id, mentions) = (message.reply_to_message_id, message.mentions.clone());
    let (id, conversation_id, sender_id) = (message.id, message.conversation_id, message.sender_id);
    let message = objects::Message::unsequenced(message);
    let payload = serde_json::to_string(&message).map_err(|cause| {
        tracing::error!(%cause, "a message cannot be written");
        ApiError::internal()
    })?;
    let state = State::Waiting;
    let new = Scheduled { id, conversation_id, sender_id, send_at, state, payload };
    let now = edge.clock.now();
    let sending = Sending { ttl_seconds, msg_id, reply_to_message_id, mentions: &mentions, now };
    match edge.store.schedule(&new, sending).await.map_err(error::store)? {
        Kept::New => Ok(Preparation::Scheduled(Box::new(shown(&new)?))),
        Kept::Known(known) => {
            known_before(known, conversation_id).map(|m| Preparation::Already(Box::new(m)))
        }
        Kept::Full => {
            let detail = format!("there are {MAX_SCHEDULED} scheduled messages already");
            Err(ApiError::new(Code::Conflict, detail))
        }
    }
}

fn known_before(
    known: Scheduled,
    conversation: ConversationId,
) -> Result<objects::Message, ApiError> {
    if known.conversation_id != conversation {
        let detail = "this clientMessageId was used for a message in another conversation";
        return Err(ApiError::new(Code::Conflict, detail));
    }
    if known.state == State::Cancelled {
        return Err(ApiError::new(Code::Conflict, "the message was cancelled"));
    }
    shown(&known)
}

/// What the caller has scheduled, the next first; in one conversation or in all.
///
/// # Errors
/// `unavailable`.
pub async fn list(
    edge: &Edge,
    caller: &Caller,
    conversation: Option<ConversationId>,
) -> Result<Vec<objects::Message>, ApiError> {
    // What was just sent is no longer scheduled.
    freshness::everything(edge).await;
    let found = edge.store.scheduled_messages(caller.user_id, conversation).await;
    found.map_err(error::store)?.iter().map(shown).collect()
}

/// One that the caller has scheduled.
///
/// # Errors
/// `unavailable`.
pub async fn own(
    edge: &Edge,
    caller: &Caller,
    id: MessageId,
) -> Result<Option<objects::Message>, ApiError> {
    let found = edge.store.scheduled_message(id).await.map_err(error::store)?;
    let own = found.filter(|s| s.sender_id == caller.user_id && s.state != State::Cancelled);
    own.as_ref().map(shown).transpose()
}

/// Cancels a message of the caller's that was not sent; `None` if there is none to cancel.
///
/// # Errors
/// `unavailable`.
pub async fn cancel(
    edge: &Edge,
    caller: &Caller,
    id: MessageId,
) -> Result<Option<objects::Message>, ApiError> {
    let now = edge.clock.now();
    let found = edge.store.cancel_scheduled(id, caller.user_id, now).await.map_err(error::store)?;
    let Some(was) = found else { return Ok(None) };
    // What it named goes when nothing else names it; if not now, then when the claim is over.
    if let Err(cause) = edge.store.release_media_claims(id).await {
        tracing::debug!(%cause, "the claims of a cancelled message stay for a while");
    }
    let mut message = shown(&was)?;
    message.bury(now);
    message.status = Some(State::Cancelled.as_str().to_owned());
    Ok(Some(message))
}

/// As its sender sees it.
/// A scheduled message as its sender sees it.
///
/// # Errors
/// `internal` for one that cannot be read.
pub fn shown(scheduled: &Scheduled) -> Result<objects::Message, ApiError> {
    let mut message: objects::Message =
        serde_json::from_str(&scheduled.payload).map_err(|cause| {
            tracing::error!(%cause, "a scheduled message cannot be read");
            ApiError::internal()
        })?;
    message.send_at = Some(scheduled.send_at);
    let status = match scheduled.state {
        State::Waiting | State::Sending => "scheduled",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    };
    message.status = Some(status.to_owned());
    Ok(message)
}
