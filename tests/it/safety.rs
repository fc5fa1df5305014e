//! Blocks, reports, and who may not take part.

mod apart;
mod blocks;
mod reports;
mod standing;
mod suspended;

use serde_json::Value;

use crate::harness::World;
use crate::harness::node::command;

/// Runs `messaging admin …` with `--json` to its end: whether it succeeded, what it answered, and what it complained of.
async fn admin(world: &World, arguments: &[&str]) -> (bool, Value, String) {
    let arguments = [&["admin", "--json", "--operator", "tess"], arguments].concat();
    let mut command = command(&arguments, &world.settings(&[]));
    let running = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    let output = running.await.expect("no panic");
    let answered = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.success(), answered, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The same, which must succeed.
async fn done(world: &World, arguments: &[&str]) -> Value {
    let (success, answer, complaint) = admin(world, arguments).await;
    assert!(success, "{arguments:?}: {complaint}");
    answer
}
