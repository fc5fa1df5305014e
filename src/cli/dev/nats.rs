//! The `nats-server` of a data folder: on a free port of the loopback interface, with the users and permissions that
//! production has.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::child::{self, Child, Spec};
use super::folder::Folder;
use crate::cli::data_folder;
use crate::config::Secret;

/// The user of all roles in one process.
const USER: &str = "messaging";
/// Who may connect and what each may do, compiled in.
const INCLUDED: [(&str, &str); 2] = [
    ("users.conf", include_str!("../../../nats/users.conf")),
    ("permissions.conf", include_str!("../../../nats/permissions.conf")),
];
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
    let passwords = passwords(&folder.make(data_folder::NATS_USERS)?)
        .context("The folder's NATS passwords cannot be kept")?;
    let config = write_configuration(folder, &store)
        .context("The configuration of nats-server cannot be written")?;
    let lock = child::lock(folder.path().join("nats.lock"), LEAVES_WITHIN)
        .await
        .context("The nats-server of an earlier run still uses this data folder")?;
    into_the_account(&store)?;
    let mut command = Command::new(program);
    command.arg("--config").arg(&config);
    // In quotes: it must not be read as a number.
    command.envs(passwords.iter().map(|(user, secret)| (variable(user), format!("\"{secret}\""))));
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
    let password = passwords.into_iter().find(|(user, _)| user == USER).map(|(_, secret)| secret);
    let pid = slot.as_ref().map_or(0, Child::pid);
    Ok(Nats {
        pid,
        address: format!("nats://{address}"),
        user: USER,
        password: Secret::from(password.unwrap_or_default()),
    })
}

/// Stops it; what it holds in memory is written first.
pub async fn stop(child: Child) {
    let second = Duration::from_secs(1);
    child.stop(&[(libc::SIGTERM, 10 * second), (libc::SIGKILL, 5 * second)]).await;
}

/// Every user that has a password, and the password; a file each in `folder`.
fn passwords(folder: &Path) -> io::Result<Vec<(String, String)>> {
    let named = INCLUDED[0].1.split("password: $NATS_").skip(1);
    let users = named.filter_map(|rest| rest.split_once("_PASSWORD")).map(|(user, _)| user);
    let user = |name: &str| {
        let name = name.to_lowercase();
        let secret = data_folder::secret(folder, &name)?;
        Ok((name, secret))
    };
    // The first is an example in a comment, and there again.
    let users: BTreeSet<&str> = users.collect();
    users.into_iter().map(user).collect()
}

fn variable(user: &str) -> String {
    format!("NATS_{}_PASSWORD", user.to_uppercase())
}

/// A folder of a version without accounts keeps its streams where the server's default account has them.
fn into_the_account(store: &Path) -> anyhow::Result<()> {
    let accounts = store.join("jetstream");
    let (before, now) = (accounts.join("$G"), accounts.join("MESSAGING"));
    if before.is_dir() && !now.exists() {
        std::fs::rename(before, now).context("The streams of this data folder cannot be moved")?;
    }
    Ok(())
}

/// Written to disk every 100 ms: a crash of the *machine* can lose what was accepted in that time, a crash
/// of the process nothing. No monitoring port.
fn write_configuration(folder: &Folder, store: &Path) -> io::Result<PathBuf> {
    for (name, text) in INCLUDED {
        data_folder::write_private(&folder.path().join(name), text)?;
    }
    let store = store.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    let text = format!(
        "# Written by `messaging dev` at each start.\n\
         server_name: messaging-dev\n\
         host: 127.0.0.1\n\
         port: -1\n\
         max_payload: 1MB\n\
         jetstream {{ store_dir: \"{store}\", sync_interval: \"100ms\", max_memory_store: 256MB }}\n\
         include ./users.conf\n\
         accounts {{\n\
         \x20 MESSAGING {{\n\
         \x20   jetstream: enabled, limits: $messaging_limits\n\
         \x20   default_permissions: $nothing, users: $messaging_users\n\
         \x20 }}\n\
         \x20 SYS {{ users: $system_users }}\n\
         }}\n\
         system_account: SYS\n"
    );
    let path = folder.path().join("nats.conf");
    data_folder::write_private(&path, &text)?;
    Ok(path)
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

    #[test]
    fn every_user_gets_a_password_and_keeps_it() {
        let folder = std::env::temp_dir().join(format!("messaging-users-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a folder");
        let first = passwords(&folder).expect("passwords");
        let again = passwords(&folder).expect("passwords");
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(first, again);
        let users: Vec<_> = first.iter().map(|(user, _)| user.as_str()).collect();
        let named = INCLUDED[0].1.matches("{ user: ").count();
        assert_eq!(users.len(), named, "{users:?}");
        assert!(users.contains(&USER) && users.contains(&"billing"));
    }
}
