//! Telling other nodes which of their connections are to learn that somebody came or went. As all signals: at
//! most once, never stored.

use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt;

use crate::domain::presence::ProcessId;
use crate::wire::subjects;

use super::BusError;

/// Sends news to one node.
///
/// # Errors
/// [`BusError::Unavailable`] when the connection is closed; nothing was promised, so callers only note it.
pub async fn send(client: &Client, to: ProcessId, news: Bytes) -> Result<(), BusError> {
    if !super::connect::is_connected(client) {
        // Queued, it would arrive when it is no longer true.
        return Err(BusError::unavailable("disconnected"));
    }
    client.publish(subjects::status(&to.to_string()), news).await.map_err(BusError::unavailable)
}

/// Hands all news for a node to `receive`, until the connection closes.
///
/// # Errors
/// [`BusError::Unavailable`] when the subscription ends.
pub async fn follow(
    client: &Client,
    node: ProcessId,
    mut receive: impl FnMut(&Bytes),
) -> Result<(), BusError> {
    let subject = subjects::status(&node.to_string());
    let mut news = client.subscribe(subject).await.map_err(BusError::unavailable)?;
    while let Some(message) = news.next().await {
        receive(&message.payload);
    }
    Err(BusError::unavailable("the status subscription ended"))
}
