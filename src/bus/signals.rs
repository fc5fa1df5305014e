//! Signals: typing, reads and deliveries, at most once, never stored, never in the way of messages.

use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, UserId};
use crate::wire::event::EVENT_HEADER;
use crate::wire::subjects;

use super::BusError;

/// Only the connections of these users receive the signal: their ids, separated by commas.
const ONLY_HEADER: &str = "Only-Users";
/// The connections of these users do not receive it: their ids, separated by commas.
const EXCEPT_USERS_HEADER: &str = "Except-Users";
/// This connection does not receive it: it is where the signal comes from.
const EXCEPT_HEADER: &str = "Except-Connection";

/// Something that happens now in a conversation.
#[derive(Debug, Clone)]
pub struct Signal {
    pub conversation: ConversationId,
    /// The event's name on the wire.
    pub event: String,
    /// Nobody else receives it; empty: everybody who hears the conversation does.
    pub only_users: Vec<UserId>,
    /// These users do not receive it.
    pub except_users: Vec<UserId>,
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
    if !signal.only_users.is_empty() {
        headers.insert(ONLY_HEADER, joined(&signal.only_users).as_str());
    }
    if !signal.except_users.is_empty() {
        headers.insert(EXCEPT_USERS_HEADER, joined(&signal.except_users).as_str());
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
pub async fn follow(client: &Client, receive: impl FnMut(Signal)) -> Result<(), BusError> {
    let signals = client.subscribe(subjects::SIGNAL_ALL).await.map_err(BusError::unavailable)?;
    hand_over(signals, receive).await
}

/// The same, with each signal going to one of those who follow as `group`.
///
/// # Errors
/// As [`follow`].
pub async fn share(
    client: &Client,
    group: &'static str,
    receive: impl FnMut(Signal),
) -> Result<(), BusError> {
    let subscription = client.queue_subscribe(subjects::SIGNAL_ALL, group.to_owned());
    hand_over(subscription.await.map_err(BusError::unavailable)?, receive).await
}

async fn hand_over(
    mut signals: async_nats::Subscriber,
    mut receive: impl FnMut(Signal),
) -> Result<(), BusError> {
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
    let except = headers.get(EXCEPT_HEADER).map(|id| Uuid::try_parse(id.as_str()));
    let users = |name| headers.get(name).map_or(Some(Vec::new()), |ids| split(ids.as_str()));
    Some(Signal {
        conversation: subjects::conversation_of(&message.subject)?,
        event: headers.get(EVENT_HEADER)?.as_str().to_owned(),
        only_users: users(ONLY_HEADER)?,
        except_users: users(EXCEPT_USERS_HEADER)?,
        except_connection: except.transpose().ok()?,
        payload: message.payload.clone(),
    })
}

fn joined(users: &[UserId]) -> String {
    let mut text = String::with_capacity(users.len() * 37);
    for user in users {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(user.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    }
    text
}

/// One that cannot be read makes all of them unreadable: a signal for few must not become one for everybody.
fn split(text: &str) -> Option<Vec<UserId>> {
    text.split(',').map(|id| Uuid::try_parse(id).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_read_back_and_broken_ones_are_never_everybody() {
        let users = vec![Uuid::from_u128(1), Uuid::from_u128(2)];
        assert_eq!(split(&joined(&users)), Some(users));
        for broken in ["", "x", "00000000-0000-0000-0000-000000000001,"] {
            assert_eq!(split(broken), None, "{broken}");
        }
    }
}
