//! Configuration: `config/default.toml`, then a file, then the environment; the later wins, key by key.
//!
//! A section is a struct in a file of its own; its keys are commented in `config/default.toml`, which
//! is compiled in and is the reference. To add a key: the struct, the default with its comment, its
//! environment name in [`env::NAMES`]. Only [`crate::cli`] reads this module; everything else is handed the
//! settings it needs.

pub mod env;
mod formats;
mod load;
mod retention;
mod safety;
mod secret;

mod auth;
mod http;
mod ingest;
mod lifecycle;
mod limits;
mod media;
mod nats;
mod persister;
mod postgres;
mod presence;
mod push;
mod tail;
mod telemetry;

use serde::Serialize;

pub use auth::{Algorithm, Auth};
pub use http::Http;
pub use ingest::Ingest;
pub use lifecycle::Lifecycle;
pub use limits::Limits;
pub use load::{Problems, load};
pub use media::{Media, Place};
pub use nats::{Nats, NatsTls};
pub use persister::Persister;
pub use postgres::{Postgres, TlsMode};
pub use presence::Presence;
pub use push::Push;
pub use retention::Retention;
pub use safety::Safety;
pub use secret::Secret;
pub use tail::Tail;
pub use telemetry::{LogFormat, Telemetry};

/// The effective configuration. Serialises as TOML with secrets masked.
#[derive(Debug, Clone, Serialize)]
pub struct Config {
    pub http: Http,
    pub auth: Auth,
    pub nats: Nats,
    pub postgres: Postgres,
    pub limits: Limits,
    pub safety: Safety,
    pub tail: Tail,
    pub persister: Persister,
    pub retention: Retention,
    pub presence: Presence,
    pub push: Push,
    pub ingest: Ingest,
    pub media: Media,
    pub lifecycle: Lifecycle,
    pub telemetry: Telemetry,
}

impl Config {
    /// What stands in the way of serving, one sentence each; empty when nothing does.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.http.check(&mut problems);
        self.auth.check(&mut problems);
        self.nats.check(&mut problems);
        self.postgres.check(&mut problems);
        self.limits.check(&mut problems);
        self.safety.check(&mut problems);
        self.tail.check(&mut problems);
        self.persister.check(&mut problems);
        self.retention.check(&mut problems);
        self.presence.check(&mut problems);
        self.push.check(&mut problems);
        self.ingest.check(&mut problems);
        self.media.check(&self.auth, &mut problems);
        self.lifecycle.check(&mut problems);
        self.telemetry.check(&mut problems);
        problems
    }

    /// The effective configuration as TOML, secrets masked.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }
}
