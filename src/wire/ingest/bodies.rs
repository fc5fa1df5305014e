//! What services say.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::conversation::MAX_TITLE_CHARS;
use crate::domain::ids::UserId;
use crate::domain::message::MessageType;
use crate::wire::error::{ApiError, FieldErrors};
use crate::wire::metadata::{self, is_link};
use crate::wire::requests::{check_text, validate_content};

/// Longest name that a person is shown with, in characters.
const MAX_DISPLAY_NAME_CHARS: usize = 100;
const MAX_URL_CHARS: usize = 2048;

/// `messaging.system.…`: a system message.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemMessage {
    /// Not blank; as long as the content of any message.
    #[schemars(length(min = 1))]
    pub content: String,
    /// Any object, up to 4 KiB.
    #[serde(default)]
    #[schemars(with = "Option<std::collections::BTreeMap<String, serde_json::Value>>")]
    pub metadata: Option<Box<RawValue>>,
}

/// A [`SystemMessage`], checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub content: String,
    /// A JSON object.
    pub metadata: String,
}

impl SystemMessage {
    /// Checks everything. `max_content_chars` of 0 means no limit.
    ///
    /// # Errors
    /// `invalid`, naming every field that is wrong.
    pub fn validate(self, max_content_chars: usize) -> Result<Written, ApiError> {
        let mut errors = FieldErrors::default();
        // The rules of a text: a system message without words says nothing.
        if let Err(refusal) = validate_content(MessageType::Text, &self.content, max_content_chars)
        {
            refusal.errors.into_iter().for_each(|e| errors.push(e.field, e.message));
        }
        let metadata = metadata::check(MessageType::System, self.metadata.as_deref(), &mut errors);
        errors.finish()?;
        Ok(Written { content: self.content, metadata })
    }
}

/// `messaging.users.…`: who somebody is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetProfile {
    #[schemars(length(min = 1, max = MAX_DISPLAY_NAME_CHARS))]
    pub display_name: String,
    /// Absent leaves what is there, `null` clears it.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<String>", length(max = MAX_URL_CHARS))]
    pub avatar_url: Option<Option<String>>,
}

/// A [`SetProfile`], checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profiled {
    pub display_name: String,
    pub avatar_url: Option<Option<String>>,
}

impl SetProfile {
    /// Checks everything; names are trimmed.
    ///
    /// # Errors
    /// `invalid`, naming every field that is wrong.
    pub fn validate(self) -> Result<Profiled, ApiError> {
        let mut errors = FieldErrors::default();
        let max = MAX_DISPLAY_NAME_CHARS;
        let display_name = line("displayName", self.display_name, max, &mut errors);
        let avatar_url = self.avatar_url.map(|url| link("avatarUrl", url, &mut errors));
        errors.finish()?;
        Ok(Profiled { display_name, avatar_url })
    }
}

/// `messaging.contexts.…`: what conversations about an event, a business or a listing show of it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DescribeContext {
    #[schemars(length(min = 1, max = MAX_TITLE_CHARS))]
    pub title: String,
    /// Whom conversations about it are with. Once named it can be changed and not taken back.
    #[serde(default)]
    pub owner_id: Option<Uuid>,
    /// Absent leaves what is there, `null` clears it.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<String>", length(max = MAX_URL_CHARS))]
    pub image_url: Option<Option<String>>,
    /// Absent leaves what is there, `null` clears it.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<String>", length(max = MAX_URL_CHARS))]
    pub url: Option<Option<String>>,
}

/// A [`DescribeContext`], checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub title: String,
    pub owner_id: Option<UserId>,
    pub image_url: Option<Option<String>>,
    pub url: Option<Option<String>>,
}

impl DescribeContext {
    /// Checks everything; titles are trimmed.
    ///
    /// # Errors
    /// `invalid`, naming every field that is wrong.
    pub fn validate(self) -> Result<Described, ApiError> {
        let mut errors = FieldErrors::default();
        let title = line("title", self.title, MAX_TITLE_CHARS, &mut errors);
        let image_url = self.image_url.map(|url| link("imageUrl", url, &mut errors));
        let url = self.url.map(|url| link("url", url, &mut errors));
        errors.finish()?;
        Ok(Described { title, owner_id: self.owner_id, image_url, url })
    }
}

fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(input).map(Some)
}

fn line(field: &'static str, text: String, max: usize, errors: &mut FieldErrors) -> String {
    let text = text.trim().to_owned();
    if text.is_empty() {
        errors.push(field, "must not be blank");
    }
    if text.contains(char::is_control) {
        errors.push(field, "must be one line of printable characters");
    }
    check_text(field, &text, max, errors);
    text
}

fn link(field: &'static str, url: Option<String>, errors: &mut FieldErrors) -> Option<String> {
    let url = url?;
    check_text(field, &url, MAX_URL_CHARS, errors);
    if !is_link(&url) {
        errors.push(field, "must be an http(s) URL or an absolute path");
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::requests::parse;

    fn wrong<T: std::fmt::Debug>(result: Result<T, ApiError>) -> Vec<String> {
        let refusal = result.expect_err("refused");
        refusal.errors.iter().map(|e| e.field.to_string()).collect()
    }

    #[test]
    fn a_system_message_needs_words_and_may_carry_an_object() {
        let say = |json: &str| parse::<SystemMessage>(json.as_bytes())?.validate(20);
        let written = say(r#"{"content":"Doors open","metadata":{"gate":4},"else":1}"#);
        let written = written.expect("fine");
        assert_eq!(written.metadata, r#"{"gate":4}"#);
        assert_eq!(wrong(say(r#"{"content":" "}"#)), ["content"]);
        assert_eq!(wrong(say("{}")), ["content"]);
        assert_eq!(wrong(say(r#"{"content":7}"#)), ["content"]);
        assert_eq!(wrong(say(r#"{"content":"a\u0000","metadata":[]}"#)), ["content", "metadata"]);
        assert_eq!(wrong(say(&format!(r#"{{"content":"{}"}}"#, "x".repeat(21)))), ["content"]);
        assert_eq!(wrong(say("7")), ["body"]);
        assert!(say("nonsense").is_err());
    }

    #[test]
    fn what_a_profile_or_a_context_leaves_out_is_left_and_null_clears() {
        let profile = |json: &str| parse::<SetProfile>(json.as_bytes())?.validate();
        assert_eq!(profile(r#"{"displayName":" Ada "}"#).expect("fine").display_name, "Ada");
        let cleared = profile(r#"{"displayName":"Ada","avatarUrl":null}"#).expect("fine");
        assert_eq!(cleared.avatar_url, Some(None));
        let script = r#"{"displayName":"","avatarUrl":"javascript:x"}"#;
        assert_eq!(wrong(profile(script)), ["displayName", "avatarUrl"]);
        let context = |json: &str| parse::<DescribeContext>(json.as_bytes())?.validate();
        let told = context(r#"{"title":"Jazz","url":"https://x/e","imageUrl":null}"#).expect("ok");
        assert_eq!((told.url, told.image_url), (Some(Some("https://x/e".into())), Some(None)));
        assert_eq!(wrong(context(r#"{"title":"Jazz","ownerId":"me"}"#)), ["ownerId"]);
        assert_eq!(wrong(context(r#"{"ownerId":null}"#)), ["title"]);
    }
}
