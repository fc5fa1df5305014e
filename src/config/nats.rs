//! `[nats]`: the log and the signals.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::Secret;
use super::formats::{duration, list};

/// Servers, credentials and how patiently to publish.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nats {
    #[serde(deserialize_with = "list::deserialize", serialize_with = "without_credentials")]
    pub urls: Vec<String>,
    /// Empty when not set.
    pub user: String,
    pub password: Secret,
    /// Empty when not set.
    pub creds_file: PathBuf,
    /// Copies of each stream, 1 to 5.
    pub replicas: usize,
    pub apply_topology: bool,
    #[serde(with = "duration")]
    pub publish_retry_for: Duration,
    pub tls: NatsTls,
}

/// Certificates; a path is empty when not set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsTls {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// `nats://user:password@host` shows as `nats://********@host`.
fn without_credentials<S: Serializer>(urls: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(urls.iter().map(|url| match url.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://********@{host}"),
            None => url.clone(),
        },
        None => match url.rsplit_once('@') {
            Some((_, host)) => format!("********@{host}"),
            None => url.clone(),
        },
    }))
}

impl Nats {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.urls.is_empty() {
            problems.push("nats.urls (NATS_URL) is empty; name at least one server.".into());
        }
        if !matches!(self.replicas, 1 | 3 | 5) {
            problems.push(format!("nats.replicas is {}; it must be 1, 3 or 5.", self.replicas));
        }
        if self.user.is_empty() != self.password.is_empty() {
            problems
                .push("NATS_USER and NATS_PASSWORD go together; only one of them is set.".into());
        }
        if self.tls.cert.as_os_str().is_empty() != self.tls.key.as_os_str().is_empty() {
            problems.push(
                "nats.tls.cert and nats.tls.key go together; only one of them is set.".into(),
            );
        }
        let files = [
            ("nats.creds_file (NATS_CREDS)", &self.creds_file),
            ("nats.tls.ca", &self.tls.ca),
            ("nats.tls.cert", &self.tls.cert),
            ("nats.tls.key", &self.tls.key),
        ];
        for (key, file) in files {
            if !file.as_os_str().is_empty() && !file.is_file() {
                problems.push(format!("{key}: there is no file {}.", file.display()));
            }
        }
    }
}
