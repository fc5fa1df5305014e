//! The keys that tokens are verified with, and how they stay current.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::Uri;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use smallvec::SmallVec;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{AuthSetupError, KeySource, fetch};

/// How often a file is looked at: a rotated key works, and a withdrawn one stops, after that time.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often a URL is asked anew. Issuers publish a key some time before they sign with it.
const FETCH_EVERY: Duration = Duration::from_secs(300);
/// An unknown key makes us ask at once, but forged ones must not make us ask all the time.
const FETCH_GAP: Duration = Duration::from_secs(10);

pub(super) struct Keys {
    algorithm: Algorithm,
    source: Source,
    set: RwLock<KeySet>,
    /// A token named a key that is not in the set.
    unknown: Notify,
}

enum Source {
    Secret,
    File(PathBuf),
    Url(Uri),
}

/// Keys by `kid`; those without may have signed any token that names none: the only one of a set, or each secret.
#[derive(Default)]
struct KeySet {
    named: HashMap<String, Arc<DecodingKey>>,
    nameless: Candidates,
}

/// Keys that may have signed a token; hardly ever more than one.
pub(super) type Candidates = SmallVec<[Arc<DecodingKey>; 1]>;

impl Keys {
    /// Loads the keys for the first time.
    pub(super) async fn load(
        algorithm: Algorithm,
        source: &KeySource,
    ) -> Result<Self, AuthSetupError> {
        let is_secret = matches!(source, KeySource::Secrets(_));
        if is_secret != (algorithm == Algorithm::HS256) {
            return Err(AuthSetupError(format!(
                "{algorithm:?} does not go with this key: HS256 needs a secret, the others a key set"
            )));
        }
        let (source, set) = match source {
            KeySource::Secrets(secrets) => (Source::Secret, of_secrets(secrets)?),
            KeySource::JwksFile(path) => (Source::File(path.clone()), read(path, algorithm).await?),
            KeySource::JwksUrl(url) => {
                let uri: Uri = url
                    .parse()
                    .map_err(|_| AuthSetupError(format!("{url} is not a URL of a key set")))?;
                let set = download(&uri, algorithm).await?;
                (Source::Url(uri), set)
            }
        };
        Ok(Self { algorithm, source, set: RwLock::new(set), unknown: Notify::new() })
    }

    /// The keys that this token may have been signed with, by what it says itself.
    pub(super) fn find(&self, token: &str) -> Candidates {
        if matches!(self.source, Source::Secret) {
            return self.set.read().nameless.clone();
        }
        let Ok(header) = jsonwebtoken::decode_header(token) else { return Candidates::new() };
        let set = self.set.read();
        let found = match &header.kid {
            Some(kid) => set.named.get(kid).cloned().into_iter().collect(),
            None => set.nameless.clone(),
        };
        if found.is_empty() {
            self.unknown.notify_one();
        }
        found
    }

