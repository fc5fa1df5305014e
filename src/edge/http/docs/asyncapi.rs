//! `/asyncapi.json`: the sockets of clients and the subjects of other services, from the same schemas as the rest.

use serde_json::{Map, Value, json};

use crate::wire::error::CloseCode;
use crate::wire::event::EVENT_HEADER;
use crate::wire::schemas::sockets::{EVENTS, OPS};
use crate::wire::schemas::{Definitions, Place, subjects};

const ABOUT: &str = "\
What happens live: the native WebSocket, Socket.IO, and the subjects on NATS that other services use. REST is \
described in [`/openapi.json`](/openapi.json).";

const SOCKET: &str = "\
Text frames of JSON. The token comes in `Authorization: Bearer`, in the sub-protocols `messaging.v1, bearer.<jwt>`, \
or in a first frame `connect` within 10 s. Every request gets exactly one reply, with its `id`. A cursor covers all \
conversations of the user: who comes back with one is told everything that was missed, in order and once, then \
`caughtUp`. The server sends pings; a peer that is silent for two heartbeats is closed.";

const SOCKETIO: &str = "\
Socket.IO protocol 5 over Engine.IO 4, transport WebSocket, namespace `/messaging`, with `auth: {token}`. Operations \
and events have the names and the data of the native protocol: an event is emitted with its data and, where it has \
one, its cursor; a request takes an acknowledgement, `{success: true, …}` or `{success: false, error, code, errors?}`. \
Connection state recovery resumes from the last cursor. Behind each `newMessage` comes `conversationUpdated` with \
`conversationId`, `lastMessage` and `updatedAt`.";

/// The document.
pub fn document() -> Value {
    let mut made = Made::default();
    made.socket();
    made.socketio();
    for subject in subjects::all() {
        made.subject(&subject);
    }
    let Made { definitions, channels, operations, messages } = made;
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Messaging",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
        },
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": definitions.finish(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "nats": { "type": "userPassword", "description": "Each service has a user of its own." },
            },
        },
    })
}

fn servers() -> Value {
    let host = |default: &str| json!({ "host": { "default": default, "description": "Of the installation." } });
    json!({
        "edge": {
            "host": "{host}", "protocol": "wss", "variables": host("127.0.0.1:3004"),
            "security": [{ "$ref": "#/components/securitySchemes/bearer" }],
        },
        "nats": {
            "host": "{host}", "protocol": "nats", "variables": host("127.0.0.1:4222"),
            "security": [{ "$ref": "#/components/securitySchemes/nats" }],
        },
    })
}

struct Made {
    definitions: Definitions,
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            definitions: Definitions::new(Place::Components),
            channels: Map::new(),
            operations: Map::new(),
            messages: Map::new(),
        }
    }
}

fn reference(to: &str) -> Value {
    json!({ "$ref": format!("#/{to}") })
}

impl Made {
    /// Describes a message and returns the name that channels know it by.
    fn message(&mut self, name: &str, summary: &str, payload: Value) -> String {
        let message = json!({ "name": name, "summary": summary, "payload": payload });
        self.messages.insert(name.to_owned(), message);
        name.to_owned()
    }

    fn channel(&mut self, name: &str, mut channel: Value, server: &str, messages: &[String]) {
        let known =
            messages.iter().map(|m| (m.clone(), reference(&format!("components/messages/{m}"))));
        channel["messages"] = Value::Object(known.collect());
        channel["servers"] = json!([reference(&format!("servers/{server}"))]);
        self.channels.insert(name.to_owned(), channel);
    }

    fn operation(
        &mut self,
        name: &str,
        action: &str,
        summary: &str,
        channel: &str,
        messages: &[String],
    ) {
        let operation = json!({
            "action": action,
            "summary": summary,
            "channel": reference(&format!("channels/{channel}")),
            "messages": references(channel, messages),
        });
        self.operations.insert(name.to_owned(), operation);
    }

    fn socket(&mut self) {
        let mut names = Vec::new();
        for op in OPS {
            let (request, reply) =
                (op.request(&mut self.definitions), op.reply(&mut self.definitions));
            let asked = self.message(op.name, op.says, request);
            let answered = format!("{}Reply", op.name);
            self.message(&answered, "What came of it.", reply);
            self.operation(op.name, "receive", op.says, "socket", std::slice::from_ref(&asked));
            self.operations[op.name]["reply"] = json!({
                "channel": reference("channels/socket"),
                "messages": references("socket", std::slice::from_ref(&answered)),
            });
            names.extend([asked, answered]);
        }
        let mut told = Vec::new();
        for event in EVENTS {
            let frame = event.frame(&mut self.definitions);
            told.push(self.message(event.name, event.says, frame));
        }
        self.operation("tell", "send", "Tells a client what happens.", "socket", &told);
        names.extend(told);
        let cursor = json!({ "type": "object", "properties": { "cursor": { "type": "string" } } });
        let channel = json!({
            "address": "/messaging/ws",
            "title": "The native WebSocket",
            "description": SOCKET,
            "bindings": { "ws": { "method": "GET", "query": cursor } },
            "x-close-codes": CloseCode::ALL.map(|code| json!({
                "code": code.code(), "meaning": code.reason(), "advice": code.advice(),
            })),
        });
        self.channel("socket", channel, "edge", &names);
    }

    fn socketio(&mut self) {
        let channel = json!({
            "address": "/socket.io/?EIO=4&transport=websocket",
            "title": "Socket.IO",
            "description": SOCKETIO,
        });
        self.channel("socketio", channel, "edge", &[]);
    }

    fn subject(&mut self, subject: &subjects::Subject) {
        let mut names = Vec::new();
        for (name, says, make) in &subject.messages {
            let payload = make(&mut self.definitions);
            let unique = format!("{}.{name}", subject.name);
            names.push(self.message(&unique, says, payload));
            if subject.has_event_header {
                let event = json!({ "const": *name });
                self.messages[&unique]["headers"] = json!({
                    "type": "object", "required": [EVENT_HEADER], "properties": { EVENT_HEADER: event },
                });
            }
        }
        let parameters = subject
            .parameters
            .iter()
            .map(|(name, says)| ((*name).to_owned(), json!({ "description": says })));
        let mut channel = json!({
            "address": subject.address, "title": subject.title, "description": subject.says,
        });
        let parameters: Map<String, Value> = parameters.collect();
        if !parameters.is_empty() {
            channel["parameters"] = Value::Object(parameters);
        }
        self.channel(&subject.name, channel, "nats", &names);
        let action = if subject.is_taken { "receive" } else { "send" };
        self.operation(&subject.name, action, &subject.title, &subject.name, &names);
        if let Some(reply) = subject.reply {
            let payload = reply(&mut self.definitions);
            let answered =
                self.message(&format!("{}.reply", subject.name), "What came of it.", payload);
            let name = format!("{}.reply", subject.name);
            let inbox = json!({ "address": null, "title": "The asker's inbox" });
            self.channel(&name, inbox, "nats", std::slice::from_ref(&answered));
            self.operations[&subject.name]["reply"] = json!({
                "address": { "location": "$message.header#/reply" },
                "channel": reference(&format!("channels/{name}")),
                "messages": references(&name, std::slice::from_ref(&answered)),
            });
        }
    }
}

fn references(channel: &str, messages: &[String]) -> Vec<Value> {
    messages.iter().map(|m| reference(&format!("channels/{channel}/messages/{m}"))).collect()
}
