//! NATS: the log and the signals.
//!
//! *Invariant:* no other module names `async_nats`. Roles meet on the subjects of [`crate::wire::subjects`]
//! and never call one another.

pub mod api;
pub mod ask;
pub mod connect;
pub mod control;
pub mod dead_letter;
pub mod direct;
pub mod erase;
pub mod error;
pub mod health;
pub mod log;
pub mod outside;
pub mod presence;
pub mod progress;
pub mod publish;
pub mod pull;
pub mod reads;
pub mod refusals;
pub mod signals;
pub mod snapshot;
pub mod statuses;
pub mod tail;
pub mod topology;
pub mod watch;
pub mod work;

pub use async_nats::Client;
pub use error::BusError;
