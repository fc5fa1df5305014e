//! Messages whose time has come, as the log gets them.

use jiff::Timestamp;

use crate::bus::publish::Record;
use crate::domain::expiry;
use crate::domain::schedule::State;
use crate::store::scheduled::Due;
use crate::wire::event::EventKind;
use crate::wire::objects;

/// The event of a scheduled message that is sent `now`; `None` when it cannot be sent.
///
/// Its times are those of the sending: that is when it takes its place among the others, and when it may be edited
/// from. What it quotes, and whom it mentions, is as it is now.
pub fn record(due: Due, now: Timestamp) -> Option<Record> {
    let Due { scheduled, ttl_seconds, msg_id, quoted, mentions } = due;
    let id = scheduled.id;
    if scheduled.state != State::Sending {
        tracing::info!(%id, "a scheduled message is not sent: its sender may not write there any more");
        return None;
    }
    let unreadable = |cause: &serde_json::Error| {
        tracing::error!(%id, %cause, "a scheduled message cannot be read or written");
    };
    let mut message: objects::Message =
        serde_json::from_str(&scheduled.payload).inspect_err(unreadable).ok()?;
    message.created_at = now;
    message.updated_at = now;
    message.expires_at = ttl_seconds.and_then(|ttl| {
        let ttl = i64::try_from(ttl).ok()?;
        now.checked_add(jiff::SignedDuration::from_secs(ttl)).ok()
    });
    message.mentions.retain(|user| mentions.contains(user));
    if let Some((quote, content)) = message.reply_to.as_mut().zip(quoted) {
        quote.content = content;
    }
    Some(Record {
        conversation: scheduled.conversation_id,
        kind: EventKind::NewMessage,
        msg_id,
        payload: serde_json::to_vec(&message).inspect_err(unreadable).ok()?.into(),
        ttl: message.expires_at.map(|at| expiry::log_ttl(at, now)),
        trace: None,
    })
}
