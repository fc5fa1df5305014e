//! Who is alerted of what, on which devices, and how often, whatever happens to those who send.

mod explained;
mod rules;
mod slots;
mod trouble;
mod workers;

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::harness::fcm::{FakeFcm, Pushed, device};
use crate::harness::flow::{self, UNPACED, eventually};
use crate::harness::{Rest, User, World, Ws};

/// Times that let a test end soon. Nodes count as known a second after the first start.
const QUICK: &[(&str, &str)] = &[
    ("MESSAGING_PUSH_GRACE", "1s"),
    ("MESSAGING_PRESENCE_GRACE", "100ms"),
    ("MESSAGING_PRESENCE_NODE_TTL", "1s"),
    ("MESSAGING_FCM_TIMEOUT", "500ms"),
    ("MESSAGING_PUSH_LEASE", "1500ms"),
];

/// A world whose first node serves clients and sends, and a fake of Google.
struct Scene {
    world: World,
    fcm: FakeFcm,
}

impl Scene {
    /// One node does everything.
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(settings: &[(&str, &str)]) -> Self {
        let (mut world, fcm) = tokio::join!(World::without_nodes(), FakeFcm::start());
        add(&mut world, &fcm, &[], settings).await;
        let scene = Self { world, fcm };
        scene.presence_is_known().await;
        scene
    }

    /// The first node serves clients and writes, and nobody sends yet.
    async fn without_push() -> Self {
        let (mut world, fcm) = tokio::join!(World::without_nodes(), FakeFcm::start());
        add(&mut world, &fcm, &["--role", "edge,persister"], &[]).await;
        Self { world, fcm }
    }

    /// Adds a process that only sends, and returns its index.
    async fn add_worker(&mut self, settings: &[(&str, &str)]) -> usize {
        let index = add(&mut self.world, &self.fcm, &["--role", "push"], settings).await;
        let process = self.world.nodes()[index].process.clone();
        eventually("the worker follows presence", async || {
            process.stderr.text().contains("presence is followed").then_some(())
        })
        .await;
        index
    }

    /// Waits until somebody without a connection is alerted at once.
    async fn presence_is_known(&self) {
        let process = self.world.node().process.clone();
        eventually("presence is followed", async || {
            process.stderr.text().contains("presence is followed").then_some(())
        })
        .await;
    }

    fn rest(&self, user: &User) -> Rest {
        self.world.node().rest(user)
    }

    async fn ws(&self, user: &User) -> Ws {
        self.world.node().ws(user).await
    }

    /// A new user with a phone: the user, and the phone's token.
    async fn somebody(&self, name: &str) -> (User, String) {
        let user = self.world.user(name);
        let token = device(&self.world, &user, "android").await;
        (user, token)
    }

    /// Waits until everything in the log was looked at twice, and nothing waits to be sent.
    async fn settled(&self) {
        self.world.persisted().await;
        let last = i64::try_from(self.world.last_seq().await).expect("small");
        let database = self.world.database.client().await;
        let sql =
            "SELECT (SELECT min(last_seq) FROM progress WHERE name IN ('push', 'push-grace')) >= $1
                      AND NOT EXISTS (SELECT FROM push_jobs)";
        eventually("everything is decided and sent", async || {
            let row = database.query_one(sql, &[&last]).await.expect("a row");
            row.get::<_, bool>(0).then_some(())
        })
        .await;
    }

    /// What has come for a token.
    async fn received(&self, token: &str) -> Vec<Pushed> {
        let all = self.fcm.received().await;
        all.into_iter().filter(|pushed| pushed.token == token).collect()
    }

    /// Waits for the next notification for a token, behind those of that number.
    async fn next(&self, token: &str, behind: u64) -> Pushed {
        let is_next = |p: &Pushed| (p.token == token && p.number > behind).then(|| p.clone());
        self.fcm.find(is_next).await
    }

    /// The number of the last that has come.
    async fn last(&self) -> u64 {
        self.fcm.received().await.last().map_or(0, |pushed| pushed.number)
    }

    async fn mute(&self, user: &User, conversation: Uuid) {
        let path = format!("/conversations/{conversation}/mute");
        self.rest(user).post(&path, json!({})).await.expect(200);
    }

    async fn unread(&self, user: &User) -> u64 {
        self.rest(user).get("/unread").await.expect(200)["total"].as_u64().expect("a number")
    }

    async fn read(&self, user: &User, conversation: Uuid, message: Option<Uuid>) {
        let path = format!("/conversations/{conversation}/mark-read");
        let body = message.map_or(json!({}), |id| json!({ "messageId": id }));
        self.rest(user).post(&path, body).await.expect(200);
    }
}

async fn add(world: &mut World, fcm: &FakeFcm, arguments: &[&str], more: &[(&str, &str)]) -> usize {
    let google = fcm.settings();
    let google: Vec<(&str, &str)> =
        google.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let settings = [UNPACED, QUICK, &google, more].concat();
    world.add_node_with(arguments, &settings).await
}

/// The badge that a notification sets.
fn badge(pushed: &Pushed) -> Option<u64> {
    pushed.message["apns"]["payload"]["aps"]["badge"].as_u64()
}

/// What it says.
fn says(pushed: &Pushed) -> String {
    pushed.shown().unwrap_or_else(|| format!("({})", pushed.kind()))
}

/// Long enough for whatever is decided at once on a busy machine, and shorter than any grace that is set to this.
const LONG_GRACE: (&str, &str) = ("MESSAGING_PUSH_GRACE", "60s");

/// So late is late.
const SECOND: Duration = Duration::from_secs(1);
