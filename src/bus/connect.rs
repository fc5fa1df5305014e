//! Connections to NATS.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr, ServerError};
use percent_encoding::percent_decode_str;
use rand::seq::SliceRandom;
use tracing::{debug, error, info, warn};

use super::BusError;
use super::refusals::Refusals;

/// Where NATS is and who we are there.
#[derive(Clone, Default)]
pub struct Settings {
    /// One or several servers of one cluster.
    pub urls: Vec<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    /// A `.creds` file (JWT and nkey), instead of user and password.
    pub creds_file: Option<PathBuf>,
    /// A file with the seed of an nkey, instead of a password.
    pub nkey_seed_file: Option<PathBuf>,
    /// What the subjects of answers begin with; made of the user's name when not given.
    pub inbox_prefix: Option<String>,
    /// Where it is noted that the server refuses what these connections ask for.
    pub refusals: Arc<Refusals>,
    /// Certificate authorities for `tls://` servers, beside the system's.
    pub tls_ca: Option<PathBuf>,
    /// Client certificate and key.
    pub tls_identity: Option<(PathBuf, PathBuf)>,
}

/// How long the first connection may take. A process that cannot reach NATS at boot says so and ends, so
/// that whoever started it sees it; one that loses NATS later waits for as long as it takes.
const FIRST_CONNECT: Duration = Duration::from_secs(15);

/// Messages that a subscription may hold before the client drops the next one. The largest pull in this
/// crate asks for 4,096 at a time and has one request waiting, so 16,384 leaves room for two more.
const SUBSCRIPTION_CAPACITY: usize = 16_384;

/// Commands that may wait for the connection's writer. At 15,000 messages a second this is a quarter of a
/// second; beyond it publishers wait, which is the back-pressure that we want.
const CLIENT_CAPACITY: usize = 4_096;

/// Connects; `name` says in the server's monitoring what the connection is for.
///
/// # Errors
/// [`BusError::Unavailable`] when no server answers within [`FIRST_CONNECT`], [`BusError::Refused`] when an
/// address or a credentials file cannot be read.
pub async fn connect(settings: &Settings, name: &str) -> Result<Client, BusError> {
    let options = options(settings, name).await?.max_reconnects(None);
    first_connect(options, addresses(&settings.urls)?).await
}

/// Connects for as long as it lasts: when the connection breaks, whatever waits to be written to it is dropped and
/// its subscriptions end. `discovered` are servers to try behind those of the settings.
///
/// A connection of [`connect`] keeps what was not written and sends it first thing on the next one, ahead of what
/// had been written before and was lost on the way.
///
/// # Errors
/// As [`connect`].
pub async fn connect_once(
    settings: &Settings,
    discovered: &[String],
    name: &'static str,
) -> Result<Client, BusError> {
    let mut addresses = addresses(&settings.urls)?;
    addresses.shuffle(&mut rand::rng());
    addresses.extend(self::addresses(discovered)?);
    // The library cannot be told not to reconnect. It can be sent where nobody is until its attempts are used up;
    // nothing but the first connection tries the others.
    let nowhere: ServerAddr =
        NOWHERE.parse().map_err(|e| BusError::refused(format!("{NOWHERE}: {e}")))?;
    addresses.push(nowhere.clone());
    let is_first = AtomicBool::new(true);
    let refusals = settings.refusals.clone();
    let options = options(settings, name)
        .await?
        .retain_servers_order()
        .max_reconnects(addresses.len())
        .reconnect_to_server_callback(move |_, _| {
            let addr = nowhere.clone();
            let again = !is_first.swap(false, Ordering::Relaxed);
            let delay = Some(Duration::ZERO);
            async move { again.then_some(async_nats::ReconnectToServer { addr, delay }) }
        })
        .event_callback(move |event| {
            let refusals = refusals.clone();
            async move {
                match event {
                    Event::ClientError(cause) => {
                        debug!(connection = name, %cause, "as it was told to")
                    }
                    event => log_event(name, event, &refusals),
                }
            }
        });
    first_connect(options, addresses).await
}

/// A port that nothing can listen on.
const NOWHERE: &str = "nats://127.0.0.1:0";

/// The servers of the cluster that a connection knows of, beside those that it was given.
pub fn discovered(client: &Client) -> Vec<String> {
    client.server_info().connect_urls
}

fn addresses(urls: &[String]) -> Result<Vec<ServerAddr>, BusError> {
    let parse = |url: &String| {
        // Whatever stands before the host may be a password.
        let host = url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host);
        url.parse::<ServerAddr>().map_err(|e| BusError::refused(format!("{host}: {e}")))
    };
    urls.iter().map(parse).collect()
}

async fn first_connect(
    options: ConnectOptions,
    addresses: Vec<ServerAddr>,
) -> Result<Client, BusError> {
    match tokio::time::timeout(FIRST_CONNECT, options.connect(addresses)).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(cause)) => Err(match cause.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                BusError::refused("the server does not know this user, password or key")
            }
            _ => BusError::unavailable(cause),
        }),
        Err(_) => Err(BusError::unavailable("no answer within 15 s")),
    }
}

/// User and password that stand before a server's name, `nats://user:password@host`. The library reads them and does
/// not use them.
fn named_in_url(settings: &Settings) -> Option<(String, Option<String>)> {
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let addresses = settings.urls.iter().filter_map(|url| url.parse::<ServerAddr>().ok());
    let mut named = addresses
        .filter_map(|address| Some((plain(address.username()?), address.password().map(plain))));
    named.next()
}

