//! Everything one test needs.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use uuid::Uuid;

use super::Node;
use super::nats::Nats;
use super::postgres::{Database, Postgres};

/// What tokens of the tests are signed with.
pub const SECRET: &str = "a secret of the tests";

/// A NATS server, a database and nodes, of one test alone.
pub struct World {
    // In the order of their end: nodes first.
    nodes: Vec<Node>,
    pub nats: Nats,
    pub database: Database,
}

/// Someone with a token.
#[derive(Clone)]
pub struct User {
    pub id: Uuid,
    pub name: String,
    pub token: String,
}

impl World {
    /// Servers and one node.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with environment variables for the node.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut world = Self::without_nodes().await;
        world.add_node(settings).await;
        world
    }

    /// Servers only.
    pub async fn without_nodes() -> Self {
        Self::on("", Postgres::shared).await
    }

    /// Servers only, with a log that has room for so much: settings of JetStream.
    pub async fn with_log(jetstream: &'static str) -> Self {
        Self::on(jetstream, Postgres::shared).await
    }

    /// Servers only, with a Postgres that the test may break.
    pub async fn with_own_postgres() -> Self {
        Self::on("", Postgres::own).await
    }

    async fn on(
        jetstream: &'static str,
        postgres: impl FnOnce() -> &'static Postgres + Send + 'static,
    ) -> Self {
        let starting =
            tokio::task::spawn_blocking(|| (Nats::start(jetstream), postgres().database()));
        let (nats, database) = starting.await.expect("the servers start");
        Self { nodes: Vec::new(), nats, database }
    }

    /// The first node.
    pub fn node(&self) -> &Node {
        &self.nodes[0]
    }

    /// Any node, to break it.
    pub fn node_mut(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// Starts another node on the same servers; the index is for [`Self::nodes`].
    pub async fn add_node(&mut self, settings: &[(&str, &str)]) -> usize {
        self.add_node_with(&[], settings).await
    }

    /// The same with arguments, such as `["--role", "edge"]`.
    pub async fn add_node_with(&mut self, arguments: &[&str], settings: &[(&str, &str)]) -> usize {
        let node = Node::start(arguments, &self.settings(settings)).await;
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The environment of a node of this world, with `more` on top.
    pub fn settings(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let nats = self.nats.url();
        let mut settings = vec![
            ("MESSAGING_HOST", "127.0.0.1"),
            ("MESSAGING_PORT", "0"),
            ("JWT_ACCESS_SECRET", SECRET),
            ("NATS_URL", &nats),
            ("POSTGRES_URL", &self.database.url),
            ("MESSAGING_POSTGRES_POOL_SIZE", "6"),
            ("MESSAGING_LOG", "info,refinery_core=warn"),
            ("MESSAGING_LOG_FORMAT", "json"),
            // Tests end quickly; the test of draining has a window of its own.
            ("MESSAGING_DRAIN_WINDOW", "100ms"),
            ("MESSAGING_HARD_DEADLINE", "10s"),
        ];
        settings.extend_from_slice(more);
        settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// A new user.
    pub fn user(&self, name: &str) -> User {
        user(name)
    }
}

/// A new user.
pub fn user(name: &str) -> User {
    let id = Uuid::new_v4();
    User { id, name: name.to_owned(), token: token(id, name, 3600) }
}

impl User {
    /// The same user with a token that is valid for so many seconds; negative: has expired.
    pub fn with_token_for(&self, seconds: i64) -> Self {
        Self { token: token(self.id, &self.name, seconds), ..self.clone() }
    }
}

fn token(id: Uuid, name: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let expires = i64::try_from(now).expect("before the end of time") + seconds;
    sign(&json!({"sub": id, "name": name, "exp": expires}), SECRET)
}

/// A token with any claims.
pub fn sign(claims: &Value, secret: &str) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).expect("a token")
}
