//! A connection of a client, in either protocol, that may break at any moment.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::harness::raw::{NATIVE, SOCKET_IO};

/// How long a client waits for a connection to open.
const OPENING: Duration = Duration::from_secs(5);
/// Close code of a connection that broke without one.
pub const BROKEN: u16 = 1006;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Native,
    SocketIo,
}

/// How far a client is, as it keeps it.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The native cursor, or Socket.IO's offset.
    pub cursor: Option<String>,
    /// Socket.IO's private id.
    pub pid: Option<String>,
}

/// What comes in.
#[derive(Debug)]
pub enum Incoming {
    Event {
        name: String,
        cursor: Option<String>,
        data: Value,
    },
    /// The data, or the error.
    Reply {
        id: u64,
        result: Result<Value, Value>,
    },
    /// Against the protocol.
    Malformed(String),
    /// A sign of life.
    Nothing,
}

/// The connection is gone, or was never there, with this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone(pub u16);

pub struct Link {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    protocol: Protocol,
    next_id: u64,
}

/// A connection that stands.
pub struct Opened {
    pub link: Link,
    /// The service goes on where `place` was.
    pub recovered: bool,
    /// What to come back with until an event says something newer.
    pub place: Place,
}

impl Link {
    /// Opens a connection at `http://…` and introduces the client.
    pub async fn open(
        url: &str,
        protocol: Protocol,
        token: &str,
        place: &Place,
    ) -> Result<Opened, Gone> {
        let opening = async {
            match protocol {
                Protocol::Native => Self::native(url, token, place).await,
                Protocol::SocketIo => Self::socket_io(url, token, place).await,
            }
        };
        timeout(OPENING, opening).await.unwrap_or(Err(Gone(BROKEN)))
    }

    async fn native(url: &str, token: &str, place: &Place) -> Result<Opened, Gone> {
        let query = place.cursor.as_ref().map_or(String::new(), |c| format!("?cursor={c}"));
        let mut link =
            Self::upgrade(&format!("{url}{NATIVE}{query}"), Some(token), Protocol::Native).await?;
        match link.next().await? {
            Incoming::Event { name, data, .. } if name == "connected" => {
                let cursor = data["cursor"].as_str().map(str::to_owned);
                // One that was refused is told so by `reset`, behind which the new one counts.
                let recovered = data["recovered"] == true;
                let kept = if recovered { place.cursor.clone() } else { cursor };
                Ok(Opened { link, recovered, place: Place { cursor: kept, pid: None } })
            }
            _ => Err(Gone(BROKEN)),
        }
    }

    async fn socket_io(url: &str, token: &str, place: &Place) -> Result<Opened, Gone> {
        let mut link =
            Self::upgrade(&format!("{url}{SOCKET_IO}"), None, Protocol::SocketIo).await?;
        link.text().await?;
        // As the stock client does: what recovers the connection stands beside the credentials.
        let mut auth = json!({"token": token});
        if let (Some(pid), Some(offset)) = (&place.pid, &place.cursor) {
            auth["pid"] = pid.as_str().into();
            auth["offset"] = offset.as_str().into();
        }
        link.send_text(format!("40/messaging,{auth}")).await?;
        let answer = link.text().await?;
        if let Some(refusal) = answer.strip_prefix("44/messaging,") {
            let refusal: Value = serde_json::from_str(refusal).unwrap_or_default();
            let code = if refusal["data"]["code"] == "unauthenticated" { 4401 } else { 4503 };
            return Err(Gone(code));
        }
        let accepted = answer.strip_prefix("40/messaging,").ok_or(Gone(BROKEN))?;
        let accepted: Value = serde_json::from_str(accepted).map_err(|_| Gone(BROKEN))?;
        let pid = accepted["pid"].as_str().map(str::to_owned);
        // The stock client takes the same private id for the sign.
        let recovered = pid.is_some() && pid == place.pid;
        let cursor = if recovered { place.cursor.clone() } else { None };
        Ok(Opened { link, recovered, place: Place { cursor, pid } })
    }

