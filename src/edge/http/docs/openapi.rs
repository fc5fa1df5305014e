//! `/openapi.json`: what the annotations of the handlers say, with the schemas of the types that they read and write.
//!
//! utoipa collects the routes; the schemas come from schemars alone, so that REST, sockets and subjects are described
//! from one source. A type that an annotation names stands in the list below, else it does not compile.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::wire::answers::{
    ConversationList, History, MarkedRead, Missed, ParticipantPage, Scheduled, Success, Unread,
};
use crate::wire::communities::{BanPage, JoinAsked, JoinRequestPage, Pins};
use crate::wire::devices::{Devices, Notifications, RegisterDevice, SetNotifications};
use crate::wire::error::Problem;
use crate::wire::media::{BeginUpload, SignedLink, UploadForm, UploadTicket, Uploaded};
use crate::wire::names::{ContextType, ConversationType, MessageType};
use crate::wire::objects::{Conversation, Message, Receipts};
use crate::wire::own_data::{ErasureState, ExportProgress};
use crate::wire::presence::Presence;
use crate::wire::requests::conversations::{AddParticipants, CreateConversation, Mute, SetRole};
use crate::wire::requests::settings::{Ban, PatchConversation};
use crate::wire::requests::{EditMessage, MarkRead, SendMessage};
use crate::wire::safety::{BlockList, FileReport, Filed};
use crate::wire::schemas::{Definitions, Place};
use crate::wire::search::SearchResults;

use super::super::contexts::Named;
use super::responses;

/// Types that annotations name: their schemas are references, resolved by [`schemas`].
macro_rules! described {
    (written: [$($written:ty),* $(,)?], read: [$($read:ty),* $(,)?]) => {
        $(described!(@name $written);)*
        $(described!(@name $read);)*

        /// `components.schemas`.
        fn schemas() -> Map<String, Value> {
            let mut definitions = Definitions::new(Place::Components);
            $(definitions.written::<$written>();)*
            $(definitions.read::<$read>();)*
            definitions.finish()
        }
    };
    (@name $type:ty) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                RefOr::T(Schema::default())
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                <Self as JsonSchema>::schema_name()
            }
        }
    };
}

described! {
    written: [
        BanPage, BlockList, Conversation, ConversationList, ContextType, ConversationType,
        Devices, ErasureState, ExportProgress, Filed, History, JoinAsked, JoinRequestPage,
        MarkedRead, Message, MessageType, Missed, Notifications, ParticipantPage, Pins,
        Presence, Problem<'_>, Receipts, Scheduled, SearchResults, SignedLink, Success,
        Unread, UploadTicket, Uploaded,
    ],
    read: [
        AddParticipants, Ban, BeginUpload, CreateConversation, EditMessage, FileReport,
        MarkRead, Mute, Named, PatchConversation, RegisterDevice, SendMessage,
        SetNotifications, SetRole, UploadForm,
    ]
}

const ABOUT: &str = "\
Chat over REST. What happens live comes over a WebSocket, `GET /messaging/ws`, or Socket.IO; both are described in \
[`/asyncapi.json`](/asyncapi.json).

All JSON is camelCase. Ids are UUIDs, times RFC 3339 in UTC with milliseconds. Unknown fields of a request are \
ignored. Refusals are problems (RFC 9457) with a `code` that programs may rely on. Whoever operators have suspended or \
banned is answered 403 `forbidden` everywhere.

Limits are those of this service's configuration: the length of a message, the size of a body (413), and how often \
somebody may ask (429).";

/// The document, from what the router has collected.
pub fn document(routes: utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(routes).unwrap_or_default();
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "Messaging",
        "version": env!("CARGO_PKG_VERSION"),
        "description": ABOUT,
        "license": { "name": "Proprietary" },
    });
    document["servers"] = json!([{ "url": "/", "description": "This node" }]);
    document["security"] = json!([{ "bearer": [] }]);
    document["tags"] = tags();
    document["components"] = json!({
        "securitySchemes": { "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "`sub` is the user's id, `exp` is required; `name` and `picture` refresh the profile.",
        }},
        "schemas": schemas(),
        "responses": responses::components(),
    });
    if let Some(paths) = document["paths"].as_object_mut() {
        paths.values_mut().for_each(tidy);
        paths.extend(operators());
    }
    document
}

