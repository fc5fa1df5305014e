//! What operators look into: the log against Postgres, backups, the state of an installation, the way of a message.

mod backup;
mod doctor;
mod explain;
mod removed;
mod verify;

use std::process::Output;

use serde_json::Value;

use crate::harness::World;
use crate::harness::node::command;

impl World {
    /// Runs `messaging admin …` to its end.
    async fn admin(&self, arguments: &[&str]) -> Output {
        self.admin_with(arguments, &[]).await
    }

    /// The same, with environment variables.
    async fn admin_with(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        let quiet = [&[("MESSAGING_LOG", "warn")], settings].concat();
        let mut command = command(&[&["admin"], arguments].concat(), &self.settings(&quiet));
        let running = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
        running.await.expect("no panic")
    }
}

/// The document that was answered.
#[track_caller]
fn document(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
