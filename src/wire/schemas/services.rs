//! What other services send, and what they are answered.

use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::domain::ids::MessageId;
use crate::wire::ingest::{
    DescribeContext, Letter, ListLetters, PickLetter, ReplyError, SetProfile, SystemMessage,
};

use super::Definitions;
use super::subjects::Subject;

const SERVICE: (&str, &str) = ("service", "The service's own name; the server refuses any other.");
const KIND: (&str, &str) = ("type", "`event`, `business`, `listing` or `general`.");
const CONTEXT: (&str, &str) = ("contextId", "A UUID in lower case.");
const CONVERSATION: (&str, &str) = ("conversationId", "A UUID in lower case.");
const USER: (&str, &str) = ("userId", "A UUID in lower case.");

type Make = fn(&mut Definitions) -> Value;

struct Taken {
    name: &'static str,
    /// Behind `messaging.` for what is published, behind `messaging.api.` for requests.
    rest: &'static str,
    title: &'static str,
    says: &'static str,
    parameters: &'static [(&'static str, &'static str)],
    payload: Make,
}

const TAKEN: &[Taken] = &[
    Taken {
        name: "systemMessageToConversation",
        rest: "system.{service}.conversation.{conversationId}",
        title: "A system message to a conversation",
        says: "Becomes a message of type `system`.",
        parameters: &[SERVICE, CONVERSATION],
        payload: read::<SystemMessage>,
    },
    Taken {
        name: "systemMessageToContext",
        rest: "system.{service}.context.{type}.{contextId}",
        title: "A system message to every conversation about something",
        says: "Becomes a message in each.",
        parameters: &[SERVICE, KIND, CONTEXT],
        payload: read::<SystemMessage>,
    },
    Taken {
        name: "systemMessageToUser",
        rest: "system.{service}.user.{userId}",
        title: "A system message to a user",
        says: "Becomes a message in the user's notices from this service; the conversation is made when it is needed.",
        parameters: &[SERVICE, USER],
        payload: read::<SystemMessage>,
    },
    Taken {
        name: "profile",
        rest: "users.{service}.{userId}",
        title: "Who somebody is",
        says: "Sets the name and the picture that others see. Absent leaves the picture, null clears it.",
        parameters: &[SERVICE, USER],
        payload: read::<SetProfile>,
    },
    Taken {
        name: "context",
        rest: "contexts.{service}.{type}.{contextId}",
        title: "What conversations are about",
        says: "Sets the preview that conversations about it show; `ownerId` is binding from then on.",
        parameters: &[SERVICE, KIND, CONTEXT],
        payload: read::<DescribeContext>,
    },
];

fn read<T: JsonSchema>(definitions: &mut Definitions) -> Value {
    definitions.read::<T>()
}

/// What may be published, and asked.
pub fn subjects() -> Vec<Subject> {
    let published = TAKEN.iter().map(|taken| Subject {
        says: format!(
            "{} Publish with JetStream and a `Nats-Msg-Id`: the same id is the same message, however late it is \
             repeated. What is invalid goes to the service's dead letters with its reason.",
            taken.says
        ),
        ..taken.subject()
    });
    let asked = TAKEN.iter().map(|taken| Subject {
        name: format!("{}Request", taken.name),
        address: format!("messaging.api.{}", taken.rest),
        title: format!("{}, as a request", taken.title),
        says: format!("{} The answer comes when it has been checked and accepted.", taken.says),
        reply: Some(reply),
        ..taken.subject()
    });
    published.chain(asked).chain(letters()).collect()
}

impl Taken {
    /// As it is published, without how.
    fn subject(&self) -> Subject {
        Subject {
            name: self.name.to_owned(),
            address: format!("messaging.{}", self.rest),
            title: self.title.to_owned(),
            says: self.says.to_owned(),
            parameters: self.parameters,
            is_taken: true,
            has_event_header: false,
            messages: vec![("payload", self.says, self.payload)],
            reply: None,
        }
    }
}

fn letters() -> Vec<Subject> {
    let one = |op: &str, title: &str, payload: Make, reply: Make| Subject {
        name: format!("{op}DeadLetters"),
        address: format!("messaging.api.dead.{{service}}.{op}"),
        title: title.to_owned(),
        says: "What the service published and could not be taken.".to_owned(),
        parameters: &[SERVICE],
        is_taken: true,
        has_event_header: false,
        messages: vec![("payload", "Which.", payload)],
        reply: Some(reply),
    };
    vec![
        one("list", "A page of a service's dead letters", read::<ListLetters>, letters_reply),
        one("show", "One dead letter", read::<PickLetter>, letter_reply),
        one("replay", "Takes a dead letter once more", read::<PickLetter>, reply),
        one("drop", "Forgets a dead letter", read::<PickLetter>, reply),
    ]
}

/// The reply to anything that becomes messages, or nothing that could be shown.
pub fn reply(definitions: &mut Definitions) -> Value {
    let fields =
        json!({ "messageIds": { "type": "array", "items": definitions.written::<MessageId>() } });
    either(definitions, fields)
}

/// The reply to `list`.
pub fn letters_reply(definitions: &mut Definitions) -> Value {
    let letters = definitions.written::<Vec<Letter>>();
    either(definitions, json!({ "letters": letters, "more": { "type": "boolean" } }))
}

/// The reply to `show`.
pub fn letter_reply(definitions: &mut Definitions) -> Value {
    let letter = definitions.written::<Letter>();
    either(definitions, json!({ "letter": letter }))
}

/// It worked, with these fields, or it was refused.
fn either(definitions: &mut Definitions, fields: Value) -> Value {
    let mut required: Vec<String> = vec!["ok".to_owned()];
    let mut properties = fields;
    required.extend(properties.as_object().into_iter().flat_map(|fields| fields.keys().cloned()));
    properties["ok"] = json!({ "const": true });
    json!({ "oneOf": [
        { "type": "object", "required": required, "properties": properties, "additionalProperties": false },
        {
            "type": "object",
            "required": ["ok", "error"],
            "properties": { "ok": { "const": false }, "error": definitions.written::<ReplyError>() },
            "additionalProperties": false,
        },
    ] })
}
