//! A native WebSocket client.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::PATIENCE;

/// One connection. Events that arrive while something else is awaited are kept, in order.
pub struct Ws {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    events: VecDeque<Value>,
    next_id: u64,
    /// The data of the first frame.
    pub connected: Value,
}

/// A connection that somebody holds in the hand without doing anything; see [`Ws::listen`].
pub struct Listening(tokio::task::AbortHandle);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ws {
    /// Connects with a token in the header and waits for `connected`.
    pub async fn connect(node: &str, token: &str) -> Self {
        Self::connect_to(node, "", token).await
    }

    /// The same with a query, such as `?cursor=…`.
    pub async fn connect_to(node: &str, query: &str, token: &str) -> Self {
        let mut ws = Self::open(node, query, Some(token)).await;
        ws.connected = ws.event("connected").await["data"].take();
        ws
    }

    /// Opens the socket and awaits nothing.
    pub async fn open(node: &str, query: &str, token: Option<&str>) -> Self {
        let url = format!("{}/messaging/ws{query}", node.replacen("http", "ws", 1));
        let mut request = url.into_client_request().expect("a request");
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("a header value");
            request.headers_mut().insert("authorization", value);
        }
        let (socket, _) = timeout(PATIENCE, connect_async(request))
            .await
            .expect("an answer in time")
            .expect("the node accepts the WebSocket");
        Self { socket, events: VecDeque::new(), next_id: 1, connected: Value::Null }
    }

    /// Sends a request and awaits its reply: the data, or the error.
    pub async fn request(&mut self, op: &str, data: Value) -> Result<Value, Value> {
        let id = self.send(op, data).await;
        self.reply(id).await
    }

    /// Sends a request without awaiting the reply.
    pub async fn send(&mut self, op: &str, data: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send_text(&json!({"id": id, "op": op, "data": data}).to_string()).await;
        id
    }

    /// The reply to a request sent earlier.
    pub async fn reply(&mut self, id: u64) -> Result<Value, Value> {
        let is_reply = |frame: &Value| frame.get("event").is_none() && frame["id"] == id;
        let mut frame = self.find(is_reply, &format!("the reply to {id}")).await;
        if frame["ok"] == true { Ok(frame["data"].take()) } else { Err(frame["error"].take()) }
    }

    /// The next event of that name: the whole frame, with `cursor` and `data`.
    pub async fn event(&mut self, name: &str) -> Value {
        self.find(|frame| frame["event"] == name, name).await
    }

    /// Makes sure that no such event comes for a while.
    pub async fn no_event(&mut self, name: &str, during: Duration) {
        let unwanted = timeout(during, self.find(|frame| frame["event"] == name, name)).await;
        assert!(unwanted.is_err(), "unexpected {name}: {unwanted:?}");
    }

    /// Makes sure that no such event has come before what was awaited last.
    #[track_caller]
    pub fn has_no_more(&self, name: &str) {
        let unwanted = self.events.iter().find(|frame| frame["event"] == name);
        assert!(unwanted.is_none(), "unexpected {name}: {unwanted:?}");
    }

    /// Frames that came while something else was awaited, oldest first.
    pub fn kept(&self) -> &VecDeque<Value> {
        &self.events
    }

    /// Takes the oldest frame that came while something else was awaited.
    pub fn take_kept(&mut self) -> Option<Value> {
        self.events.pop_front()
    }

    /// Takes out the events of that name that have come before what was awaited last.
    pub fn take_events(&mut self, name: &str) -> Vec<Value> {
        let all: Vec<Value> = self.events.drain(..).collect();
        let (taken, kept): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|frame| frame["event"] == name);
        self.events = kept.into();
        taken
    }

    /// As [`Self::send`], on a connection that the node may have ended.
    pub async fn try_send(&mut self, op: &str, data: Value) -> Result<u64, ()> {
        let id = self.next_id;
        self.next_id += 1;
        let frame = json!({"id": id, "op": op, "data": data}).to_string();
        self.socket.send(Message::text(frame)).await.map(|()| id).map_err(|_| ())
    }

    /// Goes on reading, and with that answering pings, until this is dropped.
    pub fn listen(mut self) -> Listening {
        let reading =
            tokio::spawn(async move { while let Some(Ok(_)) = self.socket.next().await {} });
        Listening(reading.abort_handle())
    }

    /// The next frame, or the code that the node closes the connection with (1006 without one).
    pub async fn next_frame(&mut self) -> Result<Value, u16> {
        loop {
            if let Some(frame) = self.events.pop_front() {
                return Ok(frame);
            }
            let message = timeout(PATIENCE, self.socket.next()).await.expect("a frame in time");
            match message {
                Some(Ok(Message::Close(Some(frame)))) => return Err(frame.code.into()),
                Some(Ok(message)) => self.keep(&message),
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// Any text.
    pub async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("the node takes the frame");
    }

    /// The code the node closes the connection with; what came before it is kept.
    pub async fn closed(&mut self) -> u16 {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.expect("a close in time");
            match message {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(message)) => self.keep(&message),
                Some(Err(_)) | None => return 1006,
            }
        }
    }

    async fn find(&mut self, wanted: impl Fn(&Value) -> bool, what: &str) -> Value {
        if let Some(at) = self.events.iter().position(&wanted) {
            return self.events.remove(at).expect("it is there");
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let message = tokio::time::timeout_at(deadline, self.socket.next())
                .await
                .unwrap_or_else(|_| panic!("no {what} in time; kept: {:?}", self.events));
            match message {
                Some(Ok(Message::Close(frame))) => {
                    panic!("closed ({frame:?}) while awaiting {what}")
                }
                Some(Ok(message)) => self.keep(&message),
                other => panic!("{other:?} while awaiting {what}"),
            }
            if self.events.back().is_some_and(&wanted) {
                return self.events.pop_back().expect("it is there");
            }
        }
    }

    fn keep(&mut self, message: &Message) {
        if let Message::Text(text) = message {
            self.events.push_back(serde_json::from_str(text).expect("frames are JSON"));
        }
    }
}
