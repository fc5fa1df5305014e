//! Dead letters of other services: each under a subject of its service, so that it finds its own and no others.

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{self, RawMessageErrorKind};
use bytes::Bytes;
use jiff::Timestamp;

use crate::domain::ids::Seq;
use crate::wire::subjects;

use super::{BusError, DeadLetter, REASON, SUBJECT, headers, line, store};

const MSG_ID: &str = "Dead-Msg-Id";
const KEY: &str = "Dead-Key";
const PUBLISHED_AT: &str = "Dead-Published-At";

/// What a letter of a service has beside others.
pub struct Origin<'a> {
    /// `None` where the subject named none.
    pub service: Option<&'a str>,
    /// Its `Nats-Msg-Id`.
    pub msg_id: Option<&'a str>,
    /// What the ids of its messages follow from.
    pub key: &'a str,
    /// What keeps a second parking from being stored.
    pub place: &'a str,
    pub published_at: Timestamp,
}

/// A letter as it was parked.
#[derive(Debug, Clone)]
pub struct Parked {
    /// Its place among the dead letters.
    pub seq: Seq,
    /// Where it was published.
    pub subject: String,
    pub reason: String,
    pub msg_id: Option<String>,
    pub key: String,
    pub published_at: Timestamp,
    pub died_at: Timestamp,
    pub payload: Bytes,
}

/// Parks a message of a service; returns when the stream has it.
///
/// # Errors
/// [`BusError::Unavailable`]: do not go on without having parked it.
pub async fn park(
    context: &jetstream::Context,
    letter: DeadLetter<'_>,
    origin: Origin<'_>,
) -> Result<(), BusError> {
    let mut headers = headers(&letter);
    if let Some(id) = origin.msg_id {
        headers.insert(MSG_ID, line(id).as_str());
    }
    headers.insert(KEY, line(origin.key).as_str());
    headers.insert(PUBLISHED_AT, origin.published_at.to_string().as_str());
    let subject = subjects::dead_of(letter.consumer, origin.service);
    let id = format!("{}:{}", letter.consumer, origin.place);
    store(context, subject, &id, headers, letter.payload).await
}

/// The dead letters of one consumer's services.
#[derive(Clone)]
pub struct Letters {
    context: jetstream::Context,
    consumer: &'static str,
}

impl Letters {
    pub fn new(client: &async_nats::Client, consumer: &'static str) -> Self {
        Self { context: jetstream::new(client.clone()), consumer }
    }

    /// The context to park with.
    pub fn context(&self) -> &jetstream::Context {
        &self.context
    }

    /// The first letter of a service at or behind a place; `None` when there is none.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] without an answer.
    pub async fn first(&self, service: &str, from: Seq) -> Result<Option<Parked>, BusError> {
        let subject = subjects::dead_of(self.consumer, Some(service));
        let stream = self.stream().await?;
        match stream.get_first_raw_message_by_subject(subject, from.max(1)).await {
            Ok(message) => read(message).map(Some),
            Err(cause) if cause.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(cause) => Err(BusError::unavailable(cause)),
        }
    }

    /// The letter at a place; `None` when it is gone, or not this service's.
    ///
    /// # Errors
    /// As [`Letters::first`].
    pub async fn at(&self, service: &str, seq: Seq) -> Result<Option<Parked>, BusError> {
        Ok(self.first(service, seq).await?.filter(|letter| letter.seq == seq))
    }

    /// Removes a letter. Twice is harmless.
    ///
    /// # Errors
    /// As [`Letters::first`].
    pub async fn remove(&self, seq: Seq) -> Result<(), BusError> {
        use async_nats::jetstream::stream::DeleteMessageErrorKind as Error;
        match self.stream().await?.delete_message(seq).await {
            Ok(_) => Ok(()),
            Err(cause) => match cause.kind() {
                // "no message found", "sequence not found" and "message delete failed": it is gone already.
                Error::JetStream(refusal)
                    if matches!(refusal.error_code().0, 10037 | 10043 | 10057) =>
                {
                    Ok(())
                }
                _ => Err(BusError::unavailable(cause)),
            },
        }
    }

    pub(super) async fn stream(&self) -> Result<stream::Stream<()>, BusError> {
        Ok(self.context.get_stream_no_info(subjects::DEAD_STREAM).await?)
    }
}

fn read(message: StreamMessage) -> Result<Parked, BusError> {
    let text = |name: &str| header(&message.headers, name).unwrap_or_default();
    let died_at = Timestamp::from_nanosecond(message.time.unix_timestamp_nanos())
        .map_err(BusError::unavailable)?;
    Ok(Parked {
        seq: message.sequence,
        subject: text(SUBJECT),
        reason: text(REASON),
        msg_id: header(&message.headers, MSG_ID),
        key: text(KEY),
        published_at: text(PUBLISHED_AT).parse().unwrap_or(died_at),
        died_at,
        payload: message.payload,
    })
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.as_str().to_owned())
}
