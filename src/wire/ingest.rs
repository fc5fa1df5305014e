//! What other services send and get: subjects, bodies, replies and dead letters.
//!
//! The third token of a subject is the service's own name; the server refuses any other. Published subjects begin
//! with `messaging.`, those of requests with `messaging.api.`; behind that they are the same.

mod bodies;
mod letters;
mod replies;

use uuid::Uuid;

use crate::domain::conversation::ContextType;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::service;

use super::error::{ApiError, Code};

pub use bodies::{DescribeContext, Described, Profiled, SetProfile, SystemMessage, Written};
pub use letters::{Letter, Letters, ListLetters, PickLetter};
pub use replies::{Reply, ReplyError};

/// What published subjects begin with.
const PREFIX: &str = "messaging.";
/// What the subjects of requests begin with.
pub const API_PREFIX: &str = "messaging.api.";

/// Largest payload, in bytes: 8,000 characters of content, each written as two escapes of six bytes, are 96 KB, and
/// metadata adds 4 KiB. The stream refuses more as well.
pub const MAX_PAYLOAD_BYTES: usize = 131_072;
/// Longest `Nats-Msg-Id`, in characters.
pub const MAX_MSG_ID_CHARS: usize = 256;

/// Where a payload goes, and from whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub service: String,
    pub about: About,
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum About {
    /// A system message.
    Message(Target),
    /// Somebody's profile.
    Profile(UserId),
    /// The preview of a context.
    Context(ContextType, Uuid),
}

/// Where a system message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    Conversation(ConversationId),
    /// Every conversation about this.
    Context(ContextType, Uuid),
    /// The user's notices from this service.
    User(UserId),
}

/// What a service does with its dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LetterOp {
    List,
    Show,
    Replay,
    Drop,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Ingest(Address),
    Letters { service: String, op: LetterOp },
}

impl Address {
    /// Reads a published subject.
    ///
    /// # Errors
    /// `invalid`, naming the part that is wrong.
    pub fn parse(subject: &str) -> Result<Self, ApiError> {
        subject.strip_prefix(PREFIX).map_or_else(|| Err(unknown()), Self::parse_rest)
    }

    fn parse_rest(rest: &str) -> Result<Self, ApiError> {
        let tokens: Vec<&str> = rest.split('.').collect();
        let (service, about) = match tokens.as_slice() {
            ["system", service, "conversation", id] => {
                (service, About::Message(Target::Conversation(uuid("conversationId", id)?)))
            }
            ["system", service, "context", kind, id] => {
                let (kind, id) = context(kind, id)?;
                (service, About::Message(Target::Context(kind, id)))
            }
            ["system", service, "user", id] => {
                (service, About::Message(Target::User(uuid("userId", id)?)))
            }
            ["users", service, id] => (service, About::Profile(uuid("userId", id)?)),
            ["contexts", service, kind, id] => {
                let (kind, id) = context(kind, id)?;
                (service, About::Context(kind, id))
            }
            _ => return Err(unknown()),
        };
        Ok(Self { service: named(service)?, about })
    }
}

impl Call {
    /// Reads the subject of a request.
    ///
    /// # Errors
    /// As [`Address::parse`].
    pub fn parse(subject: &str) -> Result<Self, ApiError> {
        let rest = subject.strip_prefix(API_PREFIX).ok_or_else(unknown)?;
        let Some(letters) = rest.strip_prefix("dead.") else {
            return Address::parse_rest(rest).map(Self::Ingest);
        };
        let (service, op) = letters.split_once('.').ok_or_else(unknown)?;
        let op = match op {
            "list" => LetterOp::List,
            "show" => LetterOp::Show,
            "replay" => LetterOp::Replay,
            "drop" => LetterOp::Drop,
            _ => return Err(unknown()),
        };
        Ok(Self::Letters { service: named(service)?, op })
    }
}

/// The service that a published subject names, whatever is wrong behind it; `None` where it names none.
pub fn service_of(subject: &str) -> Option<&str> {
    let mut tokens = subject.strip_prefix(PREFIX)?.split('.');
    tokens.next()?;
    tokens.next().filter(|name| service::is_name(name))
}

fn unknown() -> ApiError {
    ApiError::new(Code::Invalid, "there is nothing at this subject")
}

fn named(service: &str) -> Result<String, ApiError> {
    if service::is_name(service) {
        return Ok(service.to_owned());
    }
    let most = service::MAX_NAME_CHARS;
    Err(ApiError::field("service", format!("must be 1 to {most} letters, digits, - and _")))
}

/// In the one form that has no other: subjects that differ are different things to the server.
fn uuid(field: &'static str, text: &str) -> Result<Uuid, ApiError> {
    let hyphenated = text.len() == 36 && !text.contains(|c: char| c.is_ascii_uppercase());
    let id = hyphenated.then(|| Uuid::try_parse(text).ok()).flatten();
    id.ok_or_else(|| ApiError::field(field, "must be a UUID in lower case"))
}

fn context(kind: &str, id: &str) -> Result<(ContextType, Uuid), ApiError> {
    let kind = ContextType::parse(kind).ok_or_else(|| {
        ApiError::field("contextType", "must be one of event, business, listing, general")
    })?;
    Ok((kind, uuid("contextId", id)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000-0000-4000-8000-00000000000a";

    fn about(rest: &str) -> About {
        let address = Address::parse(&format!("messaging.{rest}")).expect("an address");
        assert_eq!(address.service, "events");
        let asked = Call::parse(&format!("messaging.api.{rest}")).expect("a call");
        assert_eq!(asked, Call::Ingest(address.clone()), "the same as a request");
        address.about
    }

    #[test]
    fn subjects_name_a_service_and_what_it_is_about() {
        let id: Uuid = ID.parse().expect("a UUID");
        let event = ContextType::Event;
        for (rest, expected) in [
            ("system.events.conversation.", About::Message(Target::Conversation(id))),
            ("system.events.context.event.", About::Message(Target::Context(event, id))),
            ("system.events.user.", About::Message(Target::User(id))),
            ("users.events.", About::Profile(id)),
            ("contexts.events.event.", About::Context(event, id)),
        ] {
            assert_eq!(about(&format!("{rest}{ID}")), expected);
        }
        let list = Call::Letters { service: "events".into(), op: LetterOp::List };
        assert_eq!(Call::parse("messaging.api.dead.events.list"), Ok(list));
    }

    #[test]
    fn what_is_wrong_with_a_subject_is_named() {
        for (subject, field) in [
            ("messaging.system.events.conversation.7", "conversationId"),
            ("messaging.system.events.user.00000000-0000-4000-8000-00000000000A", "userId"),
            ("messaging.system.events.user.00000000000040008000000000000000", "userId"),
            (
                "messaging.contexts.events.planet.00000000-0000-4000-8000-00000000000a",
                "contextType",
            ),
            ("messaging.users.-.00000000-0000-4000-8000-00000000000a", "service"),
        ] {
            let refusal = Address::parse(subject).expect_err(subject);
            assert_eq!(refusal.errors[0].field, field, "{subject}");
        }
        for subject in ["", "messaging.system", "messaging.system.events", "messaging.users.a.b.c"]
        {
            assert_eq!(Address::parse(subject).expect_err(subject).code, Code::Invalid);
        }
        assert!(Call::parse("messaging.api.dead.events.purge").is_err());
    }

    #[test]
    fn a_subject_that_is_wrong_still_names_its_service() {
        assert_eq!(service_of("messaging.system.events.nowhere"), Some("events"));
        assert_eq!(service_of("messaging.system.-.nowhere"), None);
        assert_eq!(service_of("messaging.system"), None);
    }
}
