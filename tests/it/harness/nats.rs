//! A NATS server for each test, which may be stopped, started again and frozen.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::PATIENCE;
use super::process::Process;
use super::proxy::{Proxy, Upstream};
use super::tools;

/// A server with JetStream on a free port.
pub struct Nats {
    folder: PathBuf,
    port: u16,
    /// Further settings of JetStream.
    jetstream: &'static str,
    process: Process,
}

impl Nats {
    /// With further settings of JetStream, such as `max_file_store: 8MB`.
    pub fn start(jetstream: &'static str) -> Self {
        let folder = tools::folder("nats");
        let (process, port) = run(&folder, -1, jetstream);
        Self { folder, port, jetstream, process }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A proxy in front of it, which may misbehave.
    pub async fn proxy(&self) -> Proxy {
        Proxy::start(Upstream::Tcp(([127, 0, 0, 1], self.port).into())).await
    }

    /// A connection of the test's own.
    pub async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.url()).await.expect("NATS answers")
    }

    /// Ends it, as an operator would.
    pub fn stop(&self) {
        self.process.stop(libc::SIGTERM);
    }

    /// Ends it, as a crash would.
    pub fn kill9(&self) {
        self.process.stop(libc::SIGKILL);
    }

    /// Starts it again, on the same port and data.
    pub fn start_again(&mut self) {
        (self.process, _) = run(&self.folder, i32::from(self.port), self.jetstream);
    }

    /// Does a file of its store hold the text?
    pub fn has_on_disk(&self, text: &str) -> bool {
        let mut folders = vec![self.folder.join("data")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                // Files come and go while it runs.
                let bytes = std::fs::read(path).unwrap_or_default();
                if memchr::memmem::find(&bytes, text.as_bytes()).is_some() {
                    return true;
                }
            }
        }
        false
    }

    /// Freezes it: connections stay, nothing answers.
    pub fn pause(&self) {
        self.process.freeze();
    }

    pub fn resume(&self) {
        self.process.signal(libc::SIGCONT);
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.resume();
        self.process.stop(libc::SIGTERM);
    }
}

fn run(folder: &Path, port: i32, jetstream: &str) -> (Process, u16) {
    serve(folder, &format!("port: {port}\nserver_name: test\n"), jetstream)
}

/// Runs a server with its store in `folder` and returns the port that clients connect to.
pub fn serve(folder: &Path, settings: &str, jetstream: &str) -> (Process, u16) {
    let config = folder.join("nats.conf");
    let text = format!(
        "host: 127.0.0.1\n{settings}\
         jetstream {{ store_dir: \"{}\", sync_interval: \"100ms\"\n {jetstream} }}\n",
        folder.join("data").display()
    );
    std::fs::write(&config, text).expect("a configuration");
    launch(&config, &[])
}

/// Runs a server with a configuration that names port -1 or the same port again, and with environment variables.
pub fn launch(config: &Path, environment: &[(String, String)]) -> (Process, u16) {
    let mut command = Command::new(tools::nats_server());
    command.arg("--config").arg(config);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let process = Process::start("nats-server", command, libc::SIGKILL);
    let port = process.stderr.wait_for(PATIENCE, |line| {
        let (_, address) = line.split_once("Listening for client connections on ")?;
        address.trim().rsplit_once(':')?.1.parse().ok()
    });
    let ready =
        process.stderr.wait_for(PATIENCE, |line| line.contains("Server is ready").then_some(()));
    match (port, ready) {
        (Some(port), Some(())) => (process, port),
        _ => panic!("nats-server does not start: {}", process.stderr.text()),
    }
}
