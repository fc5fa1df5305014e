//! From the configuration to what each module asks for; the one place that knows both.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use anyhow::bail;

use crate::bus;
use crate::config::{self, Algorithm, Config, TlsMode};
use crate::domain::retention::Retention;
use crate::edge::{self, auth, limits};
use crate::ingest;
use crate::persister;
use crate::push::{self, ServiceAccount};
use crate::store;

mod media;

pub use media::{media, place};

/// How the store reaches Postgres.
pub fn store(postgres: &config::Postgres) -> store::Settings {
    store::Settings {
        url: postgres_url(postgres),
        tls: match postgres.tls {
            TlsMode::Disable => store::connect::Tls::Off,
            TlsMode::Prefer => store::connect::Tls::Prefer,
            TlsMode::Require => store::connect::Tls::Require,
        },
        ca_file: given(&postgres.tls_ca),
        pool_size: postgres.pool_size,
        statement_timeout: postgres.statement_timeout,
    }
}

/// Where NATS is and who we are there.
pub fn nats(nats: &config::Nats) -> bus::connect::Settings {
    let identity = given(&nats.tls.cert).zip(given(&nats.tls.key));
    bus::connect::Settings {
        urls: nats.urls.clone(),
        user: (!nats.user.is_empty()).then(|| nats.user.clone()),
        password: nats.password.non_empty().map(str::to_owned),
        creds_file: given(&nats.creds_file),
        nkey_seed_file: given(&nats.nkey_seed_file),
        inbox_prefix: (!nats.inbox_prefix.is_empty()).then(|| nats.inbox_prefix.clone()),
        refusals: Arc::default(),
        tls_ca: given(&nats.tls.ca),
        tls_identity: identity,
    }
}

/// How publishing waits. One attempt is given a fifth of the whole time: several fit into an election.
pub fn publish(nats: &config::Nats) -> bus::publish::Settings {
    let retry_for = nats.publish_retry_for;
    bus::publish::Settings { retry_for, attempt: retry_for / 5 }
}

/// How tokens are checked.
///
/// # Errors
/// When no key is configured.
pub fn auth(auth: &config::Auth) -> anyhow::Result<auth::Settings> {
    let algorithm = match auth.algorithm {
        Algorithm::HS256 => auth::Algorithm::Hs256,
        Algorithm::RS256 => auth::Algorithm::Rs256,
        Algorithm::ES256 => auth::Algorithm::Es256,
        Algorithm::EdDSA => auth::Algorithm::EdDsa,
    };
    let secret = auth.jwt_secret.non_empty().filter(|_| auth.algorithm == Algorithm::HS256);
    let key = match (secret, auth.jwks_file(), auth.jwks_url()) {
        (Some(secret), _, _) => {
            let others = auth.jwt_other_secrets.expose().split(',').map(str::trim);
            let others = others.filter(|other| !other.is_empty());
            let secrets = std::iter::once(secret).chain(others);
            auth::KeySource::Secrets(secrets.map(str::to_owned).collect())
        }
        (None, Some(file), _) => auth::KeySource::JwksFile(file.clone()),
        (None, None, Some(url)) => auth::KeySource::JwksUrl(url.to_owned()),
        (None, None, None) => bail!("No key to check tokens with is configured."),
    };
    Ok(auth::Settings { algorithm, key, leeway: auth.leeway })
}

/// The limits on what one user asks for.
pub fn limits(config: &Config) -> limits::Settings {
    let (limits, safety) = (&config.limits, &config.safety);
    // Whoever lets people be as fast as they like means this as well.
    let is_paced = limits.messages_per_second > 0;
    limits::Settings {
        messages_per_second: limits.messages_per_second,
        signals_per_second: limits.signals_per_second,
        requests_per_second: limits.requests_per_second,
        same_text: edge::flood::Settings {
            conversations: if is_paced { safety.same_text_conversations } else { 0 },
            window: safety.same_text_window,
        },
    }
}

/// What an operator may set of the edge.
pub fn edge(config: &Config) -> edge::Settings {
    let limits = &config.limits;
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    edge::Settings {
        process: process(),
        max_content_chars: limits.max_content_chars,
        max_group_participants: narrow(limits.max_group_participants),
        max_connections_per_user: limits.max_connections_per_user,
        max_frame_bytes: limits.max_frame_bytes,
        max_queued_frames: limits.max_queued_frames,
        max_conversations_per_user: narrow(limits.max_conversations_per_user),
        replay: edge::resume::Limits {
            per_conversation: limits.max_replayed_per_conversation,
            in_all: limits.max_replayed_events,
        },
        max_replays: limits.max_replays,
        connects_per_second: limits.connects_per_second,
        kept_for: retention(&config.retention).shortest(),
        new_for: Duration::from_secs(3600 * u64::from(config.safety.young_user_hours)),
        edit_window: limits.edit_window,
        heartbeat: config.http.heartbeat,
        opening_timeout: config.http.opening_timeout,
        drain_window: config.lifecycle.drain_window,
        header_timeout: config.http.header_timeout,
        request_body_limit: config.http.request_body_limit,
        cors_origins: config.http.cors_origins.clone(),
        metrics_elsewhere: config.http.metrics_listen.is_some(),
    }
}

