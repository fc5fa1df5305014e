//! The native protocol: JSON text frames.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::edge::Edge;
use crate::edge::hub::frames::Event;
use crate::edge::hub::queue::Frame;
use crate::edge::resume::{self, Start};
use crate::telemetry::metrics::Protocol;
use crate::wire::error::{ApiError, CloseCode};
use crate::wire::frames::{Connect, Connected};

use super::reply::ReplyTo;
use super::session::{Session, fault};
use super::{catch_up, ops};

/// The sub-protocol that the server picks.
pub const SUBPROTOCOL: &str = "messaging.v1";
/// Browsers cannot set headers: they offer this sub-protocol with the token behind it.
const BEARER: &str = "bearer.";
/// Longest `id` of a request, as text: a 64-bit number or a UUID with its quotes.
const MAX_ID: usize = 40;

/// The token in `Sec-WebSocket-Protocol: messaging.v1, bearer.<jwt>`.
pub fn token_in_subprotocols(headers: &HeaderMap) -> Option<String> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    offered
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|protocol| protocol.trim().strip_prefix(BEARER).map(str::to_owned))
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Opens a connection; one that is refused has been closed.
pub async fn open(
    edge: Arc<Edge>,
    mut socket: WebSocket,
    token: Option<String>,
    cursor: Option<String>,
) -> Option<(Session, WebSocket)> {
    let (reply, token, cursor) = match token {
        Some(token) => (None, token, cursor),
        None => match super::in_time(&edge, connect(&mut socket)).await {
            Ok((to, connect)) => (Some(to), connect.token, connect.cursor.or(cursor)),
            Err(code) => {
                super::close(socket, code?).await;
                return None;
            }
        },
    };
    let (mut session, start) = match admit(&edge, &token, cursor.as_deref()).await {
        Ok(admitted) => admitted,
        Err(error) => {
            refuse(socket, reply, &error).await;
            return None;
        }
    };
    let greeting = connected(&session, start);
    socket.send(Message::Text(greeting.text.clone())).await.ok()?;
    if let Some(frame) = reply.and_then(|to| to.ok(b"{}")) {
        socket.send(Message::Text(frame.text.clone())).await.ok()?;
    }
    if let Err(code) = catch_up::run(&mut session, &mut socket, start).await {
        super::close(socket, code?).await;
        return None;
    }
    Some((session, socket))
}

async fn admit(
    edge: &Arc<Edge>,
    token: &str,
    cursor: Option<&str>,
) -> Result<(Session, Start), ApiError> {
    let caller = edge.caller(token)?;
    let start = resume::start(edge, cursor).await?;
    Ok((Session::admit(edge, caller, Protocol::Native, start).await?, start))
}

/// Waits for the frame that says who it is.
async fn connect(socket: &mut WebSocket) -> Result<(ReplyTo, Connect), Option<CloseCode>> {
    loop {
        let text = match socket.recv().await {
            None => return Err(None),
            Some(Err(cause)) => return Err(fault(cause)),
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Close(_))) => return Err(None),
            Some(Ok(Message::Binary(_))) => return Err(Some(CloseCode::Malformed)),
        };
        let request = read(&text).ok_or(Some(CloseCode::Malformed))?;
        if request.op != "connect" {
            return Err(Some(CloseCode::Unauthenticated));
        }
        let data = request.data.map_or("{}", RawValue::get);
        let connect = serde_json::from_str(data).map_err(|_| Some(CloseCode::Unauthenticated))?;
        return Ok((ReplyTo::Native(request.id.get().into()), connect));
    }
}

async fn refuse(mut socket: WebSocket, reply: Option<ReplyTo>, error: &ApiError) {
    if let Some(frame) = reply.and_then(|to| to.error(error)) {
        // If it does not arrive, the close code says the same.
        let _ = socket.send(Message::Text(frame.text.clone())).await;
    }
    super::close(socket, super::refusal_code(error)).await;
}

fn connected(session: &Session, start: Start) -> Frame {
    let edge = &session.edge;
    let data = serde_json::json!(Connected {
        connection_id: session.connection.id,
        user_id: session.caller.user_id,
        recovered: matches!(start, Start::Since(_)),
        cursor: catch_up::cursor(session).to_string(),
        heartbeat_seconds: edge.settings.heartbeat.as_secs(),
        limits: edge.limits.stated(&edge.settings),
    });
    Event::passing("connected", data.to_string().as_bytes()).frame(Protocol::Native)
}

/// Does what a frame asks.
///
/// # Errors
/// The code to close with when the frame is not of the protocol.
pub async fn receive(session: &mut Session, text: &str) -> Result<(), Option<CloseCode>> {
    let request = read(text).ok_or(Some(CloseCode::Malformed))?;
    let to = ReplyTo::Native(request.id.get().into());
    let data = request.data.map_or("{}", RawValue::get);
    ops::handle(session, to, &request.op, data).await;
    Ok(())
}

fn read(text: &str) -> Option<Request<'_>> {
    // An array with the fields in their order would be read as well, and is not of the protocol.
    let request: Request<'_> =
        text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok())??;
    let id = request.id.get();
    // A number or a short string comes back as it was; anything else is no id.
    let fine =
        id.len() <= MAX_ID && id.starts_with(|c: char| c.is_ascii_digit() || c == '"' || c == '-');
    fine.then_some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_need_an_id_and_an_operation() {
        assert!(read(r#"{"id":7,"op":"ping"}"#).is_some());
        assert!(read(r#"{"id":"a","op":"ping","data":{"x":1},"more":true}"#).is_some());
        for malformed in [
            "",
            "null",
            "[]",
            r#"[7,"ping"]"#,
            r#"{"op":"ping"}"#,
            r#"{"id":7}"#,
            r#"{"id":{"a":1},"op":"ping"}"#,
            r#"{"id":null,"op":"ping"}"#,
            r#"{"id":7,"op":8}"#,
            r#"{"id":7,"op":"ping""#,
        ] {
            assert!(read(malformed).is_none(), "{malformed}");
        }
        let long = format!(r#"{{"id":"{}","op":"ping"}}"#, "x".repeat(MAX_ID));
        assert!(read(&long).is_none());
    }

    #[test]
    fn browsers_offer_their_token_as_a_subprotocol() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            "messaging.v1, bearer.a.b.c".parse().expect("a header"),
        );
        assert_eq!(token_in_subprotocols(&headers).as_deref(), Some("a.b.c"));
        assert_eq!(token_in_subprotocols(&HeaderMap::new()), None);
    }
}
