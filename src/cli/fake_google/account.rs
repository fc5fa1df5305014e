//! The one service account that the fake knows, with a key of its own.

use anyhow::anyhow;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use serde_json::json;

/// The project and the account.
pub const PROJECT: &str = "fake-project";
pub const EMAIL: &str = "messaging@fake-project.iam.example";
/// What an access token has to be asked for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

pub struct Account {
    /// The private key, PEM.
    pub private_key: String,
    public_key: DecodingKey,
}

/// Where access tokens come from.
pub(super) fn token_url(url: &str) -> String {
    format!("{url}/token")
}

impl Account {
    pub(super) fn generate() -> anyhow::Result<Self> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("No key can be made"))?;
        let der = key.as_der().map_err(|_| anyhow!("The key cannot be written"))?;
        Ok(Self {
            private_key: pem(der.as_ref()),
            public_key: DecodingKey::from_rsa_der(key.public_key().as_ref()),
        })
    }

    /// The JSON file, as the Firebase console hands it out.
    pub fn file(&self, url: &str) -> String {
        let file = json!({
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "1",
            "private_key": self.private_key,
            "client_email": EMAIL,
            "token_uri": token_url(url),
        });
        format!("{file:#}\n")
    }

    /// Is this assertion ours, for `audience`, and fresh?
    pub(super) fn accepts(&self, assertion: &str, audience: &str) -> bool {
        #[derive(Deserialize)]
        struct Claims {
            scope: String,
            iat: u64,
            exp: u64,
        }
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_audience(&[audience]);
        rules.set_issuer(&[EMAIL]);
        rules.set_required_spec_claims(&["exp", "aud", "iss"]);
        // Google takes assertions for an hour at most.
        decode::<Claims>(assertion, &self.public_key, &rules).is_ok_and(|token| {
            token.claims.scope == SCOPE && token.claims.exp.saturating_sub(token.claims.iat) <= 3600
        })
    }
}

fn pem(der: &[u8]) -> String {
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + "-----END PRIVATE KEY-----\n"
}
