//! The dead-letter stream: what could not be processed, kept with its reason for an operator, or for the service
//! that published it.

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::stream::RawMessageErrorKind;
use bytes::Bytes;

use crate::domain::ids::{Seq, UserId};
use crate::wire::subjects;

use super::BusError;

pub mod operators;
pub mod services;

const SUBJECT: &str = "Dead-Subject";
const SEQUENCE: &str = "Dead-Sequence";
const REASON: &str = "Dead-Reason";
const ATTEMPTS: &str = "Dead-Attempts";
const EVENT: &str = "Dead-Event";

/// A message that a consumer gives up on.
pub struct DeadLetter<'a> {
    /// The consumer that could not process it.
    pub consumer: &'a str,
    pub subject: String,
    /// Its place in the stream it came from; also what keeps a second parking of it from being stored.
    pub seq: Seq,
    /// The kind of event that it was in the log, if it was one: without it nobody could try it again.
    pub event: Option<&'a str>,
    pub reason: &'a str,
    pub attempts: u32,
    pub payload: Bytes,
}

/// Parks a message; returns when the stream has it.
///
/// # Errors
/// [`BusError::Unavailable`]: do not go on without having parked it.
pub async fn park(context: &jetstream::Context, letter: DeadLetter<'_>) -> Result<(), BusError> {
    let id = format!("{}:{}", letter.consumer, letter.seq);
    park_as(context, &id, letter).await
}

/// The same for one of several letters about the same place; `id` keeps a second parking of this one from being stored.
///
/// # Errors
/// As [`park`].
pub async fn park_as(
    context: &jetstream::Context,
    id: &str,
    letter: DeadLetter<'_>,
) -> Result<(), BusError> {
    let subject = subjects::dead(letter.consumer);
    let (headers, payload) = (headers(&letter), letter.payload);
    store(context, subject, id, headers, payload).await
}

/// The places in the log of a consumer's letters, the oldest first, at most `limit`.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn places(
    context: &jetstream::Context,
    consumer: &str,
    limit: usize,
) -> Result<Vec<Seq>, BusError> {
    let stream =
        context.get_stream_no_info(subjects::DEAD_STREAM).await.map_err(BusError::unavailable)?;
    let (subject, mut places, mut next) = (subjects::dead(consumer), Vec::new(), 1);
    while places.len() < limit {
        match stream.get_first_raw_message_by_subject(&subject, next).await {
            Ok(letter) => {
                next = letter.sequence + 1;
                let place = letter.headers.get(SEQUENCE).map(|value| value.as_str().parse::<Seq>());
                places.extend(place.and_then(Result::ok));
            }
            Err(cause) if cause.kind() == RawMessageErrorKind::NoMessageFound => break,
            Err(cause) => return Err(BusError::unavailable(cause)),
        }
    }
    Ok(places)
}

/// Erases the letters that name a user, and returns how many those were. One request for each letter that there is: an
/// operator who lets millions gather has other troubles.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer; some may have been erased.
pub async fn erase_naming(context: &jetstream::Context, user: UserId) -> Result<u64, BusError> {
    let mut erased = 0;
    for seq in naming(context, user).await? {
        let stream = context.get_stream_no_info(subjects::DEAD_STREAM).await;
        let stream = stream.map_err(BusError::unavailable)?;
        stream.delete_message(seq).await.map_err(BusError::unavailable)?;
        erased += 1;
    }
    Ok(erased)
}

/// The places of letters that name a user, 10,000 at most.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn naming(context: &jetstream::Context, user: UserId) -> Result<Vec<Seq>, BusError> {
    const MOST: usize = 10_000;
    let id = user.as_hyphenated().to_string();
    let stream = context.get_stream_no_info(subjects::DEAD_STREAM).await;
    let stream = stream.map_err(BusError::unavailable)?;
    let (mut found, mut next) = (Vec::new(), 1);
    while found.len() < MOST {
        let letter = match stream.get_first_raw_message_by_subject(">", next).await {
            Ok(letter) => letter,
            Err(cause) if cause.kind() == RawMessageErrorKind::NoMessageFound => break,
            Err(cause) => return Err(BusError::unavailable(cause)),
        };
        next = letter.sequence + 1;
        let is_named = memchr::memmem::find(&letter.payload, id.as_bytes()).is_some()
            || letter
                .headers
                .iter()
                .any(|(_, values)| values.iter().any(|v| v.as_str().contains(&id)));
        if is_named {
            found.push(letter.sequence);
        }
    }
    Ok(found)
}

fn headers(letter: &DeadLetter<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(SUBJECT, letter.subject.as_str());
    headers.insert(SEQUENCE, letter.seq.to_string().as_str());
    if let Some(event) = letter.event {
        headers.insert(EVENT, event);
    }
    headers.insert(REASON, line(letter.reason).as_str());
    headers.insert(ATTEMPTS, letter.attempts.to_string().as_str());
    headers
}

/// A header value ends at a line break.
fn line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

async fn store(
    context: &jetstream::Context,
    subject: String,
    id: &str,
    mut headers: HeaderMap,
    payload: Bytes,
) -> Result<(), BusError> {
    headers.insert(async_nats::header::NATS_MESSAGE_ID, id);
    let ack = context
        .publish_with_headers(subject, headers, payload)
        .await
        .map_err(BusError::unavailable)?;
    ack.await.map_err(BusError::unavailable)?;
    Ok(())
}
