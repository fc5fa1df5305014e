//! Everything that needs a server, in one binary: real NATS, real Postgres, the service as a real process.
//!
//! `cargo test --test it <part of a name>` runs some of it. Begin a test with [`harness::World::start`].

mod architecture;
mod cli;
mod dedupe;
mod dev;
mod direct;
mod harness;
mod malformed;
mod order;
mod persister;
mod rest;
mod serve;
mod socketio;
mod ws;
