//! The dead-letter stream: what could not be processed, kept with its reason for an operator.

use async_nats::HeaderMap;
use async_nats::jetstream;
use bytes::Bytes;

use crate::domain::ids::Seq;
use crate::wire::subjects;

use super::BusError;

/// A message that a consumer gives up on.
pub struct DeadLetter<'a> {
    /// The consumer that could not process it.
    pub consumer: &'a str,
    pub subject: String,
    /// Its place in the stream it came from; also what keeps a second parking of it from being stored.
    pub seq: Seq,
    pub reason: &'a str,
    pub attempts: u32,
    pub payload: Bytes,
}

/// Parks a message; returns when the stream has it.
///
/// # Errors
/// [`BusError::Unavailable`]: do not go on without having parked it.
pub async fn park(context: &jetstream::Context, letter: DeadLetter<'_>) -> Result<(), BusError> {
    let mut headers = HeaderMap::new();
    let id = format!("{}:{}", letter.consumer, letter.seq);
    headers.insert(async_nats::header::NATS_MESSAGE_ID, id.as_str());
    headers.insert("Dead-Subject", letter.subject.as_str());
    headers.insert("Dead-Sequence", letter.seq.to_string().as_str());
    // A header value ends at a line break.
    headers.insert("Dead-Reason", letter.reason.replace(['\r', '\n'], " ").as_str());
    headers.insert("Dead-Attempts", letter.attempts.to_string().as_str());
    let subject = subjects::dead(letter.consumer);
    let ack = context
        .publish_with_headers(subject, headers, letter.payload)
        .await
        .map_err(BusError::unavailable)?;
    ack.await.map_err(BusError::unavailable)?;
    Ok(())
}
