//! The `nats-server` of a data folder: on a free port of the loopback interface, behind a password.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::child::{self, Child, Spec};
use super::folder::Folder;
use crate::cli::data_folder;
use crate::config::Secret;

const USER: &str = "messaging";
/// Reading back a large stream after a crash takes seconds.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// After a `kill -9` of its parent the old server is told to leave and flushes.
const LEAVES_WITHIN: Duration = Duration::from_secs(20);

/// Where it is and how to get in.
#[derive(Debug)]
pub struct Nats {
    pub pid: u32,
    /// `nats://127.0.0.1:<port>`
    pub address: String,
    pub user: &'static str,
    pub password: Secret,
}

impl Nats {
    pub fn url_with_password(&self) -> String {
        let credentials = format!("nats://{}:{}@", self.user, self.password.expose());
        self.address.replacen("nats://", &credentials, 1)
    }
}

/// Starts it on the folder's streams.
pub async fn start(
    folder: &Folder,
    program: PathBuf,
    slot: &mut Option<Child>,
) -> anyhow::Result<Nats> {
    let store = folder.make("nats")?;
    let password = data_folder::secret(folder.path(), "nats-password")
        .context("The folder's NATS password cannot be kept")?;
    let config = folder.path().join("nats.conf");
    data_folder::write_private(&config, &configuration(&store.to_string_lossy(), &password))
        .context("The configuration of nats-server cannot be written")?;
    let lock = child::lock(folder.path().join("nats.lock"), LEAVES_WITHIN)
        .await
        .context("The nats-server of an earlier run still uses this data folder")?;
    let mut command = Command::new(program);
    command.arg("--config").arg(&config);
    let spec = Spec {
        name: "nats-server",
        command,
        on_parent_death: libc::SIGTERM,
        user: None,
        inherit: vec![OwnedFd::from(lock)],
        log: folder.log("nats.log"),
        ready_when: Some("Server is ready"),
        ready_within: READY_WITHIN,
    };
    let output = Child::start(spec, slot).await?;
    let address = output
        .iter()
        .find_map(|line| listening_on(line))
        .context("nats-server did not say where it listens")?;
    let pid = slot.as_ref().map_or(0, Child::pid);
    Ok(Nats {
        pid,
        address: format!("nats://{address}"),
        user: USER,
        password: Secret::from(password),
    })
}

/// Stops it; what it holds in memory is written first.
pub async fn stop(child: Child) {
    let second = Duration::from_secs(1);
    child.stop(&[(libc::SIGTERM, 10 * second), (libc::SIGKILL, 5 * second)]).await;
}

/// Written to disk every 100 ms: a crash of the *machine* can lose what was accepted in that time, a crash
/// of the process nothing. No monitoring port.
fn configuration(store: &str, password: &str) -> String {
    let store = store.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "# Written by `messaging dev` at each start.\n\
         server_name: messaging-dev\n\
         host: 127.0.0.1\n\
         port: -1\n\
         max_payload: 1MB\n\
         authorization {{ user: {USER}, password: \"{password}\" }}\n\
         jetstream {{ store_dir: \"{store}\", sync_interval: \"100ms\", max_memory_store: 256MB }}\n"
    )
}

/// The address in "… Listening for client connections on 127.0.0.1:43211".
fn listening_on(line: &str) -> Option<SocketAddr> {
    line.split_once("Listening for client connections on ")?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_log() {
        let line =
            "[1] 2026/11/22 09:00:00.1 [INF] Listening for client connections on 127.0.0.1:43211";
        assert_eq!(listening_on(line), "127.0.0.1:43211".parse().ok());
    }
}
