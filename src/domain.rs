//! The rules of messaging, free of I/O and of any serialisation.
//!
//! *Invariant:* nothing in here imports another module of this crate. What the network and the
//! database exchange lives in [`crate::wire`] and [`crate::store`], and converts from and to these types.

pub mod clock;
pub mod conversation;
pub mod device;
pub mod expiry;
pub mod ids;
pub mod media;
pub mod membership;
pub mod message;
pub mod newcomer;
pub mod notifications;
pub mod posting;
pub mod presence;
pub mod reaction;
pub mod receipt;
pub mod retention;
pub mod schedule;
pub mod search;
pub mod service;
pub mod standing;
pub mod user;
