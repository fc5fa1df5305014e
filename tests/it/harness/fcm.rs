//! Google as a process of its own: `messaging fake-fcm`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::node::command;
use super::process::Process;
use super::{PATIENCE, User, World, tools};

/// A running fake of FCM and its token server.
pub struct FakeFcm {
    /// `http://127.0.0.1:<port>`
    pub url: String,
    /// The service account that it knows.
    pub account: PathBuf,
    process: Process,
    client: reqwest::Client,
}

/// What the fake has received of one message.
#[derive(Debug, Clone)]
pub struct Pushed {
    pub number: u64,
    /// Since the fake has started.
    pub at: Duration,
    pub token: String,
    /// Whether a device would get to see it.
    pub delivered: bool,
    /// FCM's `message`.
    pub message: Value,
}

impl Pushed {
    /// What is shown, as "title: body"; `None` when nothing is.
    pub fn shown(&self) -> Option<String> {
        let notification = &self.message["notification"];
        Some(format!("{}: {}", notification["title"].as_str()?, notification["body"].as_str()?))
    }

    /// `data.type`.
    pub fn kind(&self) -> &str {
        self.message["data"]["type"].as_str().unwrap_or_default()
    }

    /// Whether the device makes a sound.
    pub fn rings(&self) -> bool {
        self.message["android"]["notification"]["sound"] == "default"
    }
}

impl FakeFcm {
    /// Starts one.
    pub async fn start() -> Self {
        let account = tools::folder("fcm").join("account.json");
        let path = account.display().to_string();
        let command = command(&["fake-fcm", "--account", &path], &[]);
        let starting = tokio::task::spawn_blocking(move || {
            let process = Process::start("messaging fake-fcm", command, libc::SIGKILL);
            let ready = |line: &str| line.strip_prefix("READY ").map(str::to_owned);
            let url = process.stdout.wait_for(PATIENCE, ready);
            (process, url)
        });
        let (process, url) = starting.await.expect("starting does not panic");
        let Some(url) = url else {
            panic!("the fake FCM does not start; it said:\n{}", process.stderr.text())
        };
        let client = reqwest::Client::builder().timeout(PATIENCE * 2).build().expect("a client");
        Self { url, account, process, client }
    }

    /// The environment of a node that sends to this one.
    pub fn settings(&self) -> Vec<(String, String)> {
        vec![
            ("GOOGLE_APPLICATION_CREDENTIALS".into(), self.account.display().to_string()),
            ("MESSAGING_FCM_URL".into(), self.url.clone()),
        ]
    }

    /// Everything received, as soon as that many messages have come since the start; after some time with what
    /// has come by then.
    pub async fn wait_for(&self, at_least: u64, within: Duration) -> Vec<Pushed> {
        let path = format!("/fake/pushes?atLeast={at_least}&withinMs={}", within.as_millis());
        let pushes = self.client.get(format!("{}{path}", self.url)).send().await;
        let pushes: Vec<Value> = pushes.expect("an answer").json().await.expect("JSON");
        pushes.into_iter().map(pushed).collect()
    }

    /// The same, and fails when they do not come.
    pub async fn expect(&self, at_least: usize) -> Vec<Pushed> {
        let pushes = self.wait_for(at_least as u64, PATIENCE).await;
        assert!(pushes.len() >= at_least, "{} of {at_least} came: {pushes:#?}", pushes.len());
        pushes
    }

    /// What has been received by now.
    pub async fn received(&self) -> Vec<Pushed> {
        self.wait_for(0, Duration::ZERO).await
    }

    /// Waits for a message about which `look` says something.
    pub async fn find<R>(&self, look: impl Fn(&Pushed) -> Option<R>) -> R {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut pushes = self.received().await;
        loop {
            if let Some(found) = pushes.iter().find_map(&look) {
                return found;
            }
            assert!(tokio::time::Instant::now() < deadline, "it does not come: {pushes:#?}");
            let seen = pushes.last().map_or(0, |last| last.number);
            pushes = self.wait_for(seen + 1, Duration::from_secs(1)).await;
        }
    }

    /// How many were received, delivered and so on.
    pub async fn counts(&self) -> Value {
        let counts = self.client.get(format!("{}/fake/counts", self.url)).send().await;
        counts.expect("an answer").json().await.expect("JSON")
    }

    /// How all messages are answered that have no rule of their own, such as `{"kind": "unregistered"}`.
    pub async fn behave(&self, behaviour: Value) {
        self.put("behaviour", json!({ "behaviour": behaviour })).await;
    }

    /// The same for the next so many messages to all.
    pub async fn behave_times(&self, times: u64, behaviour: Value) {
        self.put("behaviour", json!({"times": times, "behaviour": behaviour})).await;
    }

    /// The same for one device.
    pub async fn behave_for(&self, token: &str, behaviour: Value) {
        self.put("behaviour", json!({"token": token, "behaviour": behaviour})).await;
    }

    /// How access tokens are given out: `refuse`, `down`, `lifeSeconds`, `revoke`.
    pub async fn tokens(&self, order: Value) {
        self.put("tokens", order).await;
    }

    async fn put(&self, what: &str, order: Value) {
        let url = format!("{}/fake/{what}", self.url);
        let answer = self.client.put(url).json(&order).send().await.expect("an answer");
        assert_eq!(answer.status(), 204, "{order}");
    }
}

fn pushed(push: Value) -> Pushed {
    Pushed {
        number: push["number"].as_u64().expect("a number"),
        at: Duration::from_millis(push["atMs"].as_u64().expect("a time")),
        token: push["token"].as_str().expect("a token").to_owned(),
        delivered: push["delivered"].as_bool().expect("a verdict"),
        message: push["message"].clone(),
    }
}

impl Drop for FakeFcm {
    fn drop(&mut self) {
        let status = self.process.stop(libc::SIGTERM);
        if !std::thread::panicking() {
            assert!(status.success(), "the fake FCM did not stop cleanly ({status})");
        }
    }
}

/// Registers a device of `user` on the world's first node and returns its token.
pub async fn device(world: &World, user: &User, platform: &str) -> String {
    let token = format!("{}-{}", user.name.to_lowercase(), uuid::Uuid::new_v4());
    let body = json!({"token": token, "platform": platform});
    world.node().rest(user).post("/devices", body).await.expect(201);
    token
}
