//! Requests of the micro service, from a command.

use async_nats::{Client, HeaderMap, RequestErrorKind};
use bytes::Bytes;

use super::BusError;

/// Asks, and returns the answer. `key` names the request, so that a repetition is recognised.
///
/// # Errors
/// [`BusError::Unavailable`] when nobody answers in time; it may have been done then. [`BusError::Refused`] when nobody
/// is there to answer.
pub async fn service(
    client: &Client,
    subject: String,
    key: Option<&str>,
    body: Bytes,
) -> Result<Bytes, BusError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        headers.insert(async_nats::header::NATS_MESSAGE_ID, key);
    }
    match client.request_with_headers(subject, headers, body).await {
        Ok(answer) => Ok(answer.payload),
        Err(cause) => Err(match cause.kind() {
            RequestErrorKind::NoResponders => {
                BusError::refused("nobody answers; is a process with the role ingest running?")
            }
            _ => BusError::unavailable(cause),
        }),
    }
}
