//! Pulling the log without a gap.
//!
//! A consumer's own sequence is dense: the first delivery of everything it has counts 1, 2, 3. Anything else
//! (a delivery lost between server and client, a redelivery, a heartbeat missed) ends the pull with an error, and
//! its owner begins a new one behind the last sequence that it has dealt with. Nothing is skipped and nothing
//! comes twice, whatever happened.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use futures_util::StreamExt;
use futures_util::stream::ReadyChunks;
use uuid::Uuid;

use crate::domain::ids::Seq;

use super::BusError;
use super::log::{self, Entry, Log};

/// Silence of the server after which a pull is given up is twice this.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long one pull request stands; the client renews it.
const EXPIRES: Duration = Duration::from_secs(30);
/// A consumer whose process died disappears after this.
const INACTIVE: Duration = Duration::from_secs(60);

/// Entries returned at once. Large enough that a burst leaves in few writes, small enough that what is queued for
/// a connection between two of its turns stays well under its limit (512), and that the room reserved for
/// each group (some 300 bytes an entry) is little.
const CHUNK: usize = 64;

/// Which consumer pulls.
pub enum Kind {
    /// In memory, without acknowledgements, gone soon after its process: the tail of an edge.
    Ephemeral,
    /// Named, acknowledged up to a sequence: its lag can be seen from outside. In the memory of one server like the
    /// other: it is begun anew at each start, and replicas would have to hold an election before each of them (23 s
    /// without one of three servers, measured, against 10 s).
    Durable {
        name: &'static str,
        max_ack_pending: i64,
        ack_wait: Duration,
        /// For a reader that wants to know what happened where, and not what was said: payloads stay away.
        headers_only: bool,
    },
}

/// Entries of the log, in order, in the groups in which they arrived.
pub struct Pull {
    chunks: ReadyChunks<pull::Stream>,
    consumer_seq: u64,
    pending: u64,
}

/// Entries that arrived together.
pub struct Chunk {
    pub entries: Vec<Entry>,
    last: Option<async_nats::jetstream::Message>,
}

impl Chunk {
    /// Entries that the server had for the consumer behind this chunk.
    pub fn pending(&self) -> u64 {
        let info = self.last.as_ref().and_then(|message| message.info().ok());
        info.map_or(0, |info| info.pending)
    }

    /// Acknowledges this chunk and everything before it.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when the acknowledgement cannot be handed to the connection.
    pub async fn acknowledge(&self) -> Result<(), BusError> {
        match &self.last {
            Some(message) => message.ack().await.map_err(BusError::unavailable),
            None => Ok(()),
        }
    }
}

/// What the server hands out, at most `batch` on the way; a silence of two heartbeats ends it with an error.
pub(super) async fn messages(
    consumer: &Consumer<pull::Config>,
    batch: usize,
) -> Result<pull::Stream, BusError> {
    let pulled = consumer.stream().max_messages_per_batch(batch).expires(EXPIRES);
    pulled.heartbeat(HEARTBEAT).messages().await.map_err(BusError::unavailable)
}

impl Pull {
    /// Begins at `from`. A durable consumer is made anew: the place in the log is its owner's knowledge, so a
    /// server's idea of what was delivered to a predecessor that died can never lead past something.
    ///
    /// `batch` is the most that may be on the way.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] or [`BusError::Refused`] when the consumer cannot be made.
    pub async fn begin(log: &Log, kind: &Kind, from: Seq, batch: usize) -> Result<Self, BusError> {
        if let Kind::Durable { name, .. } = kind {
            delete(log, name).await?;
        }
        let consumer = log.stream.create_consumer(config(kind, from)).await?;
        let pending = consumer.cached_info().num_pending;
        let messages = messages(&consumer, batch).await?;
        Ok(Self { chunks: messages.ready_chunks(CHUNK), consumer_seq: 0, pending })
    }

    /// Entries that the server had for this pull when it began.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// Waits for the next entries.
    ///
    /// # Errors
    /// When deliveries are missing, repeated or silent; begin a new pull then. Entries that came before the
    /// fault have been returned already or are returned by this call.
    pub async fn next(&mut self) -> Result<Chunk, BusError> {
        let messages =
            self.chunks.next().await.ok_or_else(|| BusError::unavailable("the pull ended"))?;
        self.read(messages)
    }

    fn read(
        &mut self,
        messages: Vec<Result<async_nats::jetstream::Message, pull::MessagesError>>,
    ) -> Result<Chunk, BusError> {
        let mut entries = Vec::with_capacity(messages.len());
        let mut last = None;
        for message in messages {
            match message.map_err(BusError::unavailable).and_then(|m| self.accept(m)) {
                Ok((entry, message)) => {
                    entries.push(entry);
                    last = Some(message);
                }
                // What came before the fault is good; the fault shows again at the next call, because a
                // sequence that jumped once never fits again.
                Err(_) if !entries.is_empty() => {
                    self.consumer_seq = u64::MAX - 1;
                    break;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(Chunk { entries, last })
    }

    fn accept(
        &mut self,
        message: async_nats::jetstream::Message,
    ) -> Result<(Entry, async_nats::jetstream::Message), BusError> {
        let info = message.info().map_err(BusError::unavailable)?;
        if info.consumer_sequence != self.consumer_seq + 1 || info.delivered != 1 {
            return Err(BusError::unavailable(format!(
                "delivery {} (attempt {}) where {} was due",
                info.consumer_sequence,
                info.delivered,
                self.consumer_seq + 1
            )));
        }
        self.consumer_seq = info.consumer_sequence;
        // Nanoseconds since 1970 fit 63 bits until the year 2262.
        let stored_at = i64::try_from(info.published.unix_timestamp_nanos()).unwrap_or(i64::MAX);
        let entry = log::decode(&message.message, info.stream_sequence, stored_at);
        Ok((entry, message))
    }
}

async fn delete(log: &Log, name: &str) -> Result<(), BusError> {
    use async_nats::jetstream::stream::ConsumerErrorKind as Error;
    match log.stream.delete_consumer(name).await {
        Ok(_) => Ok(()),
        Err(cause) => match cause.kind() {
            // 404: there was none.
            Error::JetStream(refusal) if refusal.code() == 404 => Ok(()),
            _ => Err(cause.into()),
        },
    }
}

/// A name for a consumer that is gone soon after its process. Without one the request could be about any consumer,
/// which the server's permissions cannot tell apart.
pub(super) fn passing_name() -> String {
    format!("passing-{}", Uuid::new_v4().simple())
}

fn config(kind: &Kind, from: Seq) -> pull::Config {
    // A start sequence of 0 is refused; 1 is the beginning of every stream.
    let deliver_policy = DeliverPolicy::ByStartSequence { start_sequence: from.max(1) };
    match kind {
        Kind::Ephemeral => pull::Config {
            name: Some(passing_name()),
            deliver_policy,
            ack_policy: AckPolicy::None,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: INACTIVE,
            ..Default::default()
        },
        Kind::Durable { name, max_ack_pending, ack_wait, headers_only } => pull::Config {
            headers_only: *headers_only,
            durable_name: Some((*name).to_owned()),
            deliver_policy,
            ack_policy: AckPolicy::All,
            ack_wait: *ack_wait,
            max_ack_pending: *max_ack_pending,
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        },
    }
}
