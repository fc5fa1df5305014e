//! Everything that needs a server, in one binary: real NATS, real Postgres, the service as a real process.
//!
//! `cargo test --test it <part of a name>` runs some of it. Begin a test with [`harness::World::start`].

mod architecture;
mod cli;
mod cluster;
mod compose;
mod dedupe;
mod degraded;
mod delivery;
mod dev;
mod devices;
mod direct;
mod drain;
mod epoch;
mod erasure;
mod examples;
mod expiry;
mod faults;
mod fresh;
mod harness;
mod ingest;
mod lockdown;
mod malformed;
mod markers;
mod media;
mod membership_counts;
mod mentions;
mod openapi;
mod order;
mod outbox;
mod persister;
mod poison;
mod presence;
mod push;
mod reactions;
mod readme;
mod rest;
mod resume;
mod safety;
mod schedule;
mod schemas;
mod serve;
mod socketio;
mod tester;
mod unread;
mod ws;
