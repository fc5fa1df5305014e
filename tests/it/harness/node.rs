//! The service as a process of its own.

use std::process::{Command, ExitStatus};

use serde_json::Value;

use super::process::Process;
use super::{PATIENCE, Rest, User, Ws, tools};

/// A running `messaging serve`.
pub struct Node {
    /// `http://127.0.0.1:<port>`
    pub url: String,
    pub process: Process,
    /// Whether its end is the test's own doing.
    ended_on_purpose: bool,
}

impl Node {
    /// Starts one and waits until it serves. `arguments` follow `serve`; `settings` are environment variables.
    pub async fn start(arguments: &[&str], settings: &[(String, String)]) -> Self {
        let command = command(&[&["serve"], arguments].concat(), settings);
        let starting = tokio::task::spawn_blocking(move || {
            let process = Process::start("messaging serve", command, libc::SIGKILL);
            let address = process.stderr.wait_for(PATIENCE, address_in);
            (process, address)
        });
        let (process, address) = starting.await.expect("starting does not panic");
        let Some(address) = address else {
            // Whether it has given up or is still at it is what whoever reads this wants to know first.
            let end =
                process.has_ended().map_or("still starting".to_owned(), |end| end.to_string());
            panic!("the service does not start ({end}); it said:\n{}", process.stderr.text())
        };
        Self { url: format!("http://{address}"), process, ended_on_purpose: false }
    }

    /// The URL of a further listener, by what the log calls it.
    pub fn listener(&self, message: &str) -> String {
        let address = self.process.stderr.wait_for(PATIENCE, |line| address_with(message, line));
        format!("http://{}", address.unwrap_or_else(|| panic!("{message} is not in the log")))
    }

    /// REST as `user`.
    pub fn rest(&self, user: &User) -> Rest {
        Rest::new(&self.url, Some(&user.token))
    }

    /// A native WebSocket as `user`, connected.
    pub async fn ws(&self, user: &User) -> Ws {
        Ws::connect(&self.url, &user.token).await
    }

    /// `SIGKILL`: no goodbye.
    pub async fn kill9(&mut self) {
        self.ended_on_purpose = true;
        self.process.signal(libc::SIGKILL);
        self.process.ended().await;
    }

    /// `SIGTERM`, and how it ended.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.process.signal(libc::SIGTERM);
        self.ended().await
    }

    /// Waits for an end that is on its way, and says how it was.
    pub async fn ended(&mut self) -> ExitStatus {
        self.ended_on_purpose = true;
        self.process.ended().await
    }
}

impl Drop for Node {
    /// What a test leaves running must stop by itself when asked to, without an error.
    fn drop(&mut self) {
        let status = self.process.stop(libc::SIGTERM);
        if std::thread::panicking() {
            eprintln!("---- {} said:\n{}", self.process.name, self.process.stderr.text());
        } else if !self.ended_on_purpose {
            assert!(
                status.success(),
                "the node did not stop cleanly ({status}); it said:\n{}",
                self.process.stderr.text()
            );
        }
    }
}

/// Without anything of the caller's environment but what `settings` say.
pub fn command(arguments: &[&str], settings: &[(String, String)]) -> Command {
    let mut command = Command::new(tools::MESSAGING);
    command.args(arguments).env_clear();
    for name in ["PATH", "HOME", "LLVM_PROFILE_FILE", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

/// The address in the line that says that the node serves.
fn address_in(line: &str) -> Option<String> {
    address_with("ready", line)
}

/// The address in a log line with that message.
fn address_with(message: &str, line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == message).then(|| line["address"].as_str().map(str::to_owned))?
}
