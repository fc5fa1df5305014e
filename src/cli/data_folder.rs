//! What `messaging dev` keeps in its data folder and other commands read from it.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

/// The data folder when none is named, in the current folder.
pub const DEFAULT: &str = ".data";

/// The file of the secret that tokens are signed with.
pub const JWT_SECRET: &str = "jwt-secret";

/// The folder of the NATS users' passwords, a file each.
pub const NATS_USERS: &str = "nats-users";

/// The service account that the stand-in for Google knows, while it runs.
pub const GOOGLE: &str = "google.json";

/// What marks a folder as one of `messaging dev`.
pub const FORMAT: &str = "format";

/// Addresses and process ids, while it runs.
pub const RUN: &str = "run.json";

/// What other programs need to find a running `messaging dev`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunFile {
    pub pid: u32,
    pub url: String,
    /// With the user of the service itself in it, and its password.
    pub nats_url: String,
    pub nats_pid: u32,
    pub postgres_pid: u32,
    pub postgres_url: String,
    /// The stand-in for Google, unless a real one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fcm_url: Option<String>,
}

impl RunFile {
    /// That of the `messaging dev` that runs on the folder `data`.
    ///
    /// # Errors
    /// A sentence when it is no such folder, or none runs there.
    pub fn read(data: &Path) -> anyhow::Result<Self> {
        let shown = data.display();
        let broken = || format!("The data folder {shown} cannot be read");
        match data.join(FORMAT).try_exists() {
            Ok(true) => {}
            Ok(false) if !data.is_dir() => bail!(
                "There is no folder {shown}; name the data folder of a running `messaging dev` (`make run` has \
                 {DEFAULT})"
            ),
            Ok(false) => bail!(
                "{shown} is not a data folder of `messaging dev`; name that of one that runs (`make run` has {DEFAULT})"
            ),
            Err(error) => return Err(error).with_context(broken),
        }
        let run: Option<Self> = match std::fs::read_to_string(data.join(RUN)) {
            Ok(text) => Some(serde_json::from_str(&text).with_context(broken)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(broken),
        };
        // One that was killed leaves its file.
        run.filter(Self::is_alive).with_context(|| {
            format!("No `messaging dev` runs on {shown}; start it (`messaging dev --data {shown}`) and try again")
        })
    }

    fn is_alive(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
    }

    /// `nats://127.0.0.1:<port>`, of nobody.
    pub fn nats_address(&self) -> String {
        let address =
            self.nats_url.rsplit_once('@').map_or(&*self.nats_url, |(_, address)| address);
        format!("nats://{}", address.trim_start_matches("nats://"))
    }
}

/// A secret that the folder keeps under `name`.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn read_secret(data: &Path, name: &str) -> io::Result<String> {
    let text = std::fs::read_to_string(data.join(name))?;
    Ok(text.trim_end().to_owned())
}

/// The same, made on first use.
pub fn secret(data: &Path, name: &str) -> io::Result<String> {
    match read_secret(data, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = random_hex();
            write_private(&data.join(name), &secret)?;
            Ok(secret)
        }
        other => other,
    }
}

/// 256 bits from the system's generator, in hex.
fn random_hex() -> String {
    format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>())
}

/// Writes a file that only its owner may read, all or nothing.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    // A left-over of a killed process may have other permissions.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
