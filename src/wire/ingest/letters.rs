//! A service's dead letters.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::error::ApiError;
use crate::wire::time;

/// Most letters of one answer: 100 of 500 bytes are 50 KB.
pub const MAX_LETTERS: usize = 100;

/// `messaging.api.dead.<service>.list`: letters behind a sequence, the oldest first.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct ListLetters {
    /// The `seq` of the last letter that is known; absent: from the beginning.
    #[serde(default)]
    pub after: Option<u64>,
    /// 1 to 100; 50 when absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX_LETTERS))]
    pub limit: Option<usize>,
}

impl ListLetters {
    /// Where to begin and how many to look for.
    ///
    /// # Errors
    /// `invalid` on `limit`.
    pub fn validate(&self) -> Result<(u64, usize), ApiError> {
        let limit = self.limit.unwrap_or(50);
        if !(1..=MAX_LETTERS).contains(&limit) {
            return Err(ApiError::field("limit", format!("must be from 1 to {MAX_LETTERS}")));
        }
        Ok((self.after.unwrap_or(0).saturating_add(1), limit))
    }
}

/// `.show`, `.replay` and `.drop`: one letter.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct PickLetter {
    pub seq: u64,
}

/// A page of letters.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Letters {
    pub letters: Vec<Letter>,
    /// There are more behind the last one.
    pub more: bool,
}

/// Something that was published and could not be taken.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Letter {
    /// Its name for the other requests.
    pub seq: u64,
    /// Where it was published.
    pub subject: String,
    /// Why it was not taken.
    pub reason: String,
    /// Its `Nats-Msg-Id`, if it had one.
    pub msg_id: Option<String>,
    /// When it was published.
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub published_at: Timestamp,
    /// When it was given up.
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub died_at: Timestamp,
    /// How large its payload is.
    pub bytes: usize,
    /// The payload, in the answer to `.show`: as text, with what is not UTF-8 replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}
