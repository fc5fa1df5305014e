//! Socket.IO protocol 5 over Engine.IO protocol 4, text packets, for apps with a stock client.
//!
//! Only what such an app needs: one name space, WebSocket transport, events with acknowledgements. The packet
//! types are those of the published protocols
//! (<https://github.com/socketio/socket.io-protocol>, <https://github.com/socketio/engine.io-protocol>).

use std::sync::Arc;

use axum::Json;
use axum::extract::ws::{Message, WebSocket};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::edge::Edge;
use crate::edge::hub::frames::NAMESPACE;
use crate::edge::hub::queue::Content;
use crate::edge::resume::{self, Start};
use crate::telemetry::metrics::Protocol;
use crate::wire::error::{ApiError, CloseCode, Code};

use super::reply::ReplyTo;
use super::session::{Session, fault};
use super::{catch_up, ops};

/// Engine.IO ping and pong.
pub const PING: &str = "2";
const PONG: &str = "3";
/// Engine.IO packet types that open and close; `4` is a message, whose second digit is Socket.IO's type.
const ENGINE_OPEN: &str = "0";
const ENGINE_CLOSE: &str = "1";
const CONNECT: &str = "40";
const DISCONNECT: &str = "41";
const EVENT: &str = "42";
const CONNECT_ERROR: &str = "44";
/// How often a client may be refused on one transport before it is closed: it may refresh its token meanwhile.
const MAX_REFUSALS: usize = 5;

/// Why Engine.IO does not begin, with the codes of its reference implementation.
#[derive(Debug, PartialEq, Eq)]
pub struct EngineRefusal {
    code: u8,
    message: &'static str,
}

impl IntoResponse for EngineRefusal {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.code, "message": self.message });
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

/// Does the request ask for the protocol and the transport that are served here?
///
/// # Errors
/// The protocol's own refusal.
pub fn check(query: &str) -> Result<(), EngineRefusal> {
    if super::parameter(query, "EIO").as_deref() != Some("4") {
        return Err(EngineRefusal { code: 5, message: "Unsupported protocol version" });
    }
    if super::parameter(query, "transport").as_deref() != Some("websocket") {
        return Err(EngineRefusal { code: 0, message: "Transport unknown" });
    }
    Ok(())
}

/// Opens a connection; one that is refused has been closed.
pub async fn open(
    edge: Arc<Edge>,
    mut socket: WebSocket,
    token: Option<String>,
) -> Option<(Session, WebSocket)> {
    let heartbeat = edge.settings.heartbeat.as_millis();
    let handshake = json!({
        "sid": Uuid::new_v4(),
        "upgrades": [],
        "pingInterval": heartbeat,
        "pingTimeout": heartbeat,
        "maxPayload": edge.settings.max_frame_bytes,
    });
    send(&mut socket, format!("{ENGINE_OPEN}{handshake}")).await.ok()?;
    let introduced = introduce(&edge, &mut socket, token.as_deref());
    let Introduced { mut session, start, pid } = match super::in_time(&edge, introduced).await {
        Ok(introduced) => introduced,
        Err(code) => {
            super::close(socket, code?).await;
            return None;
        }
    };
    let pid = pid.unwrap_or_else(|| new_pid(&session));
    let accepted = json!({ "sid": session.connection.id, "pid": pid });
    send(&mut socket, format!("{CONNECT}{NAMESPACE}{accepted}")).await.ok()?;
    if let Err(code) = catch_up::run(&mut session, &mut socket, start).await {
        super::close(socket, code?).await;
        return None;
    }
    Some((session, socket))
}

/// Somebody who may come in.
struct Introduced {
    session: Session,
    start: Start,
    /// The client's own from before, when it is resumed: that is how the stock client knows.
    pid: Option<String>,
}

/// `<random>.<cursor>`. A client names the place of its last event when it comes back; one that has not seen any
/// comes back with this alone.
fn new_pid(session: &Session) -> String {
    format!("{}.{}", Uuid::new_v4().simple(), catch_up::cursor(session))
}

/// Where a client that has been here before goes on.
fn cursor(auth: &Auth) -> Option<&str> {
    let pid = auth.pid.as_deref()?;
    // Without a cursor in it the identifier is not of this service, and is refused as such.
    Some(auth.offset.as_deref().unwrap_or_else(|| pid.split_once('.').map_or("", |(_, at)| at)))
}

#[derive(Default, Deserialize)]
struct Auth {
    #[serde(default)]
    token: Option<String>,
    /// The session that the client had, and the last event of it that it has seen: Socket.IO's connection state
    /// recovery.
    #[serde(default)]
    pid: Option<String>,
    #[serde(default)]
    offset: Option<String>,
}

/// Waits for a CONNECT to the name space with a valid token.
async fn introduce(
    edge: &Arc<Edge>,
    socket: &mut WebSocket,
    header_token: Option<&str>,
) -> Result<Introduced, Option<CloseCode>> {
    for _ in 0..MAX_REFUSALS {
        let packet = text(socket).await?;
        if packet == ENGINE_CLOSE {
            return Err(None);
        }
        let Some(rest) = packet.strip_prefix(CONNECT) else {
            return Err(Some(CloseCode::Malformed));
        };
        let Some(auth) = rest.strip_prefix(NAMESPACE).or_else(|| bare(rest)) else {
            let (namespace, _) = rest.split_once(',').unwrap_or((rest, ""));
            refuse_namespace(socket, namespace).await?;
            continue;
        };
        let auth: Auth = if auth.is_empty() {
            Auth::default()
        } else {
            serde_json::from_str(auth).unwrap_or_default()
        };
        match admit(edge, auth, header_token).await {
            Ok(introduced) => return Ok(introduced),
            Err(error) => refuse(socket, &error).await?,
        }
    }
    Err(Some(CloseCode::Unauthenticated))
}

