//! Processes of the service, started again whenever they end, as an orchestrator does.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::node;
use crate::harness::process::Process;

/// How often it is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(25);
/// What an orchestrator waits before it starts one again.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Default)]
struct State {
    process: Option<Process>,
    /// Its end is the suite's own doing.
    expected: bool,
    /// Ends that nobody has asked for.
    unexpected: Vec<String>,
}

/// One place in which a process runs.
pub struct Actor {
    pub name: String,
    pub port: u16,
    state: Arc<Mutex<State>>,
    wanted: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
}

impl Actor {
    /// `role` is `edge`, `persister` or `push`.
    pub fn start(name: String, role: &str, port: u16, settings: Vec<(String, String)>) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let (wanted, seen) = watch::channel(true);
        let arguments = vec!["serve".to_owned(), "--role".to_owned(), role.to_owned()];
        let supervisor =
            tokio::spawn(supervise(name.clone(), arguments, settings, state.clone(), seen));
        Self { name, port, state, wanted, supervisor }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends the process with a signal; no other is started until [`Self::revive`].
    pub fn end(&self, signal: i32) {
        self.wanted.send_replace(false);
        let mut state = self.state.lock();
        state.expected = true;
        if let Some(process) = &state.process {
            process.signal(signal);
        }
    }

    pub fn revive(&self) {
        self.wanted.send_replace(true);
    }

    /// Sends a signal that does not end it.
    pub fn signal(&self, signal: i32) {
        if let Some(process) = &self.state.lock().process {
            process.signal(signal);
        }
    }

    pub fn pid(&self) -> Option<i32> {
        self.state.lock().process.as_ref().map(|process| process.pid)
    }

    /// What the present process has said.
    pub fn said(&self) -> String {
        let process = self.state.lock().process.clone();
        process.map_or_else(String::new, |process| process.stderr.text())
    }

    /// Ends that nobody has asked for.
    pub fn unexpected(&self) -> Vec<String> {
        self.state.lock().unexpected.clone()
    }

    /// Asks it to stop, and says what was wrong with how it did.
    pub async fn stop(&self) -> Option<String> {
        self.wanted.send_replace(false);
        let process = {
            let mut state = self.state.lock();
            state.expected = true;
            state.process.clone()
        }?;
        process.signal(libc::SIGTERM);
        let status = process.ended().await;
        (!status.success()).then(|| format!("{} stopped with {status}", self.name))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.supervisor.abort();
        if let Some(process) = &self.state.lock().process {
            process.signal(libc::SIGCONT);
            process.stop(libc::SIGKILL);
        }
    }
}

async fn supervise(
    name: String,
    arguments: Vec<String>,
    settings: Vec<(String, String)>,
    state: Arc<Mutex<State>>,
    mut wanted: watch::Receiver<bool>,
) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    loop {
        if wanted.wait_for(|wanted| *wanted).await.is_err() {
            return;
        }
        let command = node::command(&arguments, &settings);
        let label = name.clone();
        // On a busy machine this takes its time, in which the proxies of this process must go on.
        let starting =
            tokio::task::spawn_blocking(move || Process::start(&label, command, libc::SIGKILL));
        let process = starting.await.expect("the program starts");
        {
            let mut state = state.lock();
            state.process = Some(process.clone());
            state.expected = false;
        }
        if !*wanted.borrow() {
            // Ended before it had begun.
            state.lock().expected = true;
            process.signal(libc::SIGKILL);
        }
        let mut looks = tokio::time::interval(LOOK);
        let status = loop {
            looks.tick().await;
            if let Some(status) = process.has_ended() {
                break status;
            }
        };
        note_end(&name, &process, status, &mut state.lock());
        tokio::time::sleep(PAUSE).await;
    }
}

/// One that cannot start because NATS or Postgres is away ends and is started again; one that has served does not
/// end by itself.
fn note_end(name: &str, process: &Process, status: ExitStatus, state: &mut State) {
    state.process = None;
    let text = process.stderr.text();
    let served = text.contains("\"ready\"") && !state.expected;
    if served || text.contains("panicked") {
        let last: Vec<&str> = text.lines().rev().take(5).collect();
        state.unexpected.push(format!("{name} ended by itself with {status}: {}", last.join("\n")));
    }
}
