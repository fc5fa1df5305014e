//! Bodies about conversations and their participants.

use std::collections::HashSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::domain::conversation::{
    ContextType, ConversationType, MAX_DESCRIPTION_CHARS, MAX_TITLE_CHARS, Role,
};
use crate::domain::ids::UserId;
use crate::wire::error::{ApiError, FieldErrors};
use crate::wire::names;

use super::check_text;

/// Most people whom one request may name, in communities as well: the announcement names each of them
/// (40 bytes), and 1,000 of them stay far below the largest message of NATS (1 MiB).
pub const MAX_NAMED_USERS: usize = 1000;

/// `POST /conversations`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateConversation {
    #[serde(rename = "type")]
    #[schemars(with = "names::ConversationType")]
    pub kind: String,
    /// Not for direct conversations.
    #[serde(default)]
    #[schemars(length(max = MAX_TITLE_CHARS))]
    pub title: Option<String>,
    /// Not for direct conversations.
    #[serde(default)]
    #[schemars(length(max = MAX_DESCRIPTION_CHARS))]
    pub description: Option<String>,
    /// The others: exactly one for a direct conversation, at least one for a group.
    #[serde(default)]
    #[schemars(length(max = MAX_NAMED_USERS))]
    pub participant_ids: Option<Vec<Uuid>>,
    #[serde(default)]
    #[schemars(with = "Option<names::ContextType>")]
    pub context_type: Option<String>,
    /// Required with a `contextType` other than `general`.
    #[serde(default)]
    pub context_id: Option<Uuid>,
}

/// A [`CreateConversation`], checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidConversation {
    pub kind: ConversationType,
    pub title: Option<String>,
    pub description: Option<String>,
    /// Without the creator, without doubles.
    pub others: Vec<UserId>,
    pub context: Option<(ContextType, Option<Uuid>)>,
}

impl CreateConversation {
    /// Checks what `creator` asks for. `max_group` of 0 means no limit.
    ///
    /// # Errors
    /// `invalid`, naming every field that is wrong.
    pub fn validate(self, creator: UserId, max_group: u32) -> Result<ValidConversation, ApiError> {
        let mut errors = FieldErrors::default();
        let Some(kind) = ConversationType::parse(&self.kind) else {
            return Err(ApiError::field("type", "must be one of direct, group, community"));
        };
        let title = check_title(self.title, &mut errors);
        let description = check_description(self.description, &mut errors);
        let others = check_users("participantIds", self.participant_ids, &mut errors);
        let others: Vec<UserId> = others.into_iter().filter(|id| *id != creator).collect();
        match kind {
            ConversationType::Direct => check_direct(&others, &title, &description, &mut errors),
            ConversationType::Group => check_group(&others, max_group, &mut errors),
            ConversationType::Community => {}
        }
        let context = check_context(self.context_type, self.context_id, &mut errors);
        errors.finish()?;
        Ok(ValidConversation { kind, title, description, others, context })
    }
}

fn check_direct(
    others: &[UserId],
    title: &Option<String>,
    description: &Option<String>,
    errors: &mut FieldErrors,
) {
    if others.len() != 1 {
        errors.push("participantIds", "must name exactly one other person");
    }
    if title.is_some() {
        errors.push("title", "is not for direct conversations");
    }
    if description.is_some() {
        errors.push("description", "is not for direct conversations");
    }
}

fn check_group(others: &[UserId], max_group: u32, errors: &mut FieldErrors) {
    if others.is_empty() {
        errors.push("participantIds", "must name at least one other person");
    }
    if max_group > 0 && others.len() >= max_group as usize {
        let message = format!("a group has at most {max_group} participants, you included");
        errors.push("participantIds", message);
    }
}

/// Titles are trimmed; an empty one is none.
pub(super) fn check_title(title: Option<String>, errors: &mut FieldErrors) -> Option<String> {
    check_line("title", title, MAX_TITLE_CHARS, errors)
}

pub(super) fn check_description(text: Option<String>, errors: &mut FieldErrors) -> Option<String> {
    check_line("description", text, MAX_DESCRIPTION_CHARS, errors)
}

pub(super) fn check_line(
    field: &'static str,
    text: Option<String>,
    max_chars: usize,
    errors: &mut FieldErrors,
) -> Option<String> {
    let text = text?.trim().to_owned();
    check_text(field, &text, max_chars, errors);
    (!text.is_empty()).then_some(text)
}

fn check_users(
    field: &'static str,
    users: Option<Vec<Uuid>>,
    errors: &mut FieldErrors,
) -> Vec<UserId> {
    let users = users.unwrap_or_default();
    if users.len() > MAX_NAMED_USERS {
        errors.push(field, format!("must name at most {MAX_NAMED_USERS} people at once"));
        return Vec::new();
    }
    let mut seen = HashSet::with_capacity(users.len());
    users.into_iter().filter(|id| seen.insert(*id)).collect()
}

fn check_context(
    kind: Option<String>,
    id: Option<Uuid>,
    errors: &mut FieldErrors,
) -> Option<(ContextType, Option<Uuid>)> {
    let Some(name) = kind else {
        if id.is_some() {
            errors.push("contextType", "is required with contextId");
        }
        return None;
    };
    let Some(kind) = ContextType::parse(&name) else {
        errors.push("contextType", "must be one of event, business, listing, general");
        return None;
    };
    if id.is_none() && kind != ContextType::General {
        errors.push("contextId", "is required with this contextType");
    }
    Some((kind, id))
}

