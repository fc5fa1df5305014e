//! A send before the log: what is wrong with it, and what the log will hold.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::bus::publish::Record;
use crate::domain::expiry;
use crate::domain::ids::{
    ConversationId, MessageId, Seq, UserId, fresh_message_id, named_message_id,
};
use crate::domain::message::{Message, MessageType, ReplyPreview, preview};
use crate::edge::auth::Caller;
use crate::edge::media::named::{self, Naming};
use crate::edge::schedule::{self, Plan};
use crate::edge::{Edge, ahead, error, newcomers, posting};
use crate::telemetry::metrics::Rule;
use crate::telemetry::trace::TraceParent;
use crate::wire::error::ApiError;
use crate::wire::event::EventKind;
use crate::wire::objects;
use crate::wire::requests::{SendMessage, Validated};

use super::{json, participates, repeats};

/// A message that may be published.
pub struct Prepared {
    pub id: MessageId,
    /// The sender named it, so that another request may be for the same message.
    pub is_named: bool,
    pub conversation: ConversationId,
    pub msg_id: String,
    /// The message's JSON without `seq`, as the log holds it.
    pub payload: Bytes,
    /// How long the log keeps it, if not for as long as everything.
    pub ttl: Option<Duration>,
    pub trace: Option<String>,
}

/// What became of a send before the log.
pub enum Preparation {
    Publish(Prepared),
    /// A resend of a message that was accepted long ago.
    Already(Box<objects::Message>),
    /// Accepted, to be sent at its time.
    Scheduled(Box<objects::Message>),
}

/// Checks a send and gives the message its id.
///
/// # Errors
/// `rate_limited`, `invalid`, `not_a_participant`, `forbidden`, `unavailable`.
pub async fn prepare(
    edge: &Edge,
    caller: &Caller,
    request: SendMessage,
    trace: Option<TraceParent>,
) -> Result<Preparation, ApiError> {
    edge.limits.message(caller.user_id)?;
    let valid = request.validate(edge.settings.max_content_chars)?;
    let conversation = request.conversation_id;
    participates(edge, caller.user_id, conversation).await?;
    let (id, msg_id) = identify(caller.user_id, request.client_message_id.as_deref());
    let is_named = request.client_message_id.is_some();
    if is_named
        && (valid.is_resend || valid.send_at.is_some() || edge.hub.whereabouts(id).is_some())
    {
        // Boxed like the other rare branches: what they need on their way would be allocated for every send.
        let earlier = Box::pin(repeats::earlier(edge, id, conversation)).await?;
        if let Some(message) = earlier {
            return Ok(Preparation::Already(Box::new(message)));
        }
    }
    // Behind what answers a repetition: a message that was accepted stays accepted.
    edge.may_reach(conversation)?;
    let later = match valid.send_at {
        Some(at) => {
            match Box::pin(schedule::plan(edge, is_named.then_some(id), conversation, at)).await? {
                Plan::Already(message) => return Ok(Preparation::Already(message)),
                Plan::Now => None,
                Plan::At(at) => Some(at),
            }
        }
        None => None,
    };
    if !valid.mentions.is_empty() {
        Box::pin(mentioned(edge, conversation, &valid.mentions)).await?;
    }
    let reply_to = match request.reply_to_message_id {
        Some(quoted) => Some(Box::pin(quote(edge, conversation, quoted)).await?),
        None => None,
    };
    if named::concerns(valid.kind) {
        let naming = Naming {
            message: id,
            conversation,
            sender: caller.user_id,
            kind: valid.kind,
            metadata: &valid.metadata,
            at: later,
        };
        Box::pin(named::claim(edge, naming)).await?;
    }
    let now = edge.clock.now();
    let what = (valid.kind, request.content.as_str());
    check_rules(edge, caller, (conversation, id), what, later.is_some(), now).await?;
    let expires_at = valid.ttl.and_then(|ttl| later.unwrap_or(now).checked_add(ttl).ok());
    let ttl = valid.ttl.map(|ttl| ttl.as_secs());
    let message = compose(caller, request, valid, (id, reply_to), (now, expires_at));
    if let Some(at) = later {
        return Box::pin(schedule::keep(edge, message, at, ttl, &msg_id)).await;
    }
    let payload = json(&objects::Message::unsequenced(message))?;
    let ttl = expires_at.map(|at| expiry::log_ttl(at, now));
    let trace = trace.map(|t| t.to_string());
    Ok(Preparation::Publish(Prepared { id, is_named, conversation, msg_id, payload, ttl, trace }))
}

