//! Who we are to Google: a service account, and the proof of it.

use std::fmt;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;

/// Google's, for accounts that name none.
const GOOGLE_TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
/// All that the access token is good for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long an assertion is valid; Google allows an hour, and it is used at once. Clocks differ.
const ASSERTION_SECONDS: i64 = 600;

/// Why there is no account to act as.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("the service account's file {path} cannot be read: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    /// What is wrong is said without the contents.
    #[error("the service account's file {path} is not one: {reason}")]
    Malformed { path: String, reason: String },
    #[error("the service account's private key is no PEM of an RSA key")]
    Key,
    #[error("the service account's project is not a project's id")]
    Project,
}

/// A service account that can prove itself.
#[derive(Clone)]
pub struct ServiceAccount {
    pub project_id: String,
    client_email: String,
    key_id: Option<String>,
    /// Where assertions are exchanged for access tokens; also their audience.
    pub token_url: String,
    key: std::sync::Arc<KeyPair>,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("project_id", &self.project_id)
            .finish_non_exhaustive()
    }
}

/// As the Firebase console hands it out.
#[derive(Deserialize)]
struct AccountFile {
    project_id: Option<String>,
    private_key: String,
    private_key_id: Option<String>,
    client_email: String,
    token_uri: Option<String>,
}

impl ServiceAccount {
    /// Reads a service account's JSON file. `project_id` and `token_url` stand in for what the file says.
    ///
    /// # Errors
    /// When there is no such file, or it is no service account's.
    pub fn from_file(
        path: &Path,
        project_id: Option<&str>,
        token_url: Option<&str>,
    ) -> Result<Self, CredentialsError> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|cause| CredentialsError::Unreadable { path: shown(), cause })?;
        // The parser's own words may quote the key.
        let file: AccountFile = serde_json::from_str(&text).map_err(|error| {
            let reason = match error.classify() {
                serde_json::error::Category::Data => {
                    "it needs private_key, client_email and project_id as texts"
                }
                _ => "it is no JSON",
            };
            CredentialsError::Malformed { path: shown(), reason: reason.to_owned() }
        })?;
        let project = project_id.map(str::to_owned).or(file.project_id);
        let mut account = Self::new(
            &project.ok_or(CredentialsError::Project)?,
            &file.client_email,
            &file.private_key,
            token_url.or(file.token_uri.as_deref()),
        )?;
        account.key_id = file.private_key_id;
        Ok(account)
    }

    /// From its parts. In the key, line breaks may be written as `\n`.
    ///
    /// # Errors
    /// When the key is none.
    pub fn new(
        project_id: &str,
        client_email: &str,
        private_key: &str,
        token_url: Option<&str>,
    ) -> Result<Self, CredentialsError> {
        // It becomes a part of a path.
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if project_id.is_empty() || !project_id.chars().all(allowed) {
            return Err(CredentialsError::Project);
        }
        Ok(Self {
            project_id: project_id.to_owned(),
            client_email: client_email.to_owned(),
            key_id: None,
            token_url: token_url.unwrap_or(GOOGLE_TOKEN_URL).to_owned(),
            key: std::sync::Arc::new(read_key(private_key)?),
        })
    }

    /// A JWT that says who we are and what we want (RFC 7523, section 2.1).
    pub(super) fn assertion(&self, now: Timestamp) -> Result<String, CredentialsError> {
        let header = match &self.key_id {
            Some(id) => json!({"alg": "RS256", "typ": "JWT", "kid": id}),
            None => json!({"alg": "RS256", "typ": "JWT"}),
        };
        let issued = now.as_second();
        let claims = json!({
            "iss": self.client_email,
            "scope": SCOPE,
            "aud": self.token_url,
            "iat": issued,
            "exp": issued + ASSERTION_SECONDS,
        });
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| CredentialsError::Key)?;
        Ok(format!("{signed}.{}", encode(&signature)))
    }
}

fn read_key(pem: &str) -> Result<KeyPair, CredentialsError> {
    // Environment variables and `.env` files often cannot hold line breaks, and some keep the quotes.
    let pem = pem.trim().trim_matches('"').replace("\\n", "\n");
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| CredentialsError::Key)?;
    let key = match &der {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(CredentialsError::Key),
    };
    key.map_err(|_| CredentialsError::Key)
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    use super::*;

    /// A fresh key and its PEM.
    pub fn key() -> (KeyPair, String) {
        let key = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der = key.as_der().expect("PKCS#8");
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            lines.join("\n")
        );
        (key, pem)
    }

    #[test]
    fn an_assertion_says_who_and_what_and_is_signed() {
        let (key, pem) = key();
        // As it stands in an environment variable.
        let pem = format!("\"{}\"", pem.replace('\n', "\\n"));
        let account = ServiceAccount::new("p-1", "a@p-1.example", &pem, Some("http://t/token"));
        let account = account.expect("an account");
        let at = Timestamp::from_second(1_000_000).expect("in range");
        let jwt = account.assertion(at).expect("a JWT");
        let parts: Vec<_> = jwt.split('.').collect();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
        let claims: Value = serde_json::from_slice(&decode(parts[1])).expect("JSON");
        assert_eq!(
            claims,
            json!({"iss": "a@p-1.example", "scope": SCOPE, "aud": "http://t/token", "iat": 1_000_000, "exp": 1_000_600})
        );
        let public =
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref().to_vec());
        let signed = format!("{}.{}", parts[0], parts[1]);
        assert!(public.verify(signed.as_bytes(), &decode(parts[2])).is_ok());
    }

    #[test]
    fn what_is_no_account_is_refused_without_quoting_it() {
        for key in ["", "hunter2", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            let error = ServiceAccount::new("p", "e", key, None).expect_err("no key");
            assert!(!error.to_string().contains("hunter2"));
        }
        let (_, pem) = key();
        assert!(matches!(
            ServiceAccount::new("p/../x", "e", &pem, None),
            Err(CredentialsError::Project)
        ));
        let missing = ServiceAccount::from_file(Path::new("/no/such"), None, None);
        assert!(matches!(missing, Err(CredentialsError::Unreadable { .. })));
    }
}
