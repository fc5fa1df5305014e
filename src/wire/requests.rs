//! Bodies of requests, over REST and both socket protocols, and what makes them valid.
//!
//! Unknown fields are ignored. To add a body: a type here or below, with a `validate` that collects every
//! problem field by field.

pub mod conversations;
pub mod settings;

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::expiry::MAX_TTL;
use crate::domain::message::MessageType;

use super::error::{ApiError, FieldErrors};
use super::{metadata, names};

/// Most people whom one message mentions: each may cost a notification.
pub const MAX_MENTIONS: usize = 100;
/// Longest `clientMessageId`; it becomes part of a NATS header.
pub const MAX_CLIENT_MESSAGE_ID_CHARS: usize = 128;

/// `POST /messages` and the `sendMessage` op.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendMessage {
    pub conversation_id: Uuid,
    /// Required and not blank for `text`, a caption for the others; as long as the limits of the node allow.
    #[serde(default)]
    pub content: String,
    /// `text` if absent.
    #[serde(rename = "type", default)]
    #[schemars(with = "Option<names::SendableType>")]
    pub kind: Option<String>,
    #[serde(default)]
    pub reply_to_message_id: Option<Uuid>,
    /// What the type needs, and further keys of at most 4 KiB.
    #[serde(default)]
    #[schemars(with = "Option<std::collections::BTreeMap<String, serde_json::Value>>")]
    pub metadata: Option<Box<RawValue>>,
    /// People of the conversation who are mentioned.
    #[serde(default)]
    #[schemars(length(max = MAX_MENTIONS))]
    pub mentions: Option<Vec<Uuid>>,
    /// The client's own name for the message: the same name is the same message, however often it is sent.
    #[serde(default)]
    #[schemars(length(min = 1, max = MAX_CLIENT_MESSAGE_ID_CHARS))]
    pub client_message_id: Option<String>,
    /// 2 or more marks a resend.
    #[serde(default)]
    pub attempt: Option<u32>,
    /// The message vanishes so many seconds after it was sent.
    #[serde(default)]
    #[schemars(range(min = 1, max = MAX_TTL.as_secs()))]
    pub ttl_seconds: Option<i64>,
    /// Send it then, an RFC 3339 time.
    #[serde(default)]
    #[schemars(extend("format" = "date-time"))]
    pub send_at: Option<String>,
}

/// What a [`SendMessage`] says beyond its plain fields, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    pub kind: MessageType,
    /// A JSON object.
    pub metadata: String,
    /// Without doubles, in the order given.
    pub mentions: Vec<Uuid>,
    /// How long the message lives, if not for ever.
    pub ttl: Option<Duration>,
    /// When to send it, if not at once; to the millisecond. Whether that is possible is not judged here.
    pub send_at: Option<Timestamp>,
    /// The sender says that an earlier attempt may have been accepted.
    pub is_resend: bool,
}

impl SendMessage {
    /// Checks everything that needs no look at the conversation. `max_content_chars` of 0 means no limit.
    ///
    /// # Errors
    /// `invalid`, naming every field that is wrong.
    pub fn validate(&self, max_content_chars: usize) -> Result<Validated, ApiError> {
        let mut errors = FieldErrors::default();
        let kind = self.message_type(&mut errors);
        check_content(kind, &self.content, max_content_chars, &mut errors);
        let metadata = metadata::check(kind, self.metadata.as_deref(), &mut errors);
        let mentions = self.distinct_mentions(&mut errors);
        if let Some(id) = &self.client_message_id {
            check_client_message_id(id, &mut errors);
        }
        let ttl = self.ttl(&mut errors);
        let send_at = self.send_at(&mut errors);
        errors.finish()?;
        let is_resend = self.attempt.is_some_and(|attempt| attempt >= 2);
        Ok(Validated { kind, metadata, mentions, ttl, send_at, is_resend })
    }

    fn message_type(&self, errors: &mut FieldErrors) -> MessageType {
        let Some(name) = self.kind.as_deref() else { return MessageType::Text };
        match MessageType::parse(name) {
            Some(MessageType::System) => {
                errors.push("type", "system messages are not sent by clients");
                MessageType::System
            }
            Some(kind) => kind,
            None => {
                errors.push("type", "must be one of text, image, video, audio, location, file");
                MessageType::Text
            }
        }
    }