/// The id of a message and what the log knows a repetition by: from its name, so that both are the same again, or new.
fn identify(sender: UserId, name: Option<&str>) -> (MessageId, String) {
    match name {
        Some(name) => (named_message_id(sender, name), format!("{sender}:{name}")),
        None => {
            let id = fresh_message_id();
            (id, id.to_string())
        }
    }
}

fn compose(
    caller: &Caller,
    request: SendMessage,
    valid: Validated,
    (id, reply_to): (MessageId, Option<ReplyPreview>),
    (now, expires_at): (Timestamp, Option<Timestamp>),
) -> Message {
    Message {
        id,
        conversation_id: request.conversation_id,
        seq: 0,
        sender_id: caller.user_id,
        sender_name: caller.name.clone(),
        kind: valid.kind,
        content: request.content,
        reply_to_message_id: request.reply_to_message_id,
        reply_to,
        metadata: valid.metadata,
        mentions: valid.mentions,
        reactions: Vec::new(),
        client_message_id: request.client_message_id,
        edited_at: None,
        deleted_at: None,
        expires_at,
        created_at: now,
        updated_at: now,
    }
}

/// What is said of who may write what, where and when. The last of it counts the message as sent, so nothing may refuse it
/// behind this.
async fn check_rules(
    edge: &Edge,
    caller: &Caller,
    (conversation, id): (ConversationId, MessageId),
    what: (MessageType, &str),
    is_later: bool,
    now: Timestamp,
) -> Result<(), ApiError> {
    let user = caller.user_id;
    newcomers::check(edge, user, conversation, what, now).await?;
    let counted = edge.limits.text(user, conversation, what.1, now);
    counted.inspect_err(|_| edge.metrics.safety.refused(Rule::Flood))?;
    if is_later {
        return Box::pin(posting::check_scheduled(edge, user, conversation)).await;
    }
    posting::check(edge, user, conversation, id, now).await
}

impl Prepared {
    /// The first of the log lines that follow a traced message; `routed` and `persisted` come after it.
    pub fn trace_accepted(&self, seq: Seq) {
        if let Some(trace) = &self.trace {
            tracing::info!(trace, seq, "accepted");
        }
    }

    /// What goes to the log.
    pub fn record(&self) -> Record {
        Record {
            conversation: self.conversation,
            kind: EventKind::NewMessage,
            msg_id: self.msg_id.clone(),
            payload: self.payload.clone(),
            ttl: self.ttl,
            trace: self.trace.clone(),
        }
    }
}

async fn quote(
    edge: &Edge,
    conversation: ConversationId,
    id: MessageId,
) -> Result<ReplyPreview, ApiError> {
    let found = match edge.store.message(id).await.map_err(error::store)? {
        Some(message) => Some(message),
        None => ahead::message(edge, id).await?.map(|found| found.message),
    };
    let quoted = found.filter(|message| message.conversation_id == conversation);
    let Some(quoted) = quoted else {
        return Err(ApiError::field("replyToMessageId", "names no message of this conversation"));
    };
    Ok(ReplyPreview {
        id,
        sender_id: quoted.sender_id,
        kind: quoted.kind,
        // The quote would outlive what it quotes.
        content: if quoted.expires_at.is_none() { preview(&quoted.content) } else { String::new() },
    })
}

/// Only participants can be mentioned: anybody else would be notified of a conversation that is not theirs.
async fn mentioned(
    edge: &Edge,
    conversation: ConversationId,
    mentions: &[UserId],
) -> Result<(), ApiError> {
    let registry = edge.hub.registry();
    let unknown =
        mentions.iter().copied().filter(|user| !registry.is_participant(*user, conversation));
    let unknown: Vec<UserId> = unknown.collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let found = edge.store.participants_among(conversation, &unknown).await;
    if found.map_err(error::store)? == unknown.len() {
        return Ok(());
    }
    Err(ApiError::field("mentions", "must name participants of the conversation"))
}
