//! Who is asking: tokens and what they say.

mod fetch;
mod keys;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use jsonwebtoken::Validation;
use jsonwebtoken::errors::ErrorKind;
use quick_cache::sync::Cache;
use serde::{Deserialize, Deserializer};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::ids::UserId;
use crate::store::users::Arrival;
use crate::wire::error::{ApiError, Code};
use crate::wire::metadata::is_link;

use keys::Keys;

/// Longer names are cut: they are shown beside every message.
const MAX_NAME_CHARS: usize = 100;
/// Users whose profile need not be looked at again: 100,000 of them take some 5 MB, and who falls out costs a
/// query.
const REMEMBERED_PROFILES: usize = 100_000;
/// Longer links are dropped.
const MAX_PICTURE_CHARS: usize = 2048;

/// The one signature algorithm that is accepted; a token that names another is refused whatever it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Hs256,
    Rs256,
    Es256,
    EdDsa,
}

/// How tokens are checked.
#[derive(Clone)]
pub struct Settings {
    pub algorithm: Algorithm,
    pub key: KeySource,
    /// Clocks of the issuer and of this machine may differ by so much.
    pub leeway: Duration,
}

/// Where the verifying key comes from.
#[derive(Clone)]
pub enum KeySource {
    /// For [`Algorithm::Hs256`]: the present one, and others whose tokens count while secrets are exchanged.
    Secrets(Vec<String>),
    /// A file with a JSON Web Key Set (RFC 7517); it is read again when it changes.
    JwksFile(PathBuf),
    /// An `http` or `https` URL of such a set; it is asked again now and then, and when a token names a key that
    /// is not known.
    JwksUrl(String),
}

/// Why tokens cannot be checked at all: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AuthSetupError(String);

/// Who is asking, as their token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub user_id: UserId,
    pub name: Option<String>,
    pub picture: Option<String>,
    /// What the caller may do ends here.
    pub expires_at: Timestamp,
    /// When the token was made, if it says so.
    pub issued_at: Option<Timestamp>,
}

impl Caller {
    /// What the store needs to know of them.
    pub fn arrival(&self) -> Arrival {
        Arrival { user_id: self.user_id, name: self.name.clone(), picture: self.picture.clone() }
    }
}

#[derive(Deserialize)]
struct Claims {
    sub: Uuid,
    exp: f64,
    #[serde(default, deserialize_with = "number_or_nothing")]
    iat: Option<f64>,
    #[serde(default, deserialize_with = "text_or_nothing")]
    name: Option<String>,
    #[serde(default, deserialize_with = "text_or_nothing")]
    picture: Option<String>,
}

/// Whoever needs to know when a token was made asks for another one.
fn number_or_nothing<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
    Ok(serde_json::Value::deserialize(input)?.as_f64())
}

/// A profile that is not text is no reason to lock somebody out.
fn text_or_nothing<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let value = serde_json::Value::deserialize(input)?;
    Ok(value.as_str().map(str::to_owned))
}

/// Checks tokens.
pub struct Authenticator {
    keys: Keys,
    validation: Validation,
    /// Fingerprints of profiles that are stored as the token has them.
    profiles: Cache<UserId, u64>,
}

