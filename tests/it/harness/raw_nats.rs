//! A client of NATS that hears what the server complains of, at once: after each step it asks for a pong.

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// One connection.
pub struct RawNats {
    stream: BufStream<TcpStream>,
    subscriptions: u32,
    /// What has arrived, subject and payload.
    arrived: Vec<(String, Vec<u8>)>,
}

impl RawNats {
    /// Connects; the error is the server's complaint.
    pub async fn connect(address: &str, user: &str, password: &str) -> Result<Self, String> {
        let connect = json!({"verbose": false, "headers": true, "user": user, "pass": password});
        Self::connect_as(address, &connect.to_string()).await
    }

    /// The same without saying who it is.
    pub async fn connect_anonymously(address: &str) -> Result<Self, String> {
        Self::connect_as(address, r#"{"verbose": false}"#).await
    }

    async fn connect_as(address: &str, connect: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.expect("a server listens");
        let mut raw =
            Self { stream: BufStream::new(stream), subscriptions: 0, arrived: Vec::new() };
        raw.write(format!("CONNECT {connect}\r\n").as_bytes()).await;
        raw.settle().await.map_or(Ok(raw), Err)
    }

    /// Publishes; what the server complains of, if it does.
    pub async fn publish(&mut self, subject: &str, payload: &str) -> Option<String> {
        self.publish_with_reply(subject, "", payload).await
    }

    /// The same with a subject for the answer.
    pub async fn publish_with_reply(
        &mut self,
        subject: &str,
        reply: &str,
        payload: &str,
    ) -> Option<String> {
        let length = payload.len();
        self.write(format!("PUB {subject} {reply} {length}\r\n{payload}\r\n").as_bytes()).await;
        self.settle().await
    }

    /// Subscribes; what the server complains of, if it does.
    pub async fn subscribe(&mut self, subject: &str) -> Option<String> {
        self.subscriptions += 1;
        self.write(format!("SUB {subject} {}\r\n", self.subscriptions).as_bytes()).await;
        self.settle().await
    }

    /// The next message: its subject and payload.
    pub async fn next(&mut self) -> (String, Vec<u8>) {
        while self.arrived.is_empty() {
            let line = self.line().await.expect("a message");
            self.take(&line).await;
        }
        self.arrived.remove(0)
    }

    /// Asks, and returns the answer; `inbox` was subscribed to.
    pub async fn request(&mut self, subject: &str, inbox: &str, payload: &str) -> String {
        let complaint = self.publish_with_reply(subject, inbox, payload).await;
        assert_eq!(complaint, None, "{subject}");
        String::from_utf8(self.next().await.1).expect("text")
    }

    async fn write(&mut self, bytes: &[u8]) {
        // The server may have hung up already, having said why.
        let _ = self.stream.write_all(bytes).await;
    }

    /// Waits until the server has dealt with everything so far; what it complained of, or that it hung up.
    async fn settle(&mut self) -> Option<String> {
        self.write(b"PING\r\n").await;
        let _ = self.stream.flush().await;
        let mut complaint = None;
        loop {
            let Some(line) = self.line().await else {
                return complaint.or_else(|| Some("hung up".to_owned()));
            };
            match line.strip_prefix("-ERR ") {
                Some(text) => complaint = complaint.or_else(|| Some(text.to_owned())),
                None if line == "PONG" => return complaint,
                None => self.take(&line).await,
            }
        }
    }

    /// Keeps a message, and answers a ping.
    async fn take(&mut self, line: &str) {
        let mut words = line.split(' ');
        match words.next() {
            Some("MSG" | "HMSG") => {
                let subject = words.next().expect("a subject").to_owned();
                let length: usize =
                    words.next_back().and_then(|n| n.parse().ok()).expect("a length");
                let mut payload = vec![0; length + 2];
                self.stream.read_exact(&mut payload).await.expect("a payload");
                payload.truncate(length);
                self.arrived.push((subject, payload));
            }
            Some("PING") => {
                self.write(b"PONG\r\n").await;
                let _ = self.stream.flush().await;
            }
            _ => {}
        }
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.stream.read_line(&mut line));
        match read.await.expect("the server says something") {
            Ok(1..) => Some(line.trim_end().to_owned()),
            Ok(0) | Err(_) => None,
        }
    }
}
