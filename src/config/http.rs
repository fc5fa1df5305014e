//! `[http]`: where clients and operators reach the service.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::formats::{duration, list, optional};

/// Bounds of what a silent client is given: below the first a slow network is taken for a dead one, beyond the last
/// dead ones pile up.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3600);

/// Listeners and what they accept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub host: IpAddr,
    pub port: u16,
    #[serde(with = "optional")]
    pub ws_port: Option<u16>,
    #[serde(with = "optional")]
    pub metrics_listen: Option<SocketAddr>,
    #[serde(deserialize_with = "list::deserialize")]
    pub cors_origins: Vec<String>,
    /// In bytes.
    pub request_body_limit: usize,
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    #[serde(with = "duration")]
    pub heartbeat: Duration,
    #[serde(with = "duration")]
    pub opening_timeout: Duration,
}

impl Http {
    /// Where REST, and unless [`Self::ws_listen`] is given the sockets too, are served.
    pub fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// A listener of their own for the sockets.
    pub fn ws_listen(&self) -> Option<SocketAddr> {
        self.ws_port.map(|port| SocketAddr::new(self.host, port))
    }

    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.request_body_limit < 1024 {
            problems.push(format!(
                "http.request_body_limit is {} bytes, which no message fits into; the least is 1024.",
                self.request_body_limit
            ));
        }
        if self.header_timeout.is_zero() {
            problems.push(
                "http.header_timeout (MESSAGING_HEADER_TIMEOUT) is 0; no request comes that fast."
                    .into(),
            );
        }
        let patience = [("heartbeat", self.heartbeat), ("opening_timeout", self.opening_timeout)];
        for (name, time) in patience {
            if !(SHORTEST..=LONGEST).contains(&time) {
                problems.push(format!(
                    "http.{name} is {time:?}; it must lie between {SHORTEST:?} and {LONGEST:?}."
                ));
            }
        }
        if self.port != 0 && self.ws_port == Some(self.port) {
            problems.push(format!(
                "http.ws_port (MESSAGING_WS_PORT) is {0}, the same as http.port; leave it empty to serve \
                 the sockets on {0} too.",
                self.port
            ));
        }
        for origin in self.cors_origins.iter().filter(|origin| !is_origin(origin)) {
            problems.push(format!(
                "http.cors_origins (WS_CORS_ORIGIN) has `{origin}`, which is not an origin such as \
                 https://app.example.com, nor `*`."
            ));
        }
    }
}

/// A scheme, a host and perhaps a port; no path.
fn is_origin(text: &str) -> bool {
    text == "*"
        || text.split_once("://").is_some_and(|(scheme, rest)| {
            !scheme.is_empty()
                && !rest.is_empty()
                && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
        })
}
