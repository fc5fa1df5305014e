//! From the configuration to what each module asks for; the one place that knows both.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::{self, TlsMode};
use crate::store;

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
            url(&[("POSTGRES_HOST", "/run/pg"), ("POSTGRES_USER", "")]),
            "postgres://%2Frun%2Fpg:5432/messaging"
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
