//! Starts servers, breaks them, and asserts at the end that nothing is left over.

pub mod admin;
pub mod chat;
pub mod cluster;
pub mod fcm;
pub mod flow;
pub mod nats;
pub mod node;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod raw_nats;
pub mod rest;
pub mod s3;
pub mod shipped;
pub mod socketio;
pub mod tools;
pub mod upload;
pub mod worker;
pub mod world;
pub mod ws;

pub use node::Node;
pub use rest::Rest;
pub use worker::Worker;
pub use world::{User, World};
pub use ws::Ws;

use std::time::Duration;

/// How long anything may take that should take no time, on a machine that is busy with the other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);
