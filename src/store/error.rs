//! What can go wrong with the database, reduced to what a caller can do about it.

use std::error::Error as _;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an operation on the database did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is shutting down, read-only or too slow now. Trying again later may succeed.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] Cause),
    /// It refused the values of this statement; with other values the same statement succeeds.
    #[error("the database refused the data: {0}")]
    Refused(#[source] Cause),
    /// The statement or the schema is wrong; trying again changes nothing.
    #[error("the database was used wrongly: {0}")]
    Bug(#[source] Cause),
    /// The connection settings make no sense.
    #[error("{0}")]
    Settings(String),
}

impl StoreError {
    pub(super) fn timed_out() -> Self {
        Self::Unavailable("no answer in time".into())
    }

    /// Two requests got into each other's way; repeating one of them succeeds.
    pub(super) fn contended() -> Self {
        Self::Unavailable("another request came between".into())
    }

    pub(super) fn bug(what: impl Into<String>) -> Self {
        Self::Bug(what.into().into())
    }

    /// Were the values at fault? Then a batch can be split to find the one it was.
    pub fn is_refused_data(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match kind(&error) {
            Kind::Unavailable => Self::Unavailable(Box::new(Detailed(error))),
            Kind::Refused => Self::Refused(Box::new(Detailed(error))),
            Kind::Bug => Self::Bug(Box::new(Detailed(error))),
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(_) => Self::Unavailable(
                "no connection in time: it does not answer, or all connections are in use".into(),
            ),
            // A pool that is closing: later, or another node, may succeed.
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

enum Kind {
    Unavailable,
    Refused,
    Bug,
}

fn kind(error: &tokio_postgres::Error) -> Kind {
    let Some(code) = error.code() else {
        let io = error.source().is_some_and(|cause| cause.is::<std::io::Error>());
        // Without a code it came from the connection (no cause: closed, or timed out while connecting)
        // or from the conversion of a value, which always names its cause.
        return if io || error.is_closed() || error.source().is_none() {
            Kind::Unavailable
        } else {
            Kind::Bug
        };
    };
    let class = code.code().get(..2).unwrap_or_default();
    match class {
        // 08 connection, 53 out of resources, 57 stopped by an operator or by statement_timeout,
        // 58 trouble of the machine, 28 and 3D: credentials or database that are being set up.
        "08" | "53" | "57" | "58" | "28" | "3D" => Kind::Unavailable,
        // 40: a deadlock or serialisation failure that a second try resolves.
        "40" => Kind::Unavailable,
        // 22 values out of range or malformed, 23 a constraint.
        "22" | "23" => Kind::Refused,
        // A standby, or a primary that is being switched over.
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Kind::Unavailable,
        _ if *code == SqlState::LOCK_NOT_AVAILABLE => Kind::Unavailable,
        _ => Kind::Bug,
    }
}

/// The driver says "db error" and hides the rest in the source; a log line needs both. The server's DETAIL
/// stays out: it quotes values, which are user data.
#[derive(Debug)]
struct Detailed(tokio_postgres::Error);

impl std::fmt::Display for Detailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_db_error() {
            Some(db) => write!(f, "{} {}", db.code().code(), db.message()),
            None => match self.0.source() {
                Some(source) => write!(f, "{}: {source}", self.0),
                None => write!(f, "{}", self.0),
            },
        }
    }
}

impl std::error::Error for Detailed {}

impl From<deadpool_postgres::BuildError> for StoreError {
    fn from(error: deadpool_postgres::BuildError) -> Self {
        Self::Settings(format!("the Postgres pool cannot be built: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_is_closing_is_unavailable() {
        assert!(matches!(StoreError::from(PoolError::Closed), StoreError::Unavailable(_)));
    }
}
