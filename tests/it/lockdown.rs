//! NATS as it is shipped: who may do what, and that the service needs nothing more.

mod limits;
mod permissions;
mod refused;
mod service;
mod ways_in;

use std::process::Output;

use crate::harness::World;
use crate::harness::node::command;
use crate::harness::shipped::Shipped;

/// Every user of the account, in the order of the file.
const USERS: [&str; 10] = [
    "edge",
    "persister",
    "push",
    "ingest",
    "topology",
    "operator",
    "backup",
    "messaging",
    "events",
    "billing",
];

/// Runs a command of `messaging` as a user of NATS, to its end.
async fn run_as(world: &World, shipped: &Shipped, user: &str, arguments: &[&str]) -> Output {
    run_with(world, arguments, &shipped.environment(user)).await
}

/// The same with any environment.
async fn run_with(world: &World, arguments: &[&str], settings: &[(&str, String)]) -> Output {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut command = command(arguments, &world.settings(&settings));
    let running = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    running.await.expect("no panic")
}

/// The streams, made as an operator makes them before the first start.
async fn apply_topology(world: &World, shipped: &Shipped) {
    let output = run_as(world, shipped, "topology", &["topology", "apply"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
