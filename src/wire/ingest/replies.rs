//! What a service is answered.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::ids::MessageId;
use crate::wire::error::{ApiError, FieldError};
use crate::wire::names;

use super::letters::{Letter, Letters};

/// The reply to a request: `ok` and what came of it, or the error.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// It was accepted.
    Done {
        ok: True,
        /// Of the messages that it became: none for profiles and contexts.
        #[serde(rename = "messageIds")]
        message_ids: Vec<MessageId>,
    },
    Refused {
        ok: False,
        error: ReplyError,
    },
    Letters {
        ok: True,
        #[serde(flatten)]
        letters: Letters,
    },
    Letter {
        ok: True,
        letter: Box<Letter>,
    },
}

/// Always `true`.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(into = "bool")]
pub struct True;

impl From<True> for bool {
    fn from(_: True) -> Self {
        true
    }
}

/// Always `false`.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(into = "bool")]
pub struct False;

impl From<False> for bool {
    fn from(_: False) -> Self {
        false
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ReplyError {
    /// As for clients; see [`crate::wire::error::Code`].
    #[schemars(with = "names::Code")]
    pub code: &'static str,
    pub message: String,
    /// Each field that is wrong; empty where no field is.
    pub errors: Vec<FieldError>,
    /// Come back after so many milliseconds, where that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Reply {
    pub fn done(message_ids: Vec<MessageId>) -> Self {
        Self::Done { ok: True, message_ids }
    }

    pub fn letters(letters: Letters) -> Self {
        Self::Letters { ok: True, letters }
    }

    pub fn letter(letter: Letter) -> Self {
        Self::Letter { ok: True, letter: Box::new(letter) }
    }

    pub fn refused(error: &ApiError) -> Self {
        let wait = error.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(1000));
        let error = ReplyError {
            code: error.code.as_str(),
            message: error.detail.to_string(),
            errors: error.errors.clone(),
            retry_after_ms: wait,
        };
        Self::Refused { ok: False, error }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn replies_say_whether_it_worked_first() {
        let json = |reply: Reply| serde_json::to_string(&reply).expect("JSON");
        assert_eq!(
            json(Reply::done(vec![Uuid::nil()])),
            r#"{"ok":true,"messageIds":["00000000-0000-0000-0000-000000000000"]}"#
        );
        let refusal = ApiError::field("content", "is required");
        assert_eq!(
            json(Reply::refused(&refusal)),
            r#"{"ok":false,"error":{"code":"invalid","message":"content is required","errors":[{"field":"content","message":"is required"}]}}"#
        );
    }
}
