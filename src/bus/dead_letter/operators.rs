//! All dead letters, as operators look at them.

use std::collections::BTreeMap;

use async_nats::jetstream::stream::RawMessageErrorKind;
use jiff::Timestamp;

use async_nats::jetstream::message::StreamMessage;
use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::domain::ids::Seq;
use crate::wire::subjects;

use super::services::Letters as Stream;
use super::{ATTEMPTS, BusError, EVENT, REASON, SEQUENCE, SUBJECT};

/// What the subjects of all letters match.
const ALL: &str = "dead.>";

/// A letter as it was parked.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Its place among the dead letters.
    pub seq: Seq,
    /// The consumer that gave up on it.
    pub consumer: String,
    /// The service whose message it was, if it was one; `_` where its subject named none.
    pub service: Option<String>,
    /// Where it was published.
    pub subject: String,
    /// Its place in the stream it came from.
    pub place: Seq,
    /// What kind of event of the log it was, if it was one.
    pub event: Option<String>,
    pub reason: String,
    pub attempts: u32,
    pub died_at: Timestamp,
    pub payload: Bytes,
}

/// The dead letters of every consumer.
pub struct Letters(Stream);

impl Letters {
    pub fn new(client: &async_nats::Client) -> Self {
        Self(Stream::new(client, ""))
    }

    /// The first letter at or behind a place, of one consumer if given; `None` when there is none.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] without an answer.
    pub async fn first(
        &self,
        consumer: Option<&str>,
        from: Seq,
    ) -> Result<Option<Letter>, BusError> {
        let Some(consumer) = consumer else { return self.matching(ALL.to_owned(), from).await };
        // Those of services stand one token deeper.
        let own = self.matching(subjects::dead(consumer), from).await?;
        let deeper = self.matching(subjects::dead_of(consumer, Some("*")), from).await?;
        Ok([own, deeper].into_iter().flatten().min_by_key(|letter| letter.seq))
    }

    /// The letter at a place; `None` when it is gone.
    ///
    /// # Errors
    /// As [`Letters::first`].
    pub async fn at(&self, seq: Seq) -> Result<Option<Letter>, BusError> {
        Ok(self.first(None, seq).await?.filter(|letter| letter.seq == seq))
    }

    /// Removes a letter. Twice is harmless.
    ///
    /// # Errors
    /// As [`Letters::first`].
    pub async fn remove(&self, seq: Seq) -> Result<(), BusError> {
        self.0.remove(seq).await
    }

    async fn matching(&self, subject: String, from: Seq) -> Result<Option<Letter>, BusError> {
        let stream = self.0.stream().await?;
        match stream.get_first_raw_message_by_subject(subject, from.max(1)).await {
            Ok(message) => read(message).map(Some),
            Err(cause) if cause.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(cause) => Err(BusError::unavailable(cause)),
        }
    }
}

/// How many letters each consumer has.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn counts(client: &async_nats::Client) -> Result<BTreeMap<String, u64>, BusError> {
    let stream = Stream::new(client, "").stream().await?;
    let mut subjects = stream.info_with_subjects(ALL).await.map_err(BusError::unavailable)?;
    let mut counts = BTreeMap::new();
    while let Some(found) = subjects.next().await {
        let (subject, count) = found.map_err(BusError::unavailable)?;
        let consumer = subject.split('.').nth(1).unwrap_or_default().to_owned();
        *counts.entry(consumer).or_default() += count as u64;
    }
    Ok(counts)
}

fn read(message: StreamMessage) -> Result<Letter, BusError> {
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
    let number = |name: &str| header(name).and_then(|text| text.parse().ok()).unwrap_or_default();
    let died_at = Timestamp::from_nanosecond(message.time.unix_timestamp_nanos())
        .map_err(BusError::unavailable)?;
    let mut tokens = message.subject.split('.').skip(1).map(str::to_owned);
    Ok(Letter {
        seq: message.sequence,
        consumer: tokens.next().unwrap_or_default(),
        service: tokens.next(),
        subject: header(SUBJECT).unwrap_or_default(),
        place: number(SEQUENCE),
        event: header(EVENT),
        reason: header(REASON).unwrap_or_default(),
        attempts: u32::try_from(number(ATTEMPTS)).unwrap_or(u32::MAX),
        died_at,
        payload: message.payload,
    })
}
