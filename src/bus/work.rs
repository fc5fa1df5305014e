//! What other services publish: the work queue `INGEST`, taken in batches by one or several processes.
//!
//! The durable consumer hands each message to one of them and hands it out again when nothing was heard of it for
//! [`ACK_WAIT`]. The server sets no bound on how often: a message that it gave up on would lie in the queue for good, seen by
//! nobody. Whoever takes one for the [`Delivery::attempts`]th time decides.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::{self, AckKind};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::ReadyChunks;
use jiff::Timestamp;

use crate::domain::ids::Seq;
use crate::wire::subjects::INGEST_STREAM;

use super::BusError;

/// The name of the durable consumer, and of its dead letters.
pub const NAME: &str = "ingest";

/// How long the server waits for word of a message before it hands it out again: after a process was killed its
/// messages are late by this. A batch takes some 50 ms; one that takes longer sends word.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// How often to send word: three times before the server would stop waiting.
pub const WORD_EVERY: Duration = Duration::from_secs(3);
/// Deliveries without word, of all processes together: ten of them with a batch in hand and one waiting.
const MAX_ACK_PENDING: i64 = 10_000;

/// The queue, while it can be reached.
pub struct Work {
    chunks: ReadyChunks<pull::Stream>,
    incarnation: i128,
}

/// A message that was handed out.
pub struct Delivery {
    message: jetstream::Message,
    /// Its place in the queue.
    pub seq: Seq,
    pub published_at: Timestamp,
    /// How often it was handed out, this time included.
    pub attempts: u64,
    /// Messages that wait behind it.
    pub pending: u64,
    incarnation: i128,
}

impl Work {
    /// Begins to take up to `batch` messages at a time.
    ///
    /// # Errors
    /// [`BusError::Refused`] when there is no such stream (apply the topology first), [`BusError::Unavailable`]
    /// without an answer.
    pub async fn begin(client: &async_nats::Client, batch: usize) -> Result<Self, BusError> {
        let context = jetstream::new(client.clone());
        let stream =
            context.get_stream(INGEST_STREAM).await.map_err(|cause| match cause.kind() {
                GetStreamErrorKind::JetStream(refusal) if refusal.code() < 500 => {
                    BusError::refused(format!(
                        "stream {INGEST_STREAM}: {cause}; `messaging topology apply` makes it"
                    ))
                }
                _ => BusError::unavailable(cause),
            })?;
        let incarnation = stream.cached_info().created.unix_timestamp_nanos();
        let config = pull::Config {
            durable_name: Some(NAME.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await?;
        let messages = super::pull::messages(&consumer, batch).await?;
        Ok(Self { chunks: messages.ready_chunks(batch), incarnation })
    }

    /// Waits for the next messages: those that are here, in their order.
    ///
    /// # Errors
    /// When the server is silent or says so; begin anew then. What was handed out comes again.
    pub async fn next(&mut self) -> Result<Vec<Delivery>, BusError> {
        let chunk = self.chunks.next().await.ok_or_else(|| BusError::unavailable("no pull"))?;
        let mut taken = Vec::with_capacity(chunk.len());
        for message in chunk {
            match message.map_err(BusError::unavailable) {
                Ok(message) => taken.push(Delivery::of(message, self.incarnation)?),
                // What came before the fault is good; the next call meets the fault, or its consequence.
                Err(_) if !taken.is_empty() => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok(taken)
    }
}

impl Delivery {
    fn of(message: jetstream::Message, incarnation: i128) -> Result<Self, BusError> {
        let info = message.info().map_err(BusError::unavailable)?;
        let published_at = Timestamp::from_nanosecond(info.published.unix_timestamp_nanos())
            .map_err(BusError::unavailable)?;
        let seq = info.stream_sequence;
        let attempts = u64::try_from(info.delivered).unwrap_or(1);
        let pending = info.pending;
        Ok(Self { message, seq, published_at, attempts, pending, incarnation })
    }

    pub fn subject(&self) -> &str {
        &self.message.subject
    }

    pub fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    /// The `Nats-Msg-Id` that it was published with.
    pub fn msg_id(&self) -> Option<&str> {
        super::api::msg_id(&self.message)
    }

    /// A name that no other message ever has: of a queue that was made anew as well.
    pub fn place(&self) -> String {
        format!("{}:{}", self.incarnation, self.seq)
    }

    /// It was dealt with, and leaves the queue.
    ///
    /// # Errors
    /// [`BusError::Unavailable`]: it comes again then.
    pub async fn done(&self) -> Result<(), BusError> {
        self.message.ack().await.map_err(BusError::unavailable)
    }

    /// It takes longer: the server waits anew.
    ///
    /// # Errors
    /// [`BusError::Unavailable`], which is harmless: it comes again then.
    pub async fn still_at_it(&self) -> Result<(), BusError> {
        self.message.ack_with(AckKind::Progress).await.map_err(BusError::unavailable)
    }
}
