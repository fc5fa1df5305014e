//! The log: the stream `CHAT`, its epoch, and its events.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use bytes::Bytes;

use crate::domain::ids::{ConversationId, Seq};
use crate::wire::event::{EVENT_HEADER, EventKind};
use crate::wire::subjects;

use super::BusError;

/// The stream's metadata key for its epoch.
pub(super) const EPOCH_KEY: &str = "epoch";
/// The W3C trace context of the request that caused an event.
pub const TRACE_HEADER: &str = "traceparent";

/// A handle on the log.
#[derive(Clone)]
pub struct Log {
    pub(super) context: jetstream::Context,
    pub(super) stream: stream::Stream<stream::Info>,
    epoch: String,
    first_seq: Seq,
    last_seq: Seq,
}

impl Log {
    /// Looks the stream up.
    ///
    /// # Errors
    /// [`BusError::Refused`] when there is no such stream (apply the topology first).
    pub async fn open(client: &async_nats::Client) -> Result<Self, BusError> {
        let context = jetstream::new(client.clone());
        let stream = context.get_stream(subjects::CHAT_STREAM).await.map_err(|cause| {
            use async_nats::jetstream::context::GetStreamErrorKind as Kind;
            match cause.kind() {
                Kind::Request => BusError::unavailable(cause),
                _ => BusError::refused(format!(
                    "stream {}: {cause}; `messaging topology apply` makes it",
                    subjects::CHAT_STREAM
                )),
            }
        })?;
        let info = stream.cached_info();
        let epoch = info.config.metadata.get(EPOCH_KEY).cloned().ok_or_else(|| {
            BusError::refused("stream CHAT has no epoch; it was not created by `topology apply`")
        })?;
        let first_seq = info.state.first_sequence;
        let last_seq = info.state.last_sequence;
        Ok(Self { context, stream, epoch, first_seq, last_seq })
    }

    /// Changes when the stream is created anew; the first half of every cursor.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The first sequence that was held, or will be given, at the time of [`Log::open`].
    pub fn first_seq(&self) -> Seq {
        self.first_seq
    }

    /// Makes sure that the stream is still the one that was opened, and returns its last sequence.
    ///
    /// # Errors
    /// [`BusError::EpochChanged`] when it was created anew, [`BusError::Unavailable`] without an answer.
    pub async fn check_epoch(&self) -> Result<Seq, BusError> {
        let info = self.stream.get_info().await.map_err(BusError::unavailable)?;
        let found = info.config.metadata.get(EPOCH_KEY).cloned().unwrap_or_default();
        if found == self.epoch {
            Ok(info.state.last_sequence)
        } else {
            Err(BusError::EpochChanged { expected: self.epoch.clone(), found })
        }
    }

    /// For how long the stream recognised a repeated id at the time of [`Log::open`].
    pub fn duplicate_window(&self) -> Duration {
        self.stream.cached_info().config.duplicate_window
    }

    /// The JetStream context of the connection.
    pub fn context(&self) -> &jetstream::Context {
        &self.context
    }

    /// The last sequence at the time of [`Log::open`].
    pub fn last_seq(&self) -> Seq {
        self.last_seq
    }
}

/// An event of the log.
#[derive(Debug, Clone)]
pub struct LogEvent {
    pub seq: Seq,
    /// When the stream stored it, in nanoseconds since the Unix epoch.
    pub stored_at: i64,
    pub conversation: ConversationId,
    pub kind: EventKind,
    pub payload: Bytes,
    pub trace: Option<String>,
}

/// A stored message that is not an event; the persister parks it.
#[derive(Debug, Clone)]
pub struct Malformed {
    pub seq: Seq,
    pub subject: String,
    pub payload: Bytes,
    pub reason: &'static str,
}

/// One stored message: understood, or not.
pub type Entry = Result<LogEvent, Malformed>;

pub(super) fn decode(message: &async_nats::Message, seq: Seq, stored_at: i64) -> Entry {
    let malformed = |reason| Malformed {
        seq,
        subject: message.subject.to_string(),
        payload: message.payload.clone(),
        reason,
    };
    let conversation = subjects::conversation_of(&message.subject)
        .ok_or_else(|| malformed("the subject names no conversation"))?;
    let header = |name: &str| message.headers.as_ref().and_then(|h| h.get(name));
    let kind = header(EVENT_HEADER)
        .and_then(|value| EventKind::parse(value.as_str()))
        .ok_or_else(|| malformed("the Event header is missing or unknown"))?;
    let trace = header(TRACE_HEADER).map(|value| value.as_str().to_owned());
    Ok(LogEvent { seq, stored_at, conversation, kind, payload: message.payload.clone(), trace })
}
