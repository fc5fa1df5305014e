//! Beside a `messaging dev` that runs: its servers, instead of those of the configuration.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::data_folder::{self, RunFile};
use crate::config::{Algorithm, Config, NatsTls, Problems, Secret, TlsMode, env};

/// The variable that names the data folder.
pub const DATA: &str = "MESSAGING_DATA";

/// Which servers a command is about, where that may be those of a data folder.
#[derive(Debug, Clone, clap::Args)]
pub struct Beside {
    /// Data folder of a running `messaging dev`, whose servers are used instead of those of the configuration.
    #[arg(long, global = true, env = DATA, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Beside {
    /// The folder, when one is named.
    pub fn folder(&self) -> Option<&Path> {
        self.data.as_deref().filter(|path| !path.as_os_str().is_empty())
    }
}

/// What a data folder says about its servers.
#[derive(Debug)]
pub struct Found {
    /// `nats://127.0.0.1:<port>`
    pub nats: String,
    /// Who one is in NATS.
    pub user: String,
    pub password: Secret,
    pub postgres: String,
}

impl Found {
    /// Has `config` use them, and what else lies in the folder where nothing else is configured.
    ///
    /// # Errors
    /// When the folder's secret cannot be kept.
    pub fn used_by(self, config: &mut Config, folder: &Path) -> anyhow::Result<()> {
        config.auth.algorithm = Algorithm::HS256;
        if config.auth.jwt_secret.is_empty() {
            let secret = data_folder::secret(folder, data_folder::JWT_SECRET)
                .context("The folder's JWT secret cannot be kept")?;
            config.auth.jwt_secret = Secret::from(secret);
        }
        config.postgres.url = Secret::from(self.postgres);
        config.postgres.tls = TlsMode::Disable;
        config.nats.urls = vec![self.nats];
        config.nats.user = self.user;
        config.nats.password = self.password;
        config.nats.creds_file = PathBuf::new();
        config.nats.nkey_seed_file = PathBuf::new();
        config.nats.inbox_prefix = String::new();
        config.nats.tls = NatsTls::default();
        config.nats.replicas = 1;
        if config.media.place() == Ok(None) {
            config.media.url = format!("file://{}", folder.join("media").display());
            config.media.spool = folder.join("spool");
        }
        Ok(())
    }
}

/// Has `config` use the servers of the `messaging dev` that runs on `folder`, as `user` of its NATS.
///
/// # Errors
/// When none runs there, or when the environment names servers as well: a command that took some of one and some of the
/// other could change what it was not meant for.
pub fn adopt(config: &mut Config, folder: &Path, user: &str) -> Result<(), Problems> {
    let named = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let named: Vec<&str> = said_by_the_folder().filter(|name| named(name)).collect();
    if !named.is_empty() {
        return Err(Problems(vec![format!(
            "The data folder {} says where the servers are, and so does {}: unset that, or leave --data ({DATA}) out.",
            folder.display(),
            named.join(", ")
        )]));
    }
    take(config, folder, user).map_err(|error| Problems(vec![super::sentence(&error)]))
}

fn take(config: &mut Config, folder: &Path, user: &str) -> anyhow::Result<()> {
    let run = RunFile::read(folder)?;
    // An archive, a dump, a file's address: they are named from other folders too.
    let folder = folder.canonicalize().context("The data folder cannot be reached")?;
    let password = data_folder::read_secret(&folder.join(data_folder::NATS_USERS), user);
    let password = password.with_context(|| {
        format!(
            "The data folder {} has no password of the NATS user {user}; start `messaging dev` on it anew",
            folder.display()
        )
    })?;
    let servers = Found {
        nats: run.nats_address(),
        user: user.to_owned(),
        password: Secret::from(password),
        postgres: run.postgres_url,
    };
    servers.used_by(config, &folder)?;
    if let Some(fcm_url) = run.fcm_url.filter(|_| !config.push.is_on()) {
        config.push.credentials_file = folder.join(data_folder::GOOGLE);
        config.push.fcm_url = fcm_url;
    }
    let address: Option<std::net::SocketAddr> =
        run.url.strip_prefix("http://").and_then(|address| address.parse().ok());
    if let Some(address) = address {
        (config.http.host, config.http.port) = (address.ip(), address.port());
    }
    Ok(())
}

/// Variables that say where the servers are and who one is there.
fn said_by_the_folder() -> impl Iterator<Item = &'static str> {
    const OF_NATS: [&str; 6] =
        ["urls", "user", "password", "creds_file", "nkey_seed_file", "inbox_prefix"];
    const OF_POSTGRES: [&str; 8] =
        ["url", "host", "port", "db", "user", "password", "tls", "tls_ca"];
    env::NAMES.iter().filter_map(|(name, key)| {
        let is_said = match key.split_once('.')? {
            ("nats", key) => OF_NATS.contains(&key) || key.starts_with("tls."),
            ("postgres", key) => OF_POSTGRES.contains(&key),
            _ => false,
        };
        is_said.then_some(*name)
    })
}

#[cfg(test)]
mod tests {
    use super::said_by_the_folder;

    #[test]
    fn whatever_names_a_server_or_a_user_contradicts_a_data_folder() {
        let names: Vec<&str> = said_by_the_folder().collect();
        for name in
            ["NATS_URL", "NATS_PASSWORD", "MESSAGING_NATS_TLS_CA", "POSTGRES_URL", "POSTGRES_DB"]
        {
            assert!(names.contains(&name), "{name}");
        }
        for name in
            ["MESSAGING_NATS_REPLICAS", "MESSAGING_POSTGRES_POOL_SIZE", "MESSAGING_MEDIA_URL"]
        {
            assert!(!names.contains(&name), "{name}");
        }
    }
}