fn tags() -> Value {
    json!([
        { "name": "Conversations" },
        { "name": "Participants" },
        { "name": "Messages" },
        { "name": "Files", "description": "Pictures, films, sounds and documents of conversations." },
        { "name": "Devices", "description": "Notifications of phones and browsers." },
        { "name": "Own data", "description": "What the caller may ask of their own data." },
        { "name": "Safety", "description": "Blocks and reports." },
        { "name": "Operators", "description": "Without a token." },
    ])
}

/// What a request leaves out is absent, never null.
fn tidy(path: &mut Value) {
    for operation in path.as_object_mut().into_iter().flat_map(|path| path.values_mut()) {
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for schema in parameters.into_iter().flatten().filter_map(|one| one.get_mut("schema")) {
            drop_null(schema);
        }
        let body = operation.pointer_mut("/requestBody/content/application~1json/schema");
        if let Some(schema) = body {
            drop_null(schema);
        }
    }
}

fn drop_null(schema: &mut Value) {
    let types = schema.get("type").and_then(Value::as_array);
    let named = types.and_then(|types| types.iter().find(|name| *name != "null")).cloned();
    if let Some(named) = named {
        schema["type"] = named;
    }
    let all = schema.get("oneOf").and_then(Value::as_array);
    let one = all.and_then(|all| all.iter().find(|one| one.get("$ref").is_some())).cloned();
    if let Some(one) = one {
        *schema = one;
    }
}

/// Routes of the listener that every role has, and of the documents themselves.
fn operators() -> Map<String, Value> {
    let get = |path: &str, operation: &str, summary: &str, responses: Value| {
        let answered = json!({ "get": {
            "operationId": operation, "tags": ["Operators"], "summary": summary, "security": [],
            "responses": responses,
        }});
        (path.to_owned(), answered)
    };
    let status = |word: &str| json!({ "type": "object", "required": ["status"], "properties": { "status": { "const": word } } });
    let answer = |says: &str, media: &str, schema: Value| json!({ "description": says, "content": { media: { "schema": schema } } });
    let json = "application/json";
    let unready = json!({
        "type": "object", "required": ["status", "reasons"],
        "properties": {
            "status": { "const": "unavailable" },
            "reasons": { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        },
    });
    let same = json!({ "description": "It is still the one of `If-None-Match`." });
    let document = |says: &str, media: &str, schema: Value| json!({ "200": answer(says, media, schema), "304": same.clone() });
    let (object, text) = (json!({ "type": "object" }), json!({ "type": "string" }));
    let lives = json!({ "200": answer("It does.", json, status("alive")) });
    let works = json!({
        "200": answer("It does.", json, status("ready")),
        "503": answer("Not now, for these reasons.", json, unready),
    });
    let figures = json!({
        "200": answer("The figures.", "application/openmetrics-text", text.clone()),
        "404": { "$ref": "#/components/responses/NotFound" },
    });
    let openapi = document("OpenAPI 3.1.", json, object.clone());
    let asyncapi = document("AsyncAPI 3.0.", json, object);
    let page = document("A page.", "text/html", text);
    let shown = "Figures for Prometheus, unless they are shown elsewhere.";
    Map::from_iter([
        get("/healthz", "alive", "Does the process live?", lives),
        get("/readyz", "ready", "Does it do its work?", works),
        get("/metrics", "metrics", shown, figures),
        get("/openapi.json", "openapi", "This document.", openapi),
        get("/asyncapi.json", "asyncapi", "Sockets and subjects.", asyncapi),
        get("/docs", "docs", "Both for people.", page),
    ])
}
