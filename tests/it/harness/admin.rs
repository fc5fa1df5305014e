//! `messaging admin` as operators run it: the real program, to its end.

use std::process::Output;

use serde_json::Value;

use super::World;
use super::node::command;

/// What a command has said.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    /// Runs `messaging admin …` against the servers of this world.
    pub async fn run_admin(&self, arguments: &[&str]) -> Said {
        self.run_admin_with(&[], arguments).await
    }

    /// The same with other settings.
    pub async fn run_admin_with(&self, settings: &[(&str, &str)], arguments: &[&str]) -> Said {
        let arguments = [&["admin", "--operator", "ops"], arguments].concat();
        let settings = [&[("MESSAGING_LOG", "error")], settings].concat();
        let mut command = command(&arguments, &self.settings(&settings));
        let running = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
        Said::from(running.await.expect("no panic"))
    }

    /// Runs one that has to succeed with `--json`, and returns the document.
    #[track_caller]
    pub fn run_admin_json(&self, arguments: &[&str]) -> impl Future<Output = Value> {
        let arguments = [&["--json"], arguments].concat();
        async move { self.run_admin(&arguments).await.json() }
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Said {
    /// What it said, after making sure that it succeeded.
    #[track_caller]
    pub fn fine(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// The same as JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        let text = self.fine();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Makes sure that it failed with a sentence that has these words, and said nothing else.
    #[track_caller]
    pub fn refused(self, words: &[&str]) -> String {
        assert!(
            matches!(self.code, Some(1 | 2)),
            "{:?}: {}{}",
            self.code,
            self.stdout,
            self.stderr
        );
        assert_eq!(self.stdout, "", "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word} is not in {}", self.stderr);
        }
        self.stderr
    }
}