    /// Keeps the keys current until cancelled. A source that is broken for a while leaves them as they are.
    pub(super) async fn follow(&self, stop: CancellationToken) {
        let work = async {
            match &self.source {
                Source::Secret => std::future::pending().await,
                Source::File(path) => self.follow_file(path).await,
                Source::Url(url) => self.follow_url(url).await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    }

    async fn follow_file(&self, path: &Path) {
        let mut known = modified(path).await;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            let changed = modified(path).await;
            if changed != known && self.replace(read(path, self.algorithm).await) {
                known = changed;
            }
        }
    }

    async fn follow_url(&self, url: &Uri) {
        loop {
            // Not sooner than this, whatever is asked; then on the first sign of a new key, or in time.
            tokio::time::sleep(FETCH_GAP).await;
            let asked = self.unknown.notified();
            // Running out of time is one of the two reasons to go on.
            let _ = tokio::time::timeout(FETCH_EVERY - FETCH_GAP, asked).await;
            self.replace(download(url, self.algorithm).await);
        }
    }

    fn replace(&self, loaded: Result<KeySet, AuthSetupError>) -> bool {
        match loaded {
            Ok(set) => {
                tracing::debug!(keys = set.named.len(), "the key set was read again");
                *self.set.write() = set;
                true
            }
            Err(cause) => {
                tracing::error!(%cause, "keeping the keys as they were");
                false
            }
        }
    }
}

async fn modified(path: &Path) -> Option<SystemTime> {
    tokio::fs::metadata(path).await.and_then(|m| m.modified()).ok()
}

async fn read(path: &Path, algorithm: Algorithm) -> Result<KeySet, AuthSetupError> {
    let json = tokio::fs::read(path).await.map_err(|error| error.to_string());
    json.and_then(|json| parse(&json, algorithm)).map_err(|why| {
        AuthSetupError(format!("the key set {} cannot be used: {why}", path.display()))
    })
}

/// The first signs now; the others are accepted while secrets are exchanged. Each costs whoever forges tokens, and so this
/// node, one more HMAC of some microseconds.
fn of_secrets(secrets: &[String]) -> Result<KeySet, AuthSetupError> {
    const MOST: usize = 4;
    if secrets.is_empty() || secrets.iter().any(String::is_empty) {
        return Err(AuthSetupError("the JWT secret is empty".into()));
    }
    if secrets.len() > MOST {
        return Err(AuthSetupError(format!("more than {MOST} JWT secrets")));
    }
    let key = |secret: &String| Arc::new(DecodingKey::from_secret(secret.as_bytes()));
    Ok(KeySet { named: HashMap::new(), nameless: secrets.iter().map(key).collect() })
}

async fn download(url: &Uri, algorithm: Algorithm) -> Result<KeySet, AuthSetupError> {
    let json = fetch::get(url).await;
    json.and_then(|json| parse(&json, algorithm))
        .map_err(|why| AuthSetupError(format!("the key set at {url} cannot be used: {why}")))
}

fn parse(json: &[u8], algorithm: Algorithm) -> Result<KeySet, String> {
    let set: JwkSet = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let keys = select(&set, algorithm);
    if keys.named.is_empty() && keys.nameless.is_empty() {
        return Err(format!("it holds no key for {algorithm:?}"));
    }
    Ok(keys)
}

/// The keys of a set that verify this algorithm; others in it are none of our business.
fn select(set: &JwkSet, algorithm: Algorithm) -> KeySet {
    let mut keys = KeySet::default();
    let usable: Vec<&Jwk> = set.keys.iter().filter(|jwk| verifies(jwk, algorithm)).collect();
    for jwk in &usable {
        let Ok(key) = DecodingKey::from_jwk(jwk) else { continue };
        let key = Arc::new(key);
        if usable.len() == 1 {
            keys.nameless.push(key.clone());
        }
        if let Some(kid) = &jwk.common.key_id {
            keys.named.insert(kid.clone(), key);
        }
    }
    keys
}

fn verifies(jwk: &Jwk, algorithm: Algorithm) -> bool {
    use jsonwebtoken::jwk::AlgorithmParameters as Parameters;
    let family = matches!(
        (&jwk.algorithm, algorithm),
        (Parameters::RSA(_), Algorithm::RS256)
            | (Parameters::EllipticCurve(_), Algorithm::ES256)
            | (Parameters::OctetKeyPair(_), Algorithm::EdDSA)
    );
    let named = jwk.common.key_algorithm.is_none_or(|a| a.to_string() == format!("{algorithm:?}"));
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|u| *u == PublicKeyUse::Signature);
    family && named && signs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public key of RFC 8037, appendix A.2, twice.
    const SET: &str = r#"{"keys":[
        {"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty":"OKP","crv":"Ed25519","kid":"e","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    ]}"#;

    #[test]
    fn only_keys_for_the_pinned_algorithm_are_taken() {
        let set: JwkSet = serde_json::from_str(SET).expect("a set");
        let keys = select(&set, Algorithm::EdDSA);
        assert_eq!(keys.named.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(keys.nameless.len(), 1);
        assert!(parse(SET.as_bytes(), Algorithm::RS256).is_err());
    }

    #[tokio::test]
    async fn a_secret_and_a_public_key_algorithm_do_not_mix() {
        for (algorithm, source) in [
            (Algorithm::RS256, KeySource::Secrets(vec!["s".into()])),
            (Algorithm::HS256, KeySource::JwksFile("/x".into())),
            (Algorithm::HS256, KeySource::Secrets(vec!["s".into(), String::new()])),
            (Algorithm::EdDSA, KeySource::JwksFile("/there/is/none".into())),
            (Algorithm::EdDSA, KeySource::JwksUrl("ftp://x/keys".into())),
        ] {
            assert!(Keys::load(algorithm, &source).await.is_err());
        }
    }
}