    fn ttl(&self, errors: &mut FieldErrors) -> Option<Duration> {
        let ttl = u64::try_from(self.ttl_seconds?).ok().map(Duration::from_secs);
        let ttl = ttl.filter(|ttl| !ttl.is_zero() && *ttl <= MAX_TTL);
        if ttl.is_none() {
            errors.push("ttlSeconds", format!("must be from 1 to {}", MAX_TTL.as_secs()));
        }
        ttl
    }

    fn send_at(&self, errors: &mut FieldErrors) -> Option<Timestamp> {
        let at = self.send_at.as_deref()?.parse::<Timestamp>();
        let at = at.and_then(|at| Timestamp::from_millisecond(at.as_millisecond()));
        if at.is_err() {
            errors.push("sendAt", "must be a time like 2026-11-22T09:00:00Z");
        }
        at.ok()
    }

    fn distinct_mentions(&self, errors: &mut FieldErrors) -> Vec<Uuid> {
        let Some(mentions) = self.mentions.as_deref() else { return Vec::new() };
        if mentions.len() > MAX_MENTIONS {
            errors.push("mentions", format!("must name at most {MAX_MENTIONS} people"));
            return Vec::new();
        }
        let mut seen = HashSet::with_capacity(mentions.len());
        mentions.iter().copied().filter(|id| seen.insert(*id)).collect()
    }
}

/// Checks the new content of a message that is edited.
///
/// # Errors
/// `invalid` on `content`.
pub fn validate_content(
    kind: MessageType,
    content: &str,
    max_chars: usize,
) -> Result<(), ApiError> {
    let mut errors = FieldErrors::default();
    check_content(kind, content, max_chars, &mut errors);
    errors.finish()
}

fn check_content(kind: MessageType, content: &str, max_chars: usize, errors: &mut FieldErrors) {
    if kind == MessageType::Text && content.trim().is_empty() {
        errors.push("content", "must not be blank");
    }
    check_text("content", content, max_chars, errors);
}

/// The `Idempotency-Key` header obeys the same rule as the field it stands for.
pub fn check_client_message_id(id: &str, errors: &mut FieldErrors) {
    let fits = !id.is_empty() && !longer_than(id, MAX_CLIENT_MESSAGE_ID_CHARS);
    if !fits || id.chars().any(char::is_control) {
        errors.push(
            "clientMessageId",
            format!("must have 1 to {MAX_CLIENT_MESSAGE_ID_CHARS} printable characters"),
        );
    }
}

/// Checks the length of a text in characters (0: any) and that the database can hold it.
pub(in crate::wire) fn check_text(
    field: &'static str,
    text: &str,
    max_chars: usize,
    errors: &mut FieldErrors,
) {
    if max_chars > 0 && longer_than(text, max_chars) {
        errors.push(field, format!("must have at most {max_chars} characters"));
    }
    // Postgres cannot store it in a text.
    if text.contains('\0') {
        errors.push(field, "must not contain the NUL character");
    }
}

/// Counts characters only where the bytes leave a doubt.
fn longer_than(text: &str, max_chars: usize) -> bool {
    text.len() > max_chars && text.chars().nth(max_chars).is_some()
}

/// `PUT /messages/{id}`, and what `editMessage` adds to the id.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct EditMessage {
    pub content: String,
}

/// `POST /conversations/{id}/mark-read`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MarkRead {
    /// Absent: the newest message.
    #[serde(default)]
    pub message_id: Option<Uuid>,
}

/// Reads a JSON body.
///
/// # Errors
/// `invalid`, naming the field where the reader stopped.
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, ApiError> {
    // The reader would take an array with the fields in their order as well.
    if json.trim_ascii_start().first() == Some(&b'[') {
        return Err(ApiError::field("body", "must be a JSON object of this request"));
    }
    // The path is only tracked once something is known to be wrong: it costs more than the parsing.
    serde_json::from_slice(json).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => locate::<T>(json, &error),
        _ => ApiError::new(super::error::Code::Invalid, "the body is not valid JSON"),
    })
}

