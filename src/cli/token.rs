//! `messaging token`: a token for a user, for trying things out.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;
use uuid::Uuid;

use super::{beside, data_folder};
use crate::config::{Algorithm, Config};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The user the token speaks for.
    #[arg(long, value_name = "UUID")]
    user: Uuid,
    /// Display name, stored as the user's profile.
    #[arg(long)]
    name: Option<String>,
    /// How long it is valid: 15m, 24h, …
    #[arg(long, default_value = "24h", value_parser = ttl)]
    ttl: Duration,
    /// Data folder of `messaging dev`, whose secret is used unless JWT_ACCESS_SECRET is set.
    #[arg(long, env = beside::DATA, default_value = data_folder::DEFAULT, value_name = "DIR")]
    data: PathBuf,
}

/// What the service reads from a token.
#[derive(Debug, Serialize)]
struct Claims<'a> {
    sub: Uuid,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

/// Prints the token.
pub fn command(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    if config.auth.algorithm != Algorithm::HS256 {
        bail!(
            "Tokens can be made for HS256 only; your issuer holds the private key of the others."
        );
    }
    let secret = match config.auth.jwt_secret.non_empty() {
        Some(secret) => secret.to_owned(),
        None => data_folder::read_secret(&args.data, data_folder::JWT_SECRET).with_context(|| {
            format!(
                "No JWT secret: set JWT_ACCESS_SECRET, or name the data folder of `messaging dev` with \
                 --data ({} has none)",
                args.data.display()
            )
        })?,
    };
    println!("{}", sign(args.user, args.name.as_deref(), args.ttl, &secret)?);
    Ok(ExitCode::SUCCESS)
}

/// An HS256 token for `user`, valid from now for `ttl`.
pub fn sign(user: Uuid, name: Option<&str>, ttl: Duration, secret: &str) -> anyhow::Result<String> {
    let iat = Timestamp::now().as_second();
    let exp = iat.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), &Claims { sub: user, iat, exp, name }, &key)
        .context("The token cannot be signed")
}

fn ttl(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from(signed).map_err(|_| "must not be negative".to_owned())
}
