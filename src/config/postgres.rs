//! `[postgres]`: everything that is not a message on its way.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Secret;
use super::formats::duration;

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    Disable,
    Prefer,
    Require,
}

/// Where the database is and how it is used.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postgres {
    /// A secret because it may carry the password; empty when the single keys are used.
    pub url: Secret,
    pub host: String,
    pub port: u16,
    pub db: String,
    pub user: String,
    pub password: Secret,
    pub tls: TlsMode,
    /// Empty for the system's authorities.
    pub tls_ca: PathBuf,
    pub pool_size: usize,
    #[serde(with = "duration")]
    pub statement_timeout: Duration,
    pub migrate_at_start: bool,
}

impl Postgres {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if let Some(url) = self.url.non_empty()
            && !url.starts_with("postgres://")
            && !url.starts_with("postgresql://")
        {
            problems.push("postgres.url (POSTGRES_URL) must start with postgres://.".into());
        }
        if self.url.is_empty() && (self.host.is_empty() || self.db.is_empty()) {
            problems.push(
                "Postgres is not configured: set POSTGRES_URL, or POSTGRES_HOST and POSTGRES_DB."
                    .into(),
            );
        }
        // The persister and its leadership lock hold one connection each; requests need one more.
        if self.pool_size < 3 {
            problems.push(format!("postgres.pool_size is {}; the least is 3.", self.pool_size));
        }
        if !self.tls_ca.as_os_str().is_empty() && !self.tls_ca.is_file() {
            problems.push(format!("postgres.tls_ca: there is no file {}.", self.tls_ca.display()));
        }
    }
}
