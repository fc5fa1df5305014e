//! The JSON of blocks and reports.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::{ApiError, FieldErrors};
use super::time;

/// A category or a short sentence.
const MAX_REASON: usize = 200;
/// A page of text.
const MAX_DETAILS: usize = 2_000;

/// Somebody whom the caller has blocked.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct BlockedUser {
    pub user_id: Uuid,
    pub display_name: Option<String>,
    #[serde(with = "time")]
    #[schemars(with = "time::Time")]
    pub blocked_at: Timestamp,
}

/// `GET /blocks`, the latest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BlockList {
    pub blocks: Vec<BlockedUser>,
}

/// `POST /reports`: of a message or of a user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    /// The message; its sender is who is reported.
    #[serde(default)]
    pub message_id: Option<Uuid>,
    /// The user, where it is about no message.
    #[serde(default)]
    pub user_id: Option<Uuid>,
    /// A category of the app's, or a short sentence.
    #[schemars(length(min = 1, max = MAX_REASON))]
    pub reason: String,
    /// What else is to be said.
    #[serde(default)]
    #[schemars(length(max = MAX_DETAILS))]
    pub details: Option<String>,
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Message(Uuid),
    User(Uuid),
}

impl FileReport {
    /// # Errors
    /// `invalid`, naming every field that is wrong.
    pub fn validate(&self) -> Result<Target, ApiError> {
        let mut errors = FieldErrors::default();
        let target = match (self.message_id, self.user_id) {
            (Some(message), None) => Some(Target::Message(message)),
            (None, Some(user)) => Some(Target::User(user)),
            (None, None) => {
                errors.push("messageId", "or userId must say what is reported");
                None
            }
            (Some(_), Some(_)) => {
                errors.push("userId", "must be absent where messageId is given");
                None
            }
        };
        if self.reason.trim().is_empty() {
            errors.push("reason", "must not be blank");
        }
        check(&mut errors, "reason", &self.reason, MAX_REASON);
        check(&mut errors, "details", self.details.as_deref().unwrap_or_default(), MAX_DETAILS);
        errors.finish()?;
        target.ok_or_else(ApiError::internal)
    }
}

fn check(errors: &mut FieldErrors, field: &'static str, text: &str, max: usize) {
    if text.chars().nth(max).is_some() {
        errors.push(field, format!("must have at most {max} characters"));
    }
    if text.contains('\0') {
        errors.push(field, "must not contain the NUL character");
    }
}

/// The answer to `POST /reports`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Filed {
    pub report_id: Uuid,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: Value) -> Result<Target, ApiError> {
        serde_json::from_value::<FileReport>(body).expect("the shape").validate()
    }

    #[test]
    fn a_report_is_about_one_thing_and_says_why() {
        let id = Uuid::from_u128(1);
        assert_eq!(
            read(json!({"messageId": id, "reason": "spam"})).expect("fine"),
            Target::Message(id)
        );
        for (body, field) in [
            (json!({"reason": "spam"}), "messageId"),
            (json!({"messageId": id, "userId": id, "reason": "spam"}), "userId"),
            (json!({"userId": id, "reason": " "}), "reason"),
            (json!({"userId": id, "reason": "x".repeat(201)}), "reason"),
            (json!({"userId": id, "reason": "x", "details": "\u{0}"}), "details"),
        ] {
            let error = read(body.clone()).expect_err("refused");
            assert_eq!(error.errors[0].field, field, "{body}");
        }
    }
}
