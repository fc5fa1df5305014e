//! Connections: the pool, and single ones outside it.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::pem::PemObject;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::StoreError;

/// How to reach Postgres.
#[derive(Clone)]
pub struct Settings {
    /// A URL or `key=value` pairs; `host=/path` is a Unix socket. Holds the password.
    pub url: String,
    pub tls: Tls,
    /// Authorities to trust besides those of the system, as a PEM file.
    pub ca_file: Option<PathBuf>,
    /// Connections of this process. Postgres gives each a process: all nodes together stay below its
    /// `max_connections`. Most statements take a millisecond, so that 16 carry thousands a second.
    pub pool_size: usize,
    /// The server ends a statement that runs longer.
    pub statement_timeout: Duration,
}

/// Encryption of connections over TCP; a Unix socket never needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    Off,
    /// Encrypted if the server offers it.
    Prefer,
    /// Encrypted, with a certificate that is valid for the host's name, or no connection.
    Require,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// A connection outside the pool. Its locks live as long as it does.
pub struct Session {
    pub(super) client: Client,
}

type Driver = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'static>>;

pub(super) fn pool(settings: &Settings, wait: Duration) -> Result<Pool, StoreError> {
    let config = parse(settings, Some(settings.statement_timeout))?;
    // A connection whose last statement never ended is found by the limits on the operation and on TCP,
    // which spares every operation a round trip to ask whether the connection is alive.
    let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match encryption(settings, &config)? {
        None => Manager::from_config(config, NoTls, manager_config),
        Some(tls) => Manager::from_config(config, tls, manager_config),
    };
    let pool = Pool::builder(manager)
        .max_size(settings.pool_size.max(1))
        .wait_timeout(Some(wait))
        .create_timeout(Some(wait))
        .recycle_timeout(Some(wait))
        .runtime(Runtime::Tokio1)
        .build()?;
    Ok(pool)
}

pub(super) async fn dedicated(settings: &Settings) -> Result<(Session, Driver), StoreError> {
    // Long statements are its purpose: no statement_timeout.
    let config = parse(settings, None)?;
    match encryption(settings, &config)? {
        None => {
            let (client, connection) = config.connect(NoTls).await?;
            let driver: Driver = Box::pin(async { Ok(connection.await?) });
            Ok((Session { client }, driver))
        }
        Some(tls) => {
            let (client, connection) = config.connect(tls).await?;
            let driver: Driver = Box::pin(async { Ok(connection.await?) });
            Ok((Session { client }, driver))
        }
    }
}

fn parse(
    settings: &Settings,
    statement_timeout: Option<Duration>,
) -> Result<tokio_postgres::Config, StoreError> {
    let mut config: tokio_postgres::Config = settings.url.parse().map_err(|_| {
        // The parser's message may quote the password.
        StoreError::Settings(
            "the Postgres URL cannot be read; expected postgres://user:password@host:port/database"
                .into(),
        )
    })?;
    if config.get_application_name().is_none() {
        config.application_name("messaging");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    // A peer that vanished without a word is noticed after 15 s instead of the kernel's quarter of an hour.
    config.tcp_user_timeout(Duration::from_secs(15));
    config.keepalives_idle(Duration::from_secs(15));
    // Compiling a plan costs more than any statement here takes.
    let mut options = format!("{} -c jit=off", config.get_options().unwrap_or_default());
    if let Some(limit) = statement_timeout {
        options.push_str(&format!(" -c statement_timeout={}", limit.as_millis()));
    }
    config.options(options.trim());
    config.ssl_mode(match settings.tls {
        Tls::Off => SslMode::Disable,
        Tls::Prefer => SslMode::Prefer,
        Tls::Require => SslMode::Require,
    });
    Ok(config)
}

/// How to encrypt, or `None` where nothing leaves the machine or it is switched off.
fn encryption(
    settings: &Settings,
    config: &tokio_postgres::Config,
) -> Result<Option<MakeRustlsConnect>, StoreError> {
    let local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    if settings.tls == Tls::Off || (local && config.get_hostaddrs().is_empty()) {
        return Ok(None);
    }
    let mut roots = rustls::RootCertStore::empty();
    // Certificates of the system that cannot be read are left out; what remains decides.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = &settings.ca_file {
        add_authorities(&mut roots, file)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Settings(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(MakeRustlsConnect::new(client)))
}

fn add_authorities(
    roots: &mut rustls::RootCertStore,
    file: &std::path::Path,
) -> Result<(), StoreError> {
    let unusable = |why: String| {
        StoreError::Settings(format!(
            "the certificates in {} cannot be used: {why}",
            file.display()
        ))
    };
    let certificates = rustls::pki_types::CertificateDer::pem_file_iter(file)
        .map_err(|error| unusable(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings {
            url: url.into(),
            tls: Tls::Prefer,
            ca_file: None,
            pool_size: 1,
            statement_timeout: Duration::from_secs(5),
        }
    }

    #[test]
    fn a_unix_socket_is_never_encrypted() {
        let settings = settings("host=/tmp/pg user=x dbname=y");
        let config = parse(&settings, None).expect("parses");
        assert!(encryption(&settings, &config).expect("fine").is_none());
    }

    #[test]
    fn an_unreadable_url_is_refused_without_quoting_it() {
        let error = parse(&settings("postgres://u:s3cret@[:x/"), None).expect_err("no URL");
        assert!(!error.to_string().contains("s3cret"));
    }

    #[test]
    fn options_of_the_url_are_kept() {
        let settings = settings("postgres://h/db?options=-c%20work_mem%3D8MB");
        let config = parse(&settings, Some(Duration::from_secs(5))).expect("parses");
        let options = config.get_options().expect("set");
        assert_eq!(options, "-c work_mem=8MB -c jit=off -c statement_timeout=5000");
    }
}