/// This process, as operators know it: its machine, or its container, and its number there.
pub fn process() -> String {
    format!("{}:{}", host(), std::process::id())
}

/// The name of the machine, or of the container.
pub fn host() -> String {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let named = named.or_else(|| std::env::var("HOSTNAME").ok());
    named.map(|name| name.trim().to_owned()).unwrap_or_else(|| "unknown".to_owned())
}

/// Who counts as online, and who is told.
pub fn presence(config: &Config) -> edge::presence::Settings {
    let config::Presence { grace, node_ttl, max_group } = config.presence;
    edge::presence::Settings {
        timing: edge::presence::Timing { grace, edge_ttl: node_ttl },
        max_group,
        // Not a matter of `apply_topology`: what is only in the servers' memory is gone whenever they restart.
        create: Some(config.nats.replicas),
    }
}

fn retention(retention: &config::Retention) -> Retention {
    let config::Retention { direct, group, community } = *retention;
    Retention { direct, group, community }
}

/// How the persister batches, and how long messages are kept.
pub fn persister(config: &Config) -> persister::Settings {
    let config::Persister { batch_size, linger } = config.persister;
    persister::Settings { batch_size, linger, retention: retention(&config.retention) }
}

/// Whom notifications are for, and how many are under way.
pub fn push(config: &Config) -> push::role::Settings {
    let push = &config.push;
    push::role::Settings {
        rules: push::plan::Rules { max_age: push.max_age, preview_chars: push.preview_chars },
        grace: push.grace,
        concurrency: push.concurrency,
        lease: push.lease,
        edge_ttl: config.presence.node_ttl,
    }
}

/// How others than edges read who is online: a lost bucket is the edges' to make anew.
pub fn presence_reader(config: &Config) -> bus::presence::Settings {
    bus::presence::Settings { edge_ttl: config.presence.node_ttl, create: None }
}

/// How notifications reach Google, and what they look like; `None` when they are off.
///
/// # Errors
/// When what is configured is no service account.
pub fn google(push: &config::Push) -> Result<Option<push::FcmSettings>, push::CredentialsError> {
    if !push.is_on() {
        return Ok(None);
    }
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (project, token_url) = (text(&push.project_id), text(&push.token_url));
    let account = match push.credentials_file() {
        Some(file) => ServiceAccount::from_file(file, project.as_deref(), token_url.as_deref())?,
        None => ServiceAccount::new(
            &push.project_id,
            &push.client_email,
            push.private_key.expose(),
            token_url.as_deref(),
        )?,
    };
    Ok(Some(push::FcmSettings {
        account,
        url: push.fcm_url.clone(),
        request_timeout: push.request_timeout,
        look: push::Look {
            ttl: push.ttl,
            channel: push.channel.clone(),
            quiet_channel: push.quiet_channel.clone(),
            web_icon: push.web_icon.clone(),
            web_link: push.web_link.clone(),
        },
        concurrency: push.concurrency,
    }))
}

/// How much is taken from other services at a time.
pub fn ingest(config: &Config) -> ingest::Settings {
    let config::Ingest { batch_size, max_requests, .. } = config.ingest;
    ingest::Settings {
        batch_size,
        max_requests,
        max_content_chars: config.limits.max_content_chars,
    }
}

/// The URL as given, or made of its parts, each encoded: passwords may hold anything.
fn postgres_url(postgres: &config::Postgres) -> String {
    if let Some(url) = postgres.url.non_empty() {
        return url.to_owned();
    }
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut url = String::from("postgres://");
    if !postgres.user.is_empty() {
        url.push_str(&encode(&postgres.user));
        if let Some(password) = postgres.password.non_empty() {
            url.push(':');
            url.push_str(&encode(password));
        }
        url.push('@');
    }
    // An IPv6 address keeps its brackets; the directory of a unix socket is encoded.
    let host = match postgres.host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => utf8_percent_encode(&postgres.host, HOST).to_string(),
    };
    write!(url, "{host}:{}/{}", postgres.port, encode(&postgres.db))
        .expect("writing into a String cannot fail");
    url
}

/// What a host name may not keep in a URL.
const HOST: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

/// An empty path stands for "not set".
fn given(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn url(vars: &[(&str, &str)]) -> String {
        let config = load(None, |name| {
            vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        });
        postgres_url(&config.expect("a config").postgres)
    }

    #[test]
    fn the_parts_make_a_url_whatever_the_password_holds() {
        assert_eq!(url(&[]), "postgres://messaging@127.0.0.1:5432/messaging");
        assert_eq!(
            url(&[("POSTGRES_PASSWORD", "p@s/s"), ("POSTGRES_HOST", "db.example-1.org")]),
            "postgres://messaging:p%40s%2Fs@db.example-1.org:5432/messaging"
        );
        assert_eq!(
            url(&[("POSTGRES_HOST", "/run/pg")]),
            "postgres://messaging@%2Frun%2Fpg:5432/messaging"
        );
        assert_eq!(url(&[("POSTGRES_HOST", "::1")]), "postgres://messaging@[::1]:5432/messaging");
    }

    #[test]
    fn a_url_wins_over_the_parts() {
        assert_eq!(
            url(&[("POSTGRES_URL", "postgres://x/y"), ("POSTGRES_DB", "z")]),
            "postgres://x/y"
        );
    }
}
