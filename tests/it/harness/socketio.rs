//! The stock `socket.io-client` in a Node.js process of its own.

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::{Node, PATIENCE, User, tools};

/// One client. What arrives while something else is awaited is kept, in order.
pub struct SocketIo {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    kept: VecDeque<Value>,
    next_id: u64,
    /// Killed when this is dropped; and it ends by itself when its input closes.
    _process: Child,
}

impl SocketIo {
    /// Connects as `user` and waits for `connect`.
    pub async fn connect(node: &Node, user: &User) -> Self {
        let mut client = Self::open(node, &json!({"auth": {"token": user.token}}));
        client.event("connect").await;
        client
    }

    /// Starts a client with any options and awaits nothing.
    pub fn open(node: &Node, options: &Value) -> Self {
        Self::open_at(&format!("{}/messaging", node.url), options)
    }

    /// The same at any URL; its path is the namespace.
    pub fn open_at(url: &str, options: &Value) -> Self {
        let folder = tools::repository().join("tests/js");
        assert!(folder.join("node_modules").is_dir(), "`make setup` brings socket.io-client");
        let mut process = Command::new("node")
            .arg(folder.join("client.js"))
            .args([url, &options.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Node.js runs");
        let input = process.stdin.take().expect("a pipe");
        let output = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        Self { input, output, kept: VecDeque::new(), next_id: 1, _process: process }
    }

    /// Emits with a callback, and awaits the acknowledgement.
    pub async fn emit(&mut self, event: &str, data: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        self.write(&json!({"id": id, "event": event, "data": data})).await;
        self.find(|line| line["id"] == id, event).await["ack"].take()
    }

    /// The first argument of the next event of that name.
    pub async fn event(&mut self, name: &str) -> Value {
        self.arguments(name).await.into_iter().next().unwrap_or_default()
    }

    /// All arguments of the next event of that name.
    pub async fn arguments(&mut self, name: &str) -> Vec<Value> {
        let mut line = self.find(|line| line["event"] == name, name).await;
        match line["args"].take() {
            Value::Array(arguments) => arguments,
            other => panic!("{name} came with {other}"),
        }
    }

    /// Makes sure that no such event comes for a while.
    pub async fn no_event(&mut self, name: &str, during: Duration) {
        let unwanted = timeout(during, self.find(|line| line["event"] == name, name)).await;
        assert!(unwanted.is_err(), "unexpected {name}: {unwanted:?}");
    }

    async fn write(&mut self, line: &Value) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.expect("Node.js reads");
    }

    async fn find(&mut self, wanted: impl Fn(&Value) -> bool, what: &str) -> Value {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at).expect("it is there");
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let line = tokio::time::timeout_at(deadline, self.output.next_line())
                .await
                .unwrap_or_else(|_| panic!("no {what} in time; kept: {:?}", self.kept))
                .expect("a line")
                .unwrap_or_else(|| panic!("Node.js ended while {what} was awaited"));
            let line: Value = serde_json::from_str(&line).expect("lines are JSON");
            if wanted(&line) {
                return line;
            }
            self.kept.push_back(line);
        }
    }
}
