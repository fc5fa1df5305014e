//! What can go wrong on the bus.

use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::stream::{ConsumerError, ConsumerErrorKind};

/// A failed operation on NATS.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BusError {
    /// No server, no stream leader, or no answer in time. Trying again later may work; a publish that ended
    /// so may still have been stored.
    #[error("NATS cannot be reached: {0}")]
    Unavailable(String),
    /// The server understood and refused: a wrong permission, a limit, a missing stream.
    #[error("NATS refused: {0}")]
    Refused(String),
    /// More is under way than is allowed to wait.
    #[error("too many publishes are under way")]
    Overloaded,
    /// The log is not the one this process started with: it was deleted and created again.
    #[error("the log was recreated: its epoch is {found}, this process began in {expected}")]
    EpochChanged { expected: String, found: String },
}

impl BusError {
    /// No answer, or one that may be another the next time.
    pub fn unavailable(cause: impl std::fmt::Display) -> Self {
        Self::Unavailable(cause.to_string())
    }

    /// An answer that stays the same until somebody changes something.
    pub fn refused(cause: impl std::fmt::Display) -> Self {
        Self::Refused(cause.to_string())
    }
}

/// Making a consumer, or removing it.
impl From<ConsumerError> for BusError {
    fn from(cause: ConsumerError) -> Self {
        match cause.kind() {
            ConsumerErrorKind::JetStream(refusal) if refusal.code() < 500 => Self::refused(refusal),
            _ => Self::unavailable(cause),
        }
    }
}

/// Looking a stream up.
impl From<GetStreamError> for BusError {
    fn from(cause: GetStreamError) -> Self {
        match cause.kind() {
            GetStreamErrorKind::JetStream(refusal) if refusal.code() < 500 => {
                Self::refused(refusal)
            }
            _ => Self::unavailable(cause),
        }
    }
}