    async fn upgrade(url: &str, token: Option<&str>, protocol: Protocol) -> Result<Self, Gone> {
        let url = url.replacen("http", "ws", 1);
        let mut request = url.into_client_request().map_err(|_| Gone(BROKEN))?;
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().map_err(|_| Gone(BROKEN))?;
            request.headers_mut().insert("authorization", value);
        }
        let (socket, _) = connect_async(request).await.map_err(|_| Gone(BROKEN))?;
        Ok(Self { socket, protocol, next_id: 1 })
    }

    /// Sends a request; its number is the reply's.
    pub async fn request(&mut self, op: &str, data: &Value) -> Result<u64, Gone> {
        let id = self.next_id;
        self.next_id += 1;
        let text = match self.protocol {
            Protocol::Native => json!({"id": id, "op": op, "data": data}).to_string(),
            Protocol::SocketIo => format!("42/messaging,{id}{}", json!([op, data])),
        };
        self.send_text(text).await?;
        Ok(id)
    }

    async fn send_text(&mut self, text: String) -> Result<(), Gone> {
        // A network that takes nothing any more must not hold the client.
        let sent = timeout(OPENING, self.socket.send(Message::text(text))).await;
        sent.map_err(|_| Gone(BROKEN))?.map_err(|_| Gone(BROKEN))
    }

    /// The next frame. May be given up and asked again.
    pub async fn next(&mut self) -> Result<Incoming, Gone> {
        let text = match self.socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(Some(frame)))) => return Err(Gone(frame.code.into())),
            Some(Ok(Message::Close(None)) | Err(_)) | None => return Err(Gone(BROKEN)),
            Some(Ok(_)) => return Ok(Incoming::Nothing),
        };
        match self.protocol {
            Protocol::Native => Ok(read_native(&text)),
            Protocol::SocketIo if text.as_str() == "2" => {
                self.send_text("3".to_owned()).await?;
                Ok(Incoming::Nothing)
            }
            Protocol::SocketIo => Ok(read_socket_io(&text)),
        }
    }

    async fn text(&mut self) -> Result<String, Gone> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Close(Some(frame)))) => return Err(Gone(frame.code.into())),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Err(Gone(BROKEN)),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        // It may be gone already, or stuck.
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}

fn read_native(text: &str) -> Incoming {
    let Ok(mut frame) = serde_json::from_str::<Value>(text) else {
        return Incoming::Malformed(text.to_owned());
    };
    if let Some(name) = frame["event"].as_str() {
        let (name, cursor) = (name.to_owned(), frame["cursor"].as_str().map(str::to_owned));
        return Incoming::Event { name, cursor, data: frame["data"].take() };
    }
    let Some(id) = frame["id"].as_u64() else { return Incoming::Nothing };
    let ok = frame["ok"] == true;
    let result = if ok { Ok(frame["data"].take()) } else { Err(frame["error"].take()) };
    Incoming::Reply { id, result }
}

fn read_socket_io(text: &str) -> Incoming {
    if let Some(event) = text.strip_prefix("42/messaging,") {
        let Ok(parts) = serde_json::from_str::<Vec<Value>>(event) else {
            return Incoming::Malformed(text.to_owned());
        };
        let mut parts = parts.into_iter();
        let name = parts.next().and_then(|name| name.as_str().map(str::to_owned));
        let data = parts.next().unwrap_or_default();
        let cursor = parts.next().and_then(|cursor| cursor.as_str().map(str::to_owned));
        return Incoming::Event { name: name.unwrap_or_default(), cursor, data };
    }
    let Some(reply) = text.strip_prefix("43/messaging,") else { return Incoming::Nothing };
    let Some((id, arguments)) = reply.find('[').map(|at| reply.split_at(at)) else {
        return Incoming::Nothing;
    };
    let Ok(mut arguments) = serde_json::from_str::<Vec<Value>>(arguments) else {
        return Incoming::Malformed(text.to_owned());
    };
    let data = arguments.pop().unwrap_or_default();
    let result = if data["success"] == true { Ok(data) } else { Err(data) };
    id.parse().map_or(Incoming::Nothing, |id| Incoming::Reply { id, result })
}
