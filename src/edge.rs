//! The only role that talks to clients: REST, WebSocket and Socket.IO in, subjects out, and back.

pub mod auth;
pub mod error;
pub mod freshness;
pub mod http;
pub mod hub;
pub mod messages;
pub mod outbox;
pub mod ws;