impl Authenticator {
    /// Loads the keys.
    ///
    /// # Errors
    /// A sentence for the operator when they cannot be used.
    pub async fn new(settings: &Settings) -> Result<Self, AuthSetupError> {
        let algorithm = match settings.algorithm {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        };
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "sub"]);
        validation.leeway = settings.leeway.as_secs();
        validation.validate_nbf = true;
        // The contract names no audience; tokens that carry one for the app at large are fine.
        validation.validate_aud = false;
        Ok(Self {
            keys: Keys::load(algorithm, &settings.key).await?,
            validation,
            profiles: Cache::new(REMEMBERED_PROFILES),
        })
    }

    /// Keeps the keys current, until cancelled.
    pub async fn follow_keys(&self, stop: CancellationToken) {
        self.keys.follow(stop).await;
    }

    /// Checks a token: signature, algorithm, times and subject.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub fn authenticate(&self, token: &str) -> Result<Caller, ApiError> {
        let claims = self.claims(token)?;
        Ok(Caller {
            user_id: claims.sub,
            name: claims.name.and_then(clean_name),
            picture: claims.picture.filter(|url| url.len() <= MAX_PICTURE_CHARS && is_link(url)),
            expires_at: expiry(claims.exp, self.validation.leeway),
            issued_at: claims.iat.and_then(|iat| Timestamp::from_second(iat as i64).ok()),
        })
    }

    fn claims(&self, token: &str) -> Result<Claims, ApiError> {
        let mut refusal = refused("no key of ours signed the token");
        for key in self.keys.find(token) {
            match jsonwebtoken::decode::<Claims>(token, &key, &self.validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => {
                    refusal = refused(explain(error.kind()));
                    if !matches!(error.kind(), ErrorKind::InvalidSignature) {
                        break;
                    }
                }
            }
        }
        Err(refusal)
    }

    /// Does the token say something about its user that this node has not stored?
    pub fn is_news(&self, caller: &Caller) -> bool {
        self.profiles.get(&caller.user_id) != Some(fingerprint(caller))
    }

    /// The profile is stored now.
    pub fn remember(&self, caller: &Caller) {
        self.profiles.insert(caller.user_id, fingerprint(caller));
    }

    /// The profile that was stored is there no more.
    pub fn forget(&self, user: UserId) {
        self.profiles.remove(&user);
    }

    /// Checks the token of an `Authorization` header.
    ///
    /// # Errors
    /// `unauthenticated`, also where there is none.
    pub fn authenticate_header(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let token = bearer(headers).ok_or_else(|| refused("a bearer token is needed"))?;
        self.authenticate(token)
    }
}

fn fingerprint(caller: &Caller) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&caller.name, &caller.picture).hash(&mut hasher);
    hasher.finish()
}

/// The token of an `Authorization: Bearer …` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    // Schemes are case-insensitive (RFC 9110, section 11.1).
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn refused(why: &'static str) -> ApiError {
    ApiError::new(Code::Unauthenticated, why)
}

fn explain(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidSignature => "the token's signature is not valid",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "the token's algorithm is not accepted"
        }
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => {
            "the token needs exp, and sub with a UUID"
        }
        _ => "the token cannot be read",
    }
}

