//! A WebSocket whose frames are looked at as they are, for either protocol and for frames of no protocol.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::PATIENCE;

/// What the native protocol is served on.
pub const NATIVE: &str = "/messaging/ws";
/// What Socket.IO is served on.
pub const SOCKET_IO: &str = "/socket.io/?EIO=4&transport=websocket";

/// One connection.
pub struct Raw {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The sub-protocol that the node picked.
    pub subprotocol: Option<String>,
}

/// What a connection says next.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    Text(String),
    /// The close code; 1006 when the connection broke without one.
    Closed(u16),
}

impl Raw {
    /// Opens a socket with these headers.
    pub async fn open(node: &str, path: &str, headers: &[(&'static str, &str)]) -> Self {
        let url = format!("{}{path}", node.replacen("http", "ws", 1));
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header value"));
        }
        let (socket, response) = timeout(PATIENCE, connect_async(request))
            .await
            .expect("an answer in time")
            .expect("the node accepts the WebSocket");
        let picked = response.headers().get("sec-websocket-protocol");
        let subprotocol = picked.map(|value| value.to_str().expect("text").to_owned());
        Self { socket, subprotocol }
    }

    /// Opens the native protocol with a token in the header and awaits nothing.
    pub async fn native(node: &str, token: &str) -> Self {
        Self::open(node, NATIVE, &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// Opens Socket.IO and joins the name space.
    pub async fn socket_io(node: &str, token: &str) -> Self {
        let mut raw = Self::open(node, SOCKET_IO, &[]).await;
        assert!(raw.text().await.starts_with("0{"), "Engine.IO opens");
        raw.send(&format!("40/messaging,{{\"token\":\"{token}\"}}")).await;
        let answer = raw.text().await;
        assert!(answer.starts_with("40/messaging,{"), "{answer}");
        raw
    }

    /// Sends a text frame. That the other side has closed meanwhile shows when it is read.
    pub async fn send(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    /// Sends any frame.
    pub async fn send_message(&mut self, message: Message) {
        let _ = timeout(PATIENCE, self.socket.send(message)).await.expect("it is taken in time");
    }

    /// The next text frame, or the end.
    pub async fn said(&mut self) -> Said {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a frame in time") {
                Some(Ok(Message::Text(text))) => return Said::Text(text.as_str().to_owned()),
                Some(Ok(Message::Close(Some(frame)))) => return Said::Closed(frame.code.into()),
                Some(Ok(Message::Close(None))) => return Said::Closed(1005),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Said::Closed(1006),
            }
        }
    }

    /// The next text frame.
    #[track_caller]
    pub fn text(&mut self) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        async move {
            match self.said().await {
                Said::Text(text) => text,
                Said::Closed(code) => panic!("closed with {code} at {caller}"),
            }
        }
    }

    /// The first text frame that begins like this.
    pub async fn text_with(&mut self, prefix: &str) -> String {
        loop {
            let text = self.text().await;
            if text.starts_with(prefix) {
                return text;
            }
        }
    }

    /// The close code, whatever comes before.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Said::Closed(code) = self.said().await {
                return code;
            }
        }
    }
}
