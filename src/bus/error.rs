//! What can go wrong on the bus.

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
    pub fn unavailable(cause: impl std::fmt::Display) -> Self {
        Self::Unavailable(cause.to_string())
    }

    pub fn refused(cause: impl std::fmt::Display) -> Self {
        Self::Refused(cause.to_string())
    }
}