async fn admit(
    edge: &Arc<Edge>,
    auth: Auth,
    header_token: Option<&str>,
) -> Result<Introduced, ApiError> {
    let token = auth.token.as_deref().or(header_token);
    let token = token.ok_or_else(|| ApiError::new(Code::Unauthenticated, "a token is needed"))?;
    let caller = edge.caller(token)?;
    let start = resume::start(edge, cursor(&auth)).await?;
    let session = Session::admit(edge, caller, Protocol::SocketIo, start).await?;
    let pid = auth.pid.filter(|_| matches!(start, Start::Since(_)));
    Ok(Introduced { session, start, pid })
}

/// A CONNECT without a payload may leave the comma out.
fn bare(rest: &str) -> Option<&str> {
    (rest == NAMESPACE.trim_end_matches(',')).then_some("")
}

async fn refuse(socket: &mut WebSocket, error: &ApiError) -> Result<(), Option<CloseCode>> {
    let body = json!({ "message": error.detail, "data": { "code": error.code.as_str() } });
    send(socket, format!("{CONNECT_ERROR}{NAMESPACE}{body}")).await.map_err(|_| None)
}

async fn refuse_namespace(
    socket: &mut WebSocket,
    namespace: &str,
) -> Result<(), Option<CloseCode>> {
    // The name comes back to the one who sent it, if it is one: the root has none.
    let known = namespace.starts_with('/') && namespace.len() <= 64;
    let prefix = if known { format!("{namespace},") } else { String::new() };
    let body = json!({ "message": "Invalid namespace" });
    send(socket, format!("{CONNECT_ERROR}{prefix}{body}")).await.map_err(|_| None)
}

async fn text(socket: &mut WebSocket) -> Result<String, Option<CloseCode>> {
    loop {
        match socket.recv().await {
            None | Some(Ok(Message::Close(_))) => return Err(None),
            Some(Err(cause)) => return Err(fault(cause)),
            Some(Ok(Message::Text(text))) if text.as_str() == PONG => {}
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_))) => return Err(Some(CloseCode::Malformed)),
        }
    }
}

async fn send(socket: &mut WebSocket, packet: String) -> Result<(), axum::Error> {
    socket.send(Message::Text(packet.into())).await
}

/// Does what a packet asks.
///
/// # Errors
/// The code to close with when it is not of the protocol, or none when the client leaves.
pub async fn receive(session: &mut Session, packet: &str) -> Result<(), Option<CloseCode>> {
    if packet == PONG {
        return Ok(());
    }
    if packet == ENGINE_CLOSE || packet.starts_with(DISCONNECT) {
        return Err(None);
    }
    if let Some(event) = packet.strip_prefix(EVENT).and_then(|rest| rest.strip_prefix(NAMESPACE)) {
        let event = read(event).ok_or(Some(CloseCode::Malformed))?;
        let to = ReplyTo::SocketIo(event.ack);
        ops::handle(session, to, &event.name, event.data.map_or("{}", RawValue::get)).await;
        return Ok(());
    }
    if let Some(rest) = packet.strip_prefix(CONNECT) {
        // Another name space on the same transport: refused, and this one goes on.
        let (namespace, _) = rest.split_once(',').unwrap_or((rest, ""));
        if namespace != NAMESPACE.trim_end_matches(',') && namespace.len() <= 64 {
            let prefix =
                if namespace.starts_with('/') { format!("{namespace},") } else { String::new() };
            let refusal = format!("{CONNECT_ERROR}{prefix}{{\"message\":\"Invalid namespace\"}}");
            session.queue(Content::plain(refusal));
            return Ok(());
        }
    }
    Err(Some(CloseCode::Malformed))
}

struct Event<'a> {
    ack: Option<u64>,
    name: String,
    data: Option<&'a RawValue>,
}

/// `12["sendMessage",{…}]`: the number asks for an acknowledgement.
fn read(packet: &str) -> Option<Event<'_>> {
    let array = packet.find('[')?;
    let (number, array) = packet.split_at(array);
    let ack = if number.is_empty() { None } else { Some(number.parse().ok()?) };
    let parts: Vec<&RawValue> = serde_json::from_str(array).ok()?;
    let (name, arguments) = parts.split_first()?;
    let name = serde_json::from_str(name.get()).ok()?;
    Some(Event { ack, name, data: arguments.first().copied() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_websocket_of_protocol_four_is_served() {
        assert_eq!(check("EIO=4&transport=websocket"), Ok(()));
        assert_eq!(check("EIO=4&transport=polling&t=x").map_err(|r| r.code), Err(0));
        assert_eq!(check("EIO=3&transport=websocket").map_err(|r| r.code), Err(5));
        assert_eq!(check("").map_err(|r| r.code), Err(5));
    }

    #[test]
    fn events_may_ask_for_an_acknowledgement() {
        let event = read(r#"12["typing",{"isTyping":true}]"#).expect("an event");
        assert_eq!((event.ack, event.name.as_str()), (Some(12), "typing"));
        assert_eq!(event.data.map(RawValue::get), Some(r#"{"isTyping":true}"#));
        let event = read(r#"["ping"]"#).expect("an event");
        assert!(event.ack.is_none() && event.data.is_none());
        for malformed in ["", "[]", "12", "x[\"ping\"]", "[1]", "[\"ping\"", "-1[\"ping\"]"] {
            assert!(read(malformed).is_none(), "{malformed}");
        }
    }
}
