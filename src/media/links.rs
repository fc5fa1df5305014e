//! Links that work for a short time without a token, for image views and players that cannot send a header.

use aws_lc_rs::hmac;
use jiff::Timestamp;

use crate::domain::media::MediaKey;

/// Signs links and checks them. Nodes that share the secret accept each other's.
pub struct Signer {
    key: hmac::Key,
}

impl Signer {
    /// From any secret. A key of its own is derived from it, so that a signature here is good for nothing else.
    pub fn new(secret: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&root, b"messaging media links, version 1");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) }
    }

    /// The signature of a file's link, or of its thumbnail's, that is good until `expires` (seconds since 1970).
    pub fn sign(&self, key: MediaKey, thumbnail: bool, expires: i64) -> String {
        let tag = hmac::sign(&self.key, &said(key, thumbnail, expires));
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Is the signature ours, for exactly this, and still good? Compared in constant time.
    pub fn is_good(
        &self,
        key: MediaKey,
        thumbnail: bool,
        expires: i64,
        signature: &str,
        now: Timestamp,
    ) -> bool {
        let tag = unhex(signature).unwrap_or_default();
        hmac::verify(&self.key, &said(key, thumbnail, expires), &tag).is_ok()
            && now.as_second() < expires
    }
}

/// Every part has a fixed length, so that no two say the same.
fn said(key: MediaKey, thumbnail: bool, expires: i64) -> [u8; 25] {
    let mut said = [0; 25];
    said[..16].copy_from_slice(key.as_bytes());
    said[16] = u8::from(thumbnail);
    said[17..].copy_from_slice(&expires.to_be_bytes());
    said
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    // Lower case alone, as we write it: one link, one signature.
    let is_ours = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() != 64 || !text.bytes().all(is_ours) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_signature_is_good_for_what_it_signs_and_no_longer_than_it_says() {
        let signer = Signer::new(b"a secret");
        let key = Uuid::new_v4();
        let at = |second| Timestamp::from_second(second).expect("a time");
        let signature = signer.sign(key, false, 1000);
        assert!(signer.is_good(key, false, 1000, &signature, at(999)));
        assert!(!signer.is_good(key, false, 1000, &signature, at(1000)));
        assert!(!signer.is_good(key, false, 1001, &signature, at(999)));
        assert!(!signer.is_good(key, true, 1000, &signature, at(999)));
        assert!(!signer.is_good(Uuid::new_v4(), false, 1000, &signature, at(999)));
        let other = Signer::new(b"another secret");
        assert!(!other.is_good(key, false, 1000, &signature, at(999)));
        for nonsense in ["", "00", &"é".repeat(32), &signature.to_uppercase(), &signature[1..]] {
            assert!(!signer.is_good(key, false, 1000, nonsense, at(999)), "{nonsense}");
        }
    }
}
