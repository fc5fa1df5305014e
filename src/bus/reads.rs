//! Reading the log by place.
//!
//! These use a connection of their own: a read blocks its connection's loop while the server fetches from disk,
//! and acknowledgements behind it would wait (measured: 0.4 ms became 13 ms).

use async_nats::jetstream::stream::RawMessageErrorKind;
use bytes::Bytes;
use jiff::Timestamp;

use crate::domain::ids::{ConversationId, Seq};
use crate::wire::subjects;

use super::BusError;
use super::log::Log;

/// The last sequence of a conversation, as the stream's leader knows it; `None` when it has no events.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn last_seq(log: &Log, conversation: ConversationId) -> Result<Option<Seq>, BusError> {
    last(log, &subjects::chat(conversation)).await
}

/// What the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first sequence that it still holds, or will be given while it is empty.
    pub first: Seq,
    /// The last sequence that was given.
    pub last: Seq,
}

/// From where to where the log reaches, as its leader knows it.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn extent(log: &Log) -> Result<Extent, BusError> {
    let info = log.stream.get_info().await.map_err(BusError::unavailable)?;
    Ok(Extent { first: info.state.first_sequence, last: info.state.last_sequence })
}

async fn last(log: &Log, subject: &str) -> Result<Option<Seq>, BusError> {
    // Not a direct get: that may be answered by a follower, which may not have what was acknowledged.
    match log.stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message.sequence)),
        Err(cause) if cause.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(cause) => Err(BusError::unavailable(cause)),
    }
}

/// The first sequence behind another that a subject, or a pattern of them, has; `None` when there is none.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn next_behind(log: &Log, subject: &str, seq: Seq) -> Result<Option<Seq>, BusError> {
    match log.stream.get_first_raw_message_by_subject(subject, seq + 1).await {
        Ok(message) => Ok(Some(message.sequence)),
        Err(cause) if cause.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(cause) => Err(BusError::unavailable(cause)),
    }
}

/// The first sequence that was stored at or after a time; `None` when there is none. Found by halves: the stream has
/// no index by time, and places in it may have been erased.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn first_since(log: &Log, since: Timestamp) -> Result<Option<Seq>, BusError> {
    let Extent { first, last } = extent(log).await?;
    // What is before `low` is older, what is at or behind `high` is not.
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match stored_behind(log, middle - 1).await? {
            Some(at) if at < since => {
                low = next_behind(log, ">", middle - 1).await?.unwrap_or(middle) + 1;
            }
            _ => high = middle,
        }
    }
    Ok((low <= last).then_some(low))
}

/// When the oldest event behind a sequence was stored; `None` when there is none.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn stored_behind(log: &Log, seq: Seq) -> Result<Option<Timestamp>, BusError> {
    match log.stream.get_first_raw_message_by_subject(">", seq + 1).await {
        // Nanoseconds since 1970 fit what a time can hold until the year 9999.
        Ok(message) => Timestamp::from_nanosecond(message.time.unix_timestamp_nanos())
            .map(Some)
            .map_err(BusError::unavailable),
        Err(cause) if cause.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(cause) => Err(BusError::unavailable(cause)),
    }
}

/// When an event was stored; `None` when it was erased or has expired.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn stored_at(log: &Log, seq: Seq) -> Result<Option<Timestamp>, BusError> {
    match log.stream.get_raw_message(seq).await {
        Ok(message) => Timestamp::from_nanosecond(message.time.unix_timestamp_nanos())
            .map(Some)
            .map_err(BusError::unavailable),
        Err(cause) if cause.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(cause) => Err(BusError::unavailable(cause)),
    }
}

/// The payload stored at a sequence; `None` when it was erased or has expired.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn payload_at(log: &Log, seq: Seq) -> Result<Option<Bytes>, BusError> {
    match log.stream.get_raw_message(seq).await {
        Ok(message) => Ok(Some(message.payload)),
        Err(cause) if cause.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(cause) => Err(BusError::unavailable(cause)),
    }
}
