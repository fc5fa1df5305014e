//! The refusals of routes. An operation names those that it can answer with.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::{Ref, RefOr, Response};

use crate::edge::error::PROBLEM_JSON;
use crate::wire::error::Code;

/// Each is a set of components by status.
macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $name:ident: $($status:literal = $component:literal),+;)*) => {$(
        $(#[doc = $doc])*
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                let named = [$(($status, $component)),+];
                named.into_iter().map(|(status, component)| (status.to_owned(), reference(component))).collect()
            }
        }
    )*};
}

fn reference(component: &str) -> RefOr<Response> {
    RefOr::Ref(Ref::new(format!("#/components/responses/{component}")))
}

refusals! {
    /// What every route with a token may answer.
    Usual: "401" = "Unauthenticated", "429" = "RateLimited", "500" = "Internal", "503" = "Unavailable";
    /// A path, a query or a body is not as it must be.
    Invalid: "400" = "Invalid";
    /// The conversation is not the caller's.
    NotMine: "403" = "NotAParticipant";
    /// The conversation is not the caller's, or the role is too low.
    Forbidden: "403" = "Forbidden";
    Missing: "404" = "NotFound";
    Conflict: "409" = "Conflict";
    TooLarge: "413" = "TooLarge";
    /// A file is not of a type that is taken, or not what it is said to be.
    WrongType: "415" = "UnsupportedMedia";
    /// Nothing of a file lies in the range.
    Outside: "416" = "OutsideOfFile";
}

/// Refusals that go together.
macro_rules! together {
    ($($(#[doc = $doc:literal])* $name:ident: $($part:ident),+;)*) => {$(
        $(#[doc = $doc])*
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                [$($part::responses()),+].into_iter().flatten().collect()
            }
        }
    )*};
}

together! {
    /// Of what anybody may ask who is in a conversation.
    ForMembers: Usual, Invalid, NotMine;
    /// Of what takes more than being in it: a role, or that what is there now allows it.
    WithRights: Usual, Invalid, Forbidden, Conflict;
}

/// `components.responses`.
pub fn components() -> Value {
    let all = [
        (
            "Unauthenticated",
            vec![Code::Unauthenticated],
            "No token, a bad signature, or an expired one.",
        ),
        ("RateLimited", vec![Code::RateLimited], "Too fast; `Retry-After` says when to come back."),
        ("Internal", vec![Code::Internal], "A bug; details are in the log only."),
        (
            "Unavailable",
            vec![Code::Unavailable],
            "Storage cannot be reached now; the same request may be repeated.",
        ),
        ("Invalid", vec![Code::Invalid], "Not as it must be; `errors` names each field."),
        (
            "NotAParticipant",
            vec![Code::NotAParticipant],
            "The conversation is not the caller's, or is none.",
        ),
        (
            "Forbidden",
            vec![Code::Forbidden, Code::NotAParticipant],
            "The role is too low, or the conversation is not the caller's, or is none.",
        ),
        ("NotFound", vec![Code::NotFound], "Not there for the caller."),
        ("Conflict", vec![Code::Conflict], "What is there now does not allow it."),
        ("TooLarge", vec![Code::PayloadTooLarge], "The body is over its limit."),
        (
            "UnsupportedMedia",
            vec![Code::UnsupportedMedia],
            "A type that is not taken, or not what it is said to be.",
        ),
    ];
    let described =
        all.iter().map(|(name, codes, says)| ((*name).to_owned(), response(codes, says)));
    let mut all = described.collect::<Map<_, _>>();
    all.insert("OutsideOfFile".to_owned(), outside());
    Value::Object(all)
}

/// A status that HTTP has and the protocol's codes do not.
fn outside() -> Value {
    let mut response = response(&[Code::Invalid], "Nothing of the file lies in the range.");
    let content = response["content"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for described in content {
        described["schema"]["properties"]["status"]["const"] = json!(416);
        described["example"]["status"] = json!(416);
    }
    response
}

fn response(codes: &[Code], says: &str) -> Value {
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let first = codes[0];
    let problem = PROBLEM_JSON;
    let media_type = problem.to_str().unwrap_or_default();
    let mut response = json!({
        "description": format!("`{}`: {says}", names.join("`, `")),
        "content": { media_type: {
            "schema": {
                "allOf": [{ "$ref": "#/components/schemas/Problem" }],
                "properties": { "code": { "enum": names }, "status": { "const": first.status() } },
            },
            "example": {
                "type": format!("urn:mecabal:messaging:{}", first.as_str()),
                "title": first.title(),
                "status": first.status(),
                "code": first.as_str(),
                "detail": "a sentence about this case",
            },
        }},
    });
    let seconds =
        json!({ "description": "Seconds.", "schema": { "type": "integer", "minimum": 1 } });
    match first {
        Code::RateLimited | Code::Unavailable => {
            response["headers"] = json!({ "Retry-After": seconds })
        }
        Code::Unauthenticated => {
            response["headers"] =
                json!({ "WWW-Authenticate": { "schema": { "const": "Bearer" } } });
        }
        _ => {}
    }
    response
}
