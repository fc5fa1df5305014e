//! Signals: typing and reads, at most once, never stored, never in the way of messages.

use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, UserId};
use crate::wire::event::EVENT_HEADER;
use crate::wire::subjects;

use super::BusError;

/// Only this user's connections receive the signal.
const ONLY_HEADER: &str = "Only-User";
/// This connection does not receive it: it is where the signal comes from.
const EXCEPT_HEADER: &str = "Except-Connection";

/// Something that happens now in a conversation.
#[derive(Debug, Clone)]
pub struct Signal {
    pub conversation: ConversationId,
    /// The event's name on the wire.
    pub event: String,
    pub only_user: Option<UserId>,
    pub except_connection: Option<Uuid>,
    /// The event's data as clients see it.
    pub payload: Bytes,
}

/// Sends a signal.
///
/// # Errors
/// [`BusError::Unavailable`] when the connection is closed; nothing was promised, so callers only log it.
pub async fn send(client: &Client, signal: Signal) -> Result<(), BusError> {
    if client.connection_state() != async_nats::connection::State::Connected {
        // Queued, it would arrive when it is no longer true.
        return Err(BusError::unavailable("disconnected"));
    }
    let mut headers = HeaderMap::new();
    headers.insert(EVENT_HEADER, signal.event.as_str());
    if let Some(user) = signal.only_user {
        headers.insert(ONLY_HEADER, user.to_string().as_str());
    }
    if let Some(connection) = signal.except_connection {
        headers.insert(EXCEPT_HEADER, connection.to_string().as_str());
    }
    client
        .publish_with_headers(subjects::signal(signal.conversation), headers, signal.payload)
        .await
        .map_err(BusError::unavailable)
}

/// Hands every signal to `receive`, until the connection closes.
///
/// # Errors
/// [`BusError::Unavailable`] when the subscription ends.
pub async fn follow(client: &Client, mut receive: impl FnMut(Signal)) -> Result<(), BusError> {
    let mut signals =
        client.subscribe(subjects::SIGNAL_ALL).await.map_err(BusError::unavailable)?;
    while let Some(message) = signals.next().await {
        match decode(&message) {
            Some(signal) => receive(signal),
            None => tracing::warn!("a signal without event or conversation; ignored"),
        }
    }
    Err(BusError::unavailable("the signal subscription ended"))
}

fn decode(message: &async_nats::Message) -> Option<Signal> {
    let headers = message.headers.as_ref()?;
    let id = |name: &str| headers.get(name).and_then(|v| Uuid::try_parse(v.as_str()).ok());
    Some(Signal {
        conversation: subjects::conversation_of(&message.subject)?,
        event: headers.get(EVENT_HEADER)?.as_str().to_owned(),
        only_user: id(ONLY_HEADER),
        except_connection: id(EXCEPT_HEADER),
        payload: message.payload.clone(),
    })
}
