//! `[auth]`: how tokens are verified.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Secret;
use super::formats::duration;

/// The one signature algorithm that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    HS256,
    RS256,
    ES256,
    EdDSA,
}

/// Algorithm and keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub algorithm: Algorithm,
    pub jwt_secret: Secret,
    /// Comma-separated.
    pub jwt_other_secrets: Secret,
    /// Empty when not set.
    pub jwks_file: PathBuf,
    /// Empty when not set.
    pub jwks_url: String,
    #[serde(with = "duration")]
    pub leeway: Duration,
}

impl Auth {
    /// The JWKS file, if one is configured.
    pub fn jwks_file(&self) -> Option<&PathBuf> {
        (!self.jwks_file.as_os_str().is_empty()).then_some(&self.jwks_file)
    }

    /// The JWKS URL, if one is configured.
    pub fn jwks_url(&self) -> Option<&str> {
        (!self.jwks_url.is_empty()).then_some(self.jwks_url.as_str())
    }

    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.leeway > Duration::from_secs(300) {
            problems
                .push("auth.leeway is over 5m; expired tokens would live on for that long.".into());
        }
        if self.algorithm == Algorithm::HS256 {
            if self.jwt_secret.is_empty() {
                problems.push(
                    "No JWT secret: set JWT_ACCESS_SECRET (or auth.jwt_secret) to the secret your \
                     tokens are signed with, or auth.algorithm and a JWKS."
                        .into(),
                );
            }
            return;
        }
        match (self.jwks_file(), self.jwks_url()) {
            (None, None) => problems.push(format!(
                "auth.algorithm is {:?}, which needs public keys: set MESSAGING_JWKS_FILE or \
                 MESSAGING_JWKS_URL.",
                self.algorithm
            )),
            (Some(_), Some(_)) => {
                problems.push("auth.jwks_file and auth.jwks_url are both set; keep one.".into());
            }
            (Some(file), None) if !file.is_file() => {
                problems.push(format!("auth.jwks_file: there is no file {}.", file.display()));
            }
            (None, Some(url)) if !url.starts_with("https://") && !url.starts_with("http://") => {
                problems.push("auth.jwks_url must start with https:// or http://.".into());
            }
            _ => {}
        }
    }
}
