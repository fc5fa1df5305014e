//! The native WebSocket protocol, and what is the same for both protocols.

mod events;
mod membership;
mod opening;
mod ops;
mod pressure;
