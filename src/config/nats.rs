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
    /// Empty when not set.
    pub nkey_seed_file: PathBuf,
    /// Empty: made of the user's name.
    pub inbox_prefix: String,
    /// Services that read the log.
    #[serde(deserialize_with = "list::deserialize")]
    pub log_readers: Vec<String>,
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

/// The consumers of this service's own roles.
const OWN_CONSUMERS: [&str; 2] = ["persist", "push"];

impl Nats {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.urls.is_empty() {
            problems.push("nats.urls (NATS_URL) is empty; name at least one server.".into());
        }
        if !matches!(self.replicas, 1 | 3 | 5) {
            problems.push(format!("nats.replicas is {}; it must be 1, 3 or 5.", self.replicas));
        }
        let has_key = !self.nkey_seed_file.as_os_str().is_empty();
        let has_creds = !self.creds_file.as_os_str().is_empty();
        let proofs = [!self.password.is_empty(), has_key, has_creds];
        if proofs.iter().filter(|given| **given).count() > 1 {
            problems.push(
                "Of NATS_PASSWORD, NATS_NKEY_SEED_FILE and NATS_CREDS only one can be used.".into(),
            );
        }
        // With a key or credentials the name of the user only names its inbox.
        let is_lone_user = !self.user.is_empty() && !proofs.contains(&true);
        if is_lone_user || (self.user.is_empty() && !self.password.is_empty()) {
            problems
                .push("NATS_USER and NATS_PASSWORD go together; only one of them is set.".into());
        }
        let in_url = |url: &String| {
            let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            host.contains('@')
        };
        if !self.user.is_empty() && self.urls.iter().any(in_url) {
            problems.push(
                "NATS_URL names a user, and NATS_USER another: leave the one before the @ of NATS_URL out."
                    .into(),
            );
        }
        let is_subject = |text: &str| {
            let special = |c: char| c.is_whitespace() || matches!(c, '*' | '>');
            !text.contains(special) && text.split('.').all(|token| !token.is_empty())
        };
        if !self.inbox_prefix.is_empty() && !is_subject(&self.inbox_prefix) {
            problems.push("nats.inbox_prefix (NATS_INBOX_PREFIX) is not a subject.".into());
        }
        for reader in &self.log_readers {
            if !is_subject(reader) || reader.contains('.') || OWN_CONSUMERS.contains(&&**reader) {
                problems.push(format!(
                    "nats.log_readers (MESSAGING_NATS_LOG_READERS): {reader:?} cannot be the name of a service's \
                     consumer."
                ));
            }
        }
        if self.tls.cert.as_os_str().is_empty() != self.tls.key.as_os_str().is_empty() {
            problems.push(
                "nats.tls.cert and nats.tls.key go together; only one of them is set.".into(),
            );
        }
        let files = [
            ("nats.creds_file (NATS_CREDS)", &self.creds_file),
            ("nats.nkey_seed_file (NATS_NKEY_SEED_FILE)", &self.nkey_seed_file),
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