/// What the subjects of a connection's answers begin with: each user has an inbox of its own, so that the server
/// can keep others from reading it. Without a user it is what every client of NATS uses.
fn inbox_prefix(settings: &Settings) -> String {
    let in_url = || named_in_url(settings).map(|(user, _)| user);
    match (&settings.inbox_prefix, settings.user.clone().or_else(in_url)) {
        (Some(prefix), _) => prefix.clone(),
        (None, None) => "_INBOX".to_owned(),
        (None, Some(user)) => {
            // One token of a subject, whatever the name holds.
            let special = |c: char| c.is_whitespace() || matches!(c, '.' | '*' | '>');
            format!("_INBOX_{}", user.replace(special, "_"))
        }
    }
}

/// Is the connection up at this moment?
pub fn is_connected(client: &Client) -> bool {
    client.connection_state() == async_nats::connection::State::Connected
}

async fn options(settings: &Settings, name: &str) -> Result<ConnectOptions, BusError> {
    let label = name.to_owned();
    let refusals = settings.refusals.clone();
    let mut options = ConnectOptions::new()
        .name(name)
        .client_capacity(CLIENT_CAPACITY)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .ping_interval(Duration::from_secs(5))
        .request_timeout(Some(Duration::from_secs(3)))
        // The subjects are ours and built from UUIDs; checking each on every publish buys nothing.
        .skip_subject_validation(true)
        .custom_inbox_prefix(inbox_prefix(settings))
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            let (label, refusals) = (label.clone(), refusals.clone());
            async move { log_event(&label, event, &refusals) }
        });
    let in_url = || named_in_url(settings).and_then(|(user, password)| Some((user, password?)));
    let given = settings.user.clone().zip(settings.password.clone());
    let has_key = settings.creds_file.is_some() || settings.nkey_seed_file.is_some();
    if let Some((user, password)) = given.or_else(|| in_url().filter(|_| !has_key)) {
        options = options.user_and_password(user, password);
    }
    if let Some(file) = &settings.creds_file {
        options = options
            .credentials_file(file)
            .await
            .map_err(|e| BusError::refused(format!("credentials file {}: {e}", file.display())))?;
    }
    if let Some(file) = &settings.nkey_seed_file {
        let unusable = |e: &str| BusError::refused(format!("nkey seed {}: {e}", file.display()));
        let seed = tokio::fs::read_to_string(file).await.map_err(|e| unusable(&e.to_string()))?;
        let seed = seed.trim();
        // The library would say less, and only with each connection.
        if seed.len() != 58 || !seed.starts_with("SU") {
            return Err(unusable("it is not the seed of a user, 58 characters that begin with SU"));
        }
        options = options.nkey(seed.to_owned());
    }
    if let Some(ca) = &settings.tls_ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &settings.tls_identity {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

/// At once, then 100 ms doubling to 2 s: a restarted server is found quickly, a dead one not hammered.
pub fn reconnect_delay(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(attempts - 2).unwrap_or(u32::MAX).min(5);
    Duration::from_millis(100 * 2_u64.pow(doublings)).min(Duration::from_secs(2))
}

fn log_event(connection: &str, event: Event, refusals: &Refusals) {
    match event {
        Event::Connected => info!(connection, "NATS connected"),
        Event::Disconnected => warn!(connection, "NATS disconnected"),
        // Only here it is heard that something may not be done: whoever asked just gets no answer.
        Event::ServerError(ServerError::Other(cause)) if Refusals::is_one(&cause) => {
            refusals.note(connection, &cause);
        }
        Event::ServerError(cause) => error!(connection, %cause, "NATS server error"),
        Event::ClientError(cause) => error!(connection, %cause, "NATS client error"),
        Event::SlowConsumer(sid) => error!(connection, sid, "NATS subscription overflowed"),
        Event::LameDuckMode => info!(connection, "NATS server is leaving; moving on"),
        Event::Draining | Event::Closed => info!(connection, "NATS connection closing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnects_start_at_once_and_settle_at_two_seconds() {
        let delays: Vec<_> = (1..=9).map(|n| reconnect_delay(n).as_millis()).collect();
        assert_eq!(delays, [0, 100, 200, 400, 800, 1600, 2000, 2000, 2000]);
    }

    #[test]
    fn each_user_has_an_inbox_of_its_own() {
        let settings = |url: &str, user: Option<&str>, prefix: Option<&str>| Settings {
            urls: vec![url.to_owned()],
            user: user.map(str::to_owned),
            inbox_prefix: prefix.map(str::to_owned),
            ..Settings::default()
        };
        let of = |url, user, prefix| inbox_prefix(&settings(url, user, prefix));
        let bare = "nats://127.0.0.1:4222";
        assert_eq!(of(bare, None, None), "_INBOX");
        assert_eq!(of(bare, Some("edge"), None), "_INBOX_edge");
        assert_eq!(of(bare, Some("a.b *>"), None), "_INBOX_a_b___");
        assert_eq!(of("nats://push:secret@127.0.0.1:4222", None, None), "_INBOX_push");
        assert_eq!(of(bare, Some("edge"), Some("_MINE")), "_MINE");
    }
}