/// `POST /conversations/{id}/participants`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddParticipants {
    #[schemars(length(min = 1, max = MAX_NAMED_USERS))]
    pub user_ids: Vec<Uuid>,
}

impl AddParticipants {
    /// The people named, without doubles.
    ///
    /// # Errors
    /// `invalid` on `userIds`.
    pub fn validate(self) -> Result<Vec<UserId>, ApiError> {
        let mut errors = FieldErrors::default();
        if self.user_ids.is_empty() {
            errors.push("userIds", "must name at least one person");
        }
        let users = check_users("userIds", Some(self.user_ids), &mut errors);
        errors.finish()?;
        Ok(users)
    }
}

/// `PATCH /conversations/{id}/participants/{userId}`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SetRole {
    #[schemars(with = "names::Role")]
    role: String,
}

impl SetRole {
    /// The role named.
    ///
    /// # Errors
    /// `invalid` on `role`.
    pub fn validate(&self) -> Result<Role, ApiError> {
        Role::parse(&self.role).ok_or_else(|| ApiError::field("role", "must be member or admin"))
    }
}

/// `POST /conversations/{id}/mute`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Mute {
    /// Absent: until undone.
    #[serde(default)]
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
}

impl Mute {
    /// Until when, if not for good.
    ///
    /// # Errors
    /// `invalid` on `until`, which lies in the future.
    pub fn validate(&self, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.until.as_deref() else { return Ok(None) };
        let wrong = || ApiError::field("until", "must be an RFC 3339 time in the future");
        let until: Timestamp = text.parse().map_err(|_| wrong())?;
        if until > now { Ok(Some(until)) } else { Err(wrong()) }
    }
}

/// The title that the opener of a context conversation gives, from a query string.
///
/// # Errors
/// `invalid` on `title`.
pub fn validate_context_title(title: Option<String>) -> Result<Option<String>, ApiError> {
    let mut errors = FieldErrors::default();
    let title = check_title(title, &mut errors);
    errors.finish()?;
    Ok(title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::requests::parse;

    const ME: Uuid = Uuid::from_u128(1);

    fn create(json: &str) -> Result<ValidConversation, ApiError> {
        parse::<CreateConversation>(json.as_bytes()).and_then(|c| c.validate(ME, 3))
    }

    fn wrong(json: &str) -> Vec<String> {
        let error = create(json).expect_err("refused");
        error.errors.iter().map(|e| e.field.to_string()).collect()
    }

    fn ids(range: std::ops::Range<u128>) -> String {
        let ids: Vec<_> = range.map(|n| format!("{:?}", Uuid::from_u128(n).to_string())).collect();
        format!("[{}]", ids.join(","))
    }

    #[test]
    fn a_direct_conversation_has_one_other_person() {
        let direct = |users: &str| format!(r#"{{"type":"direct","participantIds":{users}}}"#);
        assert_eq!(create(&direct(&ids(2..3))).expect("valid").others.len(), 1);
        // Naming oneself as well is what some apps do.
        assert_eq!(create(&direct(&ids(1..3))).expect("valid").others.len(), 1);
        assert_eq!(wrong(&direct("[]")), ["participantIds"]);
        assert_eq!(wrong(&direct(&ids(1..2))), ["participantIds"]);
        assert_eq!(wrong(&direct(&ids(2..4))), ["participantIds"]);
    }

    #[test]
    fn a_group_has_a_bounded_number_of_people() {
        let group =
            |users: &str| format!(r#"{{"type":"group","title":" T ","participantIds":{users}}}"#);
        assert_eq!(create(&group(&ids(2..4))).expect("valid").title.as_deref(), Some("T"));
        assert_eq!(wrong(&group(&ids(2..5))), ["participantIds"]);
        assert_eq!(wrong(r#"{"type":"group","title":"  "}"#), ["participantIds"]);
        let long = format!(r#"{{"type":"community","title":"{}"}}"#, "x".repeat(201));
        assert_eq!(wrong(&long), ["title"]);
        assert_eq!(wrong(r#"{"type":"club"}"#), ["type"]);
    }

    #[test]
    fn a_context_has_a_type_and_an_id() {
        let with = |rest: &str| format!(r#"{{"type":"community","title":"x",{rest}}}"#);
        assert_eq!(wrong(&with(r#""contextType":"event""#)), ["contextId"]);
        assert_eq!(wrong(&with(r#""contextType":"party""#)), ["contextType"]);
        let id = format!(r#""contextId":"{ME}""#);
        assert_eq!(wrong(&with(&id)), ["contextType"]);
    }

    #[test]
    fn a_mute_ends_in_the_future() {
        let until = |text: &str| Mute { until: Some(text.into()) }.validate(Timestamp::UNIX_EPOCH);
        assert!(until("1970-01-01T00:00:01Z").is_ok());
        assert!(until("1970-01-01T00:00:00Z").is_err());
        assert!(until("tomorrow").is_err());
    }
}