fn locate<T: DeserializeOwned>(json: &[u8], error: &serde_json::Error) -> ApiError {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let path = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(located) => located.path().to_string(),
        Ok(_) => ".".to_owned(),
    };
    let text = error.to_string();
    // "… at line 1 column 7" says less than the path.
    let text = text.split(" at line ").next().unwrap_or_default();
    let missing = text.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    match (missing, path.as_str()) {
        (Some(field), ".") => ApiError::field(field.to_owned(), "is required"),
        (Some(field), path) => ApiError::field(format!("{path}.{field}"), "is required"),
        (None, ".") => ApiError::field("body", "must be a JSON object of this request"),
        (None, path) => ApiError::field(path.to_owned(), explain(text)),
    }
}

/// What the parser says, without the client's own value in it: it may be long.
fn explain(text: &str) -> String {
    match text.rsplit_once("expected ") {
        Some((_, expected)) => format!("must be {expected}"),
        None if text.starts_with("UUID parsing failed") => "must be a UUID".to_owned(),
        None => "is not valid".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> Result<Validated, ApiError> {
        parse::<SendMessage>(json.as_bytes()).and_then(|m| m.validate(20))
    }

    fn with(fields: &str) -> Result<Validated, ApiError> {
        message(&format!(r#"{{"conversationId":"00000000-0000-4000-8000-000000000001",{fields}}}"#))
    }

    fn wrong(result: Result<Validated, ApiError>) -> Vec<String> {
        let error = result.expect_err("refused");
        error.errors.iter().map(|e| e.field.to_string()).collect()
    }

    #[test]
    fn a_plain_text_passes() {
        let valid = with(r#""content":"hi","unknown":1"#).expect("valid");
        assert_eq!((valid.kind, valid.metadata.as_str()), (MessageType::Text, "{}"));
        assert!(!valid.is_resend);
        assert!(with(r#""content":"hi","attempt":2"#).expect("valid").is_resend);
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let bad = with(r#""content":" ","clientMessageId":"","sendAt":"x","ttlSeconds":0"#);
        assert_eq!(wrong(bad), ["content", "clientMessageId", "ttlSeconds", "sendAt"]);
    }

    #[test]
    fn content_is_counted_in_characters() {
        assert!(with(&format!(r#""content":"{}""#, "é".repeat(20))).is_ok());
        assert_eq!(wrong(with(&format!(r#""content":"{}""#, "é".repeat(21)))), ["content"]);
        assert_eq!(wrong(with(r#""content":"a\u0000b""#)), ["content"]);
    }

    #[test]
    fn clients_do_not_send_system_messages() {
        assert_eq!(wrong(with(r#""content":"x","type":"system""#)), ["type"]);
        assert_eq!(wrong(with(r#""content":"x","type":"poem""#)), ["type"]);
    }

    #[test]
    fn mentions_are_distinct_and_bounded() {
        let id = |n: usize| format!(r#""00000000-0000-4000-8000-{n:012}""#);
        let twice = format!(r#""content":"x","mentions":[{0},{0}]"#, id(1));
        assert_eq!(with(&twice).expect("valid").mentions.len(), 1);
        let ids: Vec<_> = (0..101).map(id).collect();
        let many = format!(r#""content":"x","mentions":[{}]"#, ids.join(","));
        assert_eq!(wrong(with(&many)), ["mentions"]);
    }

    #[test]
    fn an_array_of_the_fields_is_no_body() {
        let array = r#" ["00000000-0000-4000-8000-000000000001","hi"]"#;
        assert_eq!(wrong(message(array)), ["body"]);
    }

    #[test]
    fn a_malformed_body_names_the_field() {
        assert_eq!(wrong(message(r#"{"content":"x"}"#)), ["conversationId"]);
        assert_eq!(wrong(message(r#"{"conversationId":"7"}"#)), ["conversationId"]);
        assert_eq!(wrong(with(r#""content":7"#)), ["content"]);
        assert_eq!(wrong(message("[]")), ["body"]);
        assert!(message("{").expect_err("no JSON").errors.is_empty());
    }

    #[test]
    fn nulls_are_as_good_as_nothing() {
        let valid =
            with(r#""content":"x","metadata":null,"mentions":null,"type":null,"sendAt":null"#);
        assert_eq!(valid.expect("valid").metadata, "{}");
    }
}