/// The leeway counts: a connection must not end before the token would be refused.
fn expiry(exp: f64, leeway: u64) -> Timestamp {
    // Saturates; beyond the year 9999 is the end of time.
    let seconds = (exp as i64).saturating_add(i64::try_from(leeway).unwrap_or(0));
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// One line of bounded length, without what a terminal or the database could not bear.
fn clean_name(name: String) -> Option<String> {
    let visible = name.chars().filter(|c| !c.is_control());
    let cut: String = visible.take(MAX_NAME_CHARS).collect();
    let trimmed = cut.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;

    const ADA: &str = "00000000-0000-4000-8000-000000000001";

    async fn authenticator() -> Authenticator {
        Authenticator::new(&Settings {
            algorithm: Algorithm::Hs256,
            key: KeySource::Secrets(vec!["secret".into(), "the one before".into()]),
            leeway: Duration::ZERO,
        })
        .await
        .expect("a secret")
    }

    fn token_with(algorithm: jsonwebtoken::Algorithm, secret: &str, claims: &Value) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        encode(&Header::new(algorithm), claims, &key).expect("a token")
    }

    fn token(claims: Value) -> String {
        token_with(jsonwebtoken::Algorithm::HS256, "secret", &claims)
    }

    fn soon() -> i64 {
        Timestamp::now().as_second() + 60
    }

    #[tokio::test]
    async fn a_token_tells_who_is_asking() {
        let claims =
            json!({"sub": ADA, "exp": soon(), "name": " Ada\u{0} ", "picture": "https://x/y"});
        let caller = authenticator().await.authenticate(&token(claims)).expect("valid");
        assert_eq!(caller.user_id.to_string(), ADA);
        assert_eq!(caller.name.as_deref(), Some("Ada"));
        assert_eq!(caller.picture.as_deref(), Some("https://x/y"));
    }

    #[tokio::test]
    async fn an_odd_profile_does_not_lock_anyone_out() {
        let claims = json!({"sub": ADA, "exp": soon(), "name": 7, "picture": "javascript:x"});
        let caller = authenticator().await.authenticate(&token(claims)).expect("valid");
        assert_eq!((caller.name, caller.picture), (None, None));
        let long = json!({"sub": ADA, "exp": soon(), "name": "é".repeat(500)});
        let name =
            authenticator().await.authenticate(&token(long)).expect("valid").name.expect("a name");
        assert_eq!(name.chars().count(), MAX_NAME_CHARS);
    }

    #[tokio::test]
    async fn a_profile_is_news_until_it_is_remembered_and_again_when_it_changes() {
        let tokens = authenticator().await;
        let named = |name: &str| {
            let claims = json!({"sub": ADA, "exp": soon(), "name": name});
            tokens.authenticate(&token(claims)).expect("valid")
        };
        assert!(tokens.is_news(&named("Ada")));
        tokens.remember(&named("Ada"));
        assert!(!tokens.is_news(&named("Ada")));
        assert!(tokens.is_news(&named("Ada L.")));
    }

    #[tokio::test]
    async fn a_token_needs_an_expiry_and_a_uuid() {
        for claims in [
            json!({"sub": ADA}),
            json!({"exp": soon()}),
            json!({"sub": "ada", "exp": soon()}),
            json!({"sub": ADA, "exp": soon() - 120}),
            json!({"sub": ADA, "exp": "never"}),
            json!({"sub": ADA, "exp": soon(), "nbf": soon()}),
        ] {
            let refusal =
                authenticator().await.authenticate(&token(claims.clone())).expect_err("refused");
            assert_eq!(refusal.code, Code::Unauthenticated, "{claims}");
        }
    }

    #[tokio::test]
    async fn only_the_pinned_algorithm_and_key_count() {
        let claims = json!({"sub": ADA, "exp": soon()});
        let other_key = token_with(jsonwebtoken::Algorithm::HS256, "guess", &claims);
        let other_algorithm = token_with(jsonwebtoken::Algorithm::HS512, "secret", &claims);
        // {"alg":"none"} and no signature.
        let payload = token(claims).split('.').nth(1).expect("a payload").to_owned();
        let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
        for forged in [other_key, other_algorithm, unsigned, String::new(), "a.b.c".into()] {
            let refusal = authenticator().await.authenticate(&forged).expect_err("refused");
            assert_eq!(refusal.code, Code::Unauthenticated);
        }
    }

    #[tokio::test]
    async fn while_secrets_are_exchanged_each_of_them_counts() {
        let authenticator = authenticator().await;
        let signed = |secret, claims| token_with(jsonwebtoken::Algorithm::HS256, secret, &claims);
        for secret in ["secret", "the one before"] {
            let good = signed(secret, json!({"sub": ADA, "exp": soon()}));
            assert!(authenticator.authenticate(&good).is_ok(), "{secret}");
            let expired = signed(secret, json!({"sub": ADA, "exp": soon() - 120}));
            let refusal = authenticator.authenticate(&expired).expect_err("expired");
            assert_eq!(refusal.detail, "the token has expired", "{secret}");
        }
    }

    #[test]
    fn the_scheme_of_the_header_is_case_insensitive() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "bearer abc".parse().expect("a value"));
        assert_eq!(bearer(&headers), Some("abc"));
        headers.insert(header::AUTHORIZATION, "Basic abc".parse().expect("a value"));
        assert_eq!(bearer(&headers), None);
    }
}
