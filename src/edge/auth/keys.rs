//! The keys that tokens are verified with.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use tokio::time::Instant;

use super::{AuthSetupError, KeySource};

/// How often the file is looked at: a rotated key works, and a withdrawn one stops, after that time.
const LOOK_EVERY: Duration = Duration::from_secs(10);

pub(super) enum Keys {
    One(Arc<DecodingKey>),
    File(Box<File>),
}

pub(super) struct File {
    path: PathBuf,
    algorithm: Algorithm,
    state: RwLock<State>,
}

struct State {
    keys: KeySet,
    changed: Option<SystemTime>,
    looked: Instant,
}

/// Keys by `kid`; the one without counts where there is only one.
#[derive(Default)]
struct KeySet {
    named: HashMap<String, Arc<DecodingKey>>,
    only: Option<Arc<DecodingKey>>,
}

impl Keys {
    pub(super) fn new(algorithm: Algorithm, source: &KeySource) -> Result<Self, AuthSetupError> {
        match (source, algorithm) {
            (KeySource::Secret(secret), Algorithm::HS256) if secret.is_empty() => {
                Err(AuthSetupError("the JWT secret is empty".into()))
            }
            (KeySource::Secret(secret), Algorithm::HS256) => {
                Ok(Self::One(Arc::new(DecodingKey::from_secret(secret.as_bytes()))))
            }
            (KeySource::Secret(_), other) => Err(AuthSetupError(format!(
                "{other:?} needs a key set, not a secret: configure a JWKS file"
            ))),
            (KeySource::JwksFile(_), Algorithm::HS256) => Err(AuthSetupError(
                "HS256 needs a secret; with a key set choose RS256, ES256 or EdDSA".into(),
            )),
            (KeySource::JwksFile(path), _) => {
                let keys = read(path, algorithm)?;
                let changed = modified(path);
                let state = RwLock::new(State { keys, changed, looked: Instant::now() });
                Ok(Self::File(Box::new(File { path: path.clone(), algorithm, state })))
            }
        }
    }

    /// The key that this token says it was signed with.
    pub(super) fn find(&self, token: &str) -> Option<Arc<DecodingKey>> {
        match self {
            Self::One(key) => Some(key.clone()),
            Self::File(file) => {
                file.refresh();
                let kid = jsonwebtoken::decode_header(token).ok()?.kid;
                let state = file.state.read();
                match kid {
                    Some(kid) => state.keys.named.get(&kid).cloned(),
                    None => state.keys.only.clone(),
                }
            }
        }
    }
}

impl File {
    /// Reads the file again if it changed. A broken one leaves the keys as they are.
    fn refresh(&self) {
        if self.state.read().looked.elapsed() < LOOK_EVERY {
            return;
        }
        let mut state = self.state.write();
        state.looked = Instant::now();
        let changed = modified(&self.path);
        if changed == state.changed {
            return;
        }
        match read(&self.path, self.algorithm) {
            Ok(keys) => {
                tracing::info!(keys = keys.named.len(), "the key set was read again");
                state.keys = keys;
                state.changed = changed;
            }
            Err(cause) => tracing::error!(%cause, "keeping the keys as they were"),
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).ok()
}

fn read(path: &Path, algorithm: Algorithm) -> Result<KeySet, AuthSetupError> {
    let unusable = |why: String| {
        AuthSetupError(format!("the key set {} cannot be used: {why}", path.display()))
    };
    let json = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let set: JwkSet = serde_json::from_slice(&json).map_err(|error| unusable(error.to_string()))?;
    let keys = select(&set, algorithm);
    if keys.named.is_empty() && keys.only.is_none() {
        return Err(unusable(format!("it holds no key for {algorithm:?}")));
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
            keys.only = Some(key.clone());
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

    /// The public key of RFC 8037, appendix A.2, and the RSA one's shape beside it.
    const SET: &str = r#"{"keys":[
        {"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty":"OKP","crv":"Ed25519","kid":"e","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    ]}"#;

    #[test]
    fn only_keys_for_the_pinned_algorithm_are_taken() {
        let set: JwkSet = serde_json::from_str(SET).expect("a set");
        let keys = select(&set, Algorithm::EdDSA);
        assert_eq!(keys.named.keys().collect::<Vec<_>>(), ["a"]);
        assert!(keys.only.is_some());
        assert!(select(&set, Algorithm::RS256).named.is_empty());
    }

    #[test]
    fn a_secret_and_a_public_key_algorithm_do_not_mix() {
        assert!(Keys::new(Algorithm::RS256, &KeySource::Secret("s".into())).is_err());
        assert!(Keys::new(Algorithm::HS256, &KeySource::JwksFile("/x".into())).is_err());
        assert!(Keys::new(Algorithm::HS256, &KeySource::Secret(String::new())).is_err());
    }
}
