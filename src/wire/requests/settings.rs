//! What the admins of a conversation change about it.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::domain::conversation::{MAX_DESCRIPTION_CHARS, MAX_TITLE_CHARS};
use crate::domain::posting::{MAX_SLOW_MODE_SECONDS, PostingPolicy};
use crate::wire::error::{ApiError, FieldErrors};
use crate::wire::metadata::is_link;
use crate::wire::names;

use super::check_text;
use super::conversations::{check_description, check_line, check_title};

const MAX_URL_CHARS: usize = 2048;
/// Longest reason of a ban.
pub const MAX_REASON_CHARS: usize = 500;

/// `PATCH /conversations/{id}`: absent leaves a field, `null` clears it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchConversation {
    /// May change, but not go.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "String", length(min = 1, max = MAX_TITLE_CHARS))]
    pub title: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<String>", length(max = MAX_DESCRIPTION_CHARS))]
    pub description: Option<Option<String>>,
    /// An http(s) URL or an absolute path.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<String>", length(max = MAX_URL_CHARS))]
    pub avatar_url: Option<Option<String>>,
    /// Who writes: with `admins` members read and react.
    #[serde(default)]
    #[schemars(with = "names::PostingPolicy")]
    pub posting_policy: Option<String>,
    /// Between two messages of a member; 0 turns it off.
    #[serde(default)]
    #[schemars(with = "u32", range(min = 0, max = MAX_SLOW_MODE_SECONDS))]
    pub slow_mode_seconds: Option<i64>,
    /// Whether whoever joins has to be let in by an admin; communities only.
    #[serde(default)]
    #[schemars(with = "bool")]
    pub join_approval: Option<bool>,
}

/// A [`PatchConversation`], checked; the outer `None` leaves a field, the inner one clears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidPatch {
    pub title: Option<Option<String>>,
    pub description: Option<Option<String>>,
    pub avatar_url: Option<Option<String>>,
    pub posting_policy: Option<PostingPolicy>,
    pub slow_mode_seconds: Option<u32>,
    pub join_approval: Option<bool>,
}

fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(input).map(Some)
}

impl PatchConversation {
    /// Checks the new details; a title may change but not go.
    ///
    /// # Errors
    /// `invalid`, naming every field that is wrong.
    pub fn validate(self) -> Result<ValidPatch, ApiError> {
        let mut errors = FieldErrors::default();
        let title = self.title.map(|title| check_title(title, &mut errors));
        if title == Some(None) {
            errors.push("title", "must not be blank");
        }
        let description = self.description.map(|text| check_description(text, &mut errors));
        let avatar_url =
            self.avatar_url.map(|url| check_line("avatarUrl", url, MAX_URL_CHARS, &mut errors));
        if let Some(Some(url)) = &avatar_url
            && !is_link(url)
        {
            errors.push("avatarUrl", "must be an http(s) URL or an absolute path");
        }
        let posting_policy = self.posting_policy.as_deref().and_then(|name| {
            let policy = PostingPolicy::parse(name);
            if policy.is_none() {
                errors.push("postingPolicy", "must be everyone or admins");
            }
            policy
        });
        let slow_mode_seconds = self.slow_mode_seconds.and_then(|seconds| {
            let seconds = u32::try_from(seconds).ok().filter(|s| *s <= MAX_SLOW_MODE_SECONDS);
            if seconds.is_none() {
                let message = format!("must be from 0 to {MAX_SLOW_MODE_SECONDS}");
                errors.push("slowModeSeconds", message);
            }
            seconds
        });
        let join_approval = self.join_approval;
        let valid = ValidPatch {
            title,
            description,
            avatar_url,
            posting_policy,
            slow_mode_seconds,
            join_approval,
        };
        if errors.is_empty() && !(valid.changes_details() || valid.changes_settings()) {
            errors.push("body", "must change title, description, avatarUrl or a setting");
        }
        errors.finish()?;
        Ok(valid)
    }
}

impl ValidPatch {
    /// Does what the conversation says about itself change?
    pub fn changes_details(&self) -> bool {
        self.title.is_some() || self.description.is_some() || self.avatar_url.is_some()
    }

    /// Does it change who may write or join?
    pub fn changes_settings(&self) -> bool {
        self.posting_policy.is_some()
            || self.slow_mode_seconds.is_some()
            || self.join_approval.is_some()
    }
}

/// `PUT /conversations/{id}/bans/{userId}`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Ban {
    /// For the other admins.
    #[serde(default)]
    #[schemars(length(max = MAX_REASON_CHARS))]
    reason: Option<String>,
}

impl Ban {
    /// The reason, if one was given.
    ///
    /// # Errors
    /// `invalid` on `reason`.
    pub fn validate(self) -> Result<Option<String>, ApiError> {
        let mut errors = FieldErrors::default();
        let reason = self.reason.map(|reason| reason.trim().to_owned());
        if let Some(reason) = &reason {
            check_text("reason", reason, MAX_REASON_CHARS, &mut errors);
        }
        errors.finish()?;
        Ok(reason.filter(|reason| !reason.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::requests::parse;

    fn patch(json: &str) -> Result<ValidPatch, ApiError> {
        parse::<PatchConversation>(json.as_bytes()).and_then(PatchConversation::validate)
    }

    #[test]
    fn a_patch_tells_absent_from_null() {
        let cleared = patch(r#"{"description":null}"#).expect("valid");
        assert_eq!((cleared.title, cleared.description), (None, Some(None)));
        assert!(patch("{}").is_err());
        assert!(patch(r#"{"title":null}"#).is_err());
        assert!(patch(r#"{"avatarUrl":"javascript:x"}"#).is_err());
    }

    #[test]
    fn settings_are_checked_one_by_one() {
        let slow = patch(r#"{"slowModeSeconds":21600,"postingPolicy":"admins"}"#).expect("valid");
        assert_eq!(slow.slow_mode_seconds, Some(21_600));
        assert!(slow.changes_settings() && !slow.changes_details());
        let wrong = patch(r#"{"slowModeSeconds":-1,"postingPolicy":"nobody"}"#);
        let wrong = wrong.expect_err("refused").errors;
        let fields: Vec<_> = wrong.iter().map(|e| e.field.as_ref()).collect();
        assert_eq!(fields, ["postingPolicy", "slowModeSeconds"]);
        assert!(patch(r#"{"slowModeSeconds":21601}"#).is_err());
        assert!(patch(r#"{"slowModeSeconds":1.5}"#).is_err());
        assert!(patch(r#"{"joinApproval":"yes"}"#).is_err());
    }
}
