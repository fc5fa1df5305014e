//! Where a run takes place: servers, processes, and the networks between them. Faults begin and end here.

use std::sync::OnceLock;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::actors::Actor;
use super::plan::{Fault, Shape, Who};
use super::run::awaited;
use super::servers::{Servers, free_ports, local};
use crate::harness::Rest;
use crate::harness::fcm::FakeFcm;
use crate::harness::flow::UNPACED;
use crate::harness::postgres::{Database, Postgres};
use crate::harness::proxy::{Mode, Proxy, Upstream};
use crate::harness::tools;
use crate::harness::world::SECRET;

/// A process with its own ways to the servers.
pub struct Placed {
    pub actor: Actor,
    nats: Vec<Proxy>,
    postgres: Proxy,
}

pub struct Stage {
    // In the order of their end.
    pub edges: Vec<Placed>,
    pub persisters: Vec<Placed>,
    pub senders: Vec<Placed>,
    /// Google, which does not fail here: what it may do is in `tests/it/push`.
    pub fcm: FakeFcm,
    /// In front of each edge.
    clients: Vec<Proxy>,
    pub servers: Servers,
    pub database: Database,
    /// How long a fault lasts at the most.
    longest: Duration,
    /// Where files are kept, for all processes.
    files: String,
}

/// One for all runs of this process: making one takes seconds.
fn postgres() -> &'static Postgres {
    static OWN: OnceLock<&'static Postgres> = OnceLock::new();
    OWN.get_or_init(Postgres::own)
}

impl Stage {
    pub async fn start(shape: &Shape, random: &mut StdRng) -> Self {
        let servers = Servers::start(shape.nats).await;
        let database = tokio::task::spawn_blocking(|| postgres().database());
        let database = database.await.expect("Postgres starts");
        let ports = free_ports(shape.edges + shape.persisters + shape.senders);
        let mut stage = Self {
            edges: Vec::new(),
            persisters: Vec::new(),
            senders: Vec::new(),
            fcm: FakeFcm::start().await,
            clients: Vec::new(),
            servers,
            database,
            longest: shape.longest,
            files: format!("file://{}", tools::folder("faults-media").display()),
        };
        for (at, port) in ports.into_iter().enumerate() {
            if at < shape.edges {
                stage.clients.push(Proxy::start(Upstream::Tcp(local(port))).await);
                let edge = stage.place("edge", at, port, random).await;
                stage.edges.push(edge);
            } else if at < shape.edges + shape.persisters {
                let persister = stage.place("persister", at - shape.edges, port, random).await;
                stage.persisters.push(persister);
            } else {
                let at = at - shape.edges - shape.persisters;
                let sender = stage.place("push", at, port, random).await;
                stage.senders.push(sender);
            }
        }
        stage.ready(Duration::from_secs(30)).await.expect("it starts");
        stage
    }

    async fn place(&self, role: &str, at: usize, port: u16, random: &mut StdRng) -> Placed {
        let mut nats = Vec::new();
        for address in self.servers.addresses() {
            nats.push(Proxy::start(Upstream::Tcp(address)).await);
        }
        let socket = self.database.server().socket();
        let postgres = Proxy::start(Upstream::Unix(socket)).await;
        let urls: Vec<String> = nats.iter().map(|p| format!("nats://{}", p.address)).collect();
        // A sender that stands still is not to believe that Google was slow: it would let the device ring again.
        let timeout = self.longest + Duration::from_secs(1);
        let settings = [
            ("MESSAGING_HOST", "127.0.0.1".to_owned()),
            ("MESSAGING_PORT", port.to_string()),
            ("JWT_ACCESS_SECRET", SECRET.to_owned()),
            ("NATS_URL", urls.join(",")),
            ("MESSAGING_NATS_REPLICAS", self.servers.count().to_string()),
            (
                "POSTGRES_URL",
                format!("postgres://messaging@{}/{}", postgres.address, self.database.name()),
            ),
            ("MESSAGING_POSTGRES_POOL_SIZE", "6".to_owned()),
            ("MESSAGING_POSTGRES_STATEMENT_TIMEOUT", "3s".to_owned()),
            // Few: who was away for long meets Postgres and the log behind it.
            (
                "MESSAGING_TAIL_RING_EVENTS",
                [20, 300, 200_000][random.random_range(0..3)].to_string(),
            ),
            ("MESSAGING_PERSISTER_BATCH_SIZE", [5, 2_000][random.random_range(0..2)].to_string()),
            ("MESSAGING_LOG", "info,refinery_core=warn".to_owned()),
            ("MESSAGING_LOG_FORMAT", "json".to_owned()),
            ("MESSAGING_MEDIA_URL", self.files.clone()),
            ("MESSAGING_MEDIA_SPOOL", tools::folder("faults-spool").display().to_string()),
            ("MESSAGING_DRAIN_WINDOW", "500ms".to_owned()),
            ("MESSAGING_HARD_DEADLINE", "10s".to_owned()),
            ("MESSAGING_PUSH_GRACE", "1s".to_owned()),
            // Connections to Google stay open for a while: few, so that what leaks is seen.
            ("MESSAGING_PUSH_CONCURRENCY", "8".to_owned()),
            ("MESSAGING_FCM_TIMEOUT", format!("{}ms", timeout.as_millis())),
            ("MESSAGING_PUSH_LEASE", format!("{}ms", (2 * timeout).as_millis() + 1)),
        ];
        let unpaced = UNPACED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = settings.map(|(name, value)| (name.to_owned(), value));
        let google = if role == "push" { self.fcm.settings() } else { Vec::new() };
        let settings = settings.into_iter().chain(unpaced).chain(google).collect();
        let actor = Actor::start(format!("{role} {at}"), role, port, settings);
        Placed { actor, nats, postgres }
    }

    /// Where clients find the edges.
    pub fn doors(&self) -> Vec<String> {
        self.clients.iter().map(|proxy| format!("http://{}", proxy.address)).collect()
    }

    fn everybody(&self) -> impl Iterator<Item = &Placed> {
        self.edges.iter().chain(&self.persisters).chain(&self.senders)
    }

    pub fn actors(&self) -> impl Iterator<Item = &Actor> {
        self.everybody().map(|placed| &placed.actor)
    }

    /// Waits until every process says that it is ready.
    pub async fn ready(&self, patience: Duration) -> Result<(), String> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build();
        let http = http.expect("a client");
        for actor in self.actors() {
            let url = format!("{}/readyz", actor.url());
            awaited(&format!("{} is ready", actor.name), patience, async || {
                let answer = http.get(&url).send().await.ok()?;
                answer.status().is_success().then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// REST to an edge around the network that breaks.
    pub fn rest(&self, edge: usize, token: &str) -> Rest {
        Rest::new(&self.edges[edge].actor.url(), Some(token))
    }

    fn placed(&self, who: Who) -> &Placed {
        match who {
            Who::Edge(at) => &self.edges[at],
            Who::Persister(at) => &self.persisters[at],
            Who::Sender(at) => &self.senders[at],
        }
    }

    pub async fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(who) => self.placed(who).actor.end(libc::SIGKILL),
            Fault::Drain(who) => self.placed(who).actor.end(libc::SIGTERM),
            Fault::Freeze(who) => self.placed(who).actor.signal(libc::SIGSTOP),
            Fault::NatsLink(who, mode) => self.nats_link(who, mode),
            Fault::PostgresLink(who, mode) => self.placed(who).postgres.set(mode),
            Fault::PostgresLinks(mode) => self.postgres_links(mode),
            Fault::KillPostgres => {
                let server = self.database.server();
                tokio::task::spawn_blocking(|| server.kill()).await.expect("no panic");
            }
            Fault::ClientLink(edge, mode) => self.clients[edge].set(mode),
            Fault::KillNats(server) => self.servers.signal(server, libc::SIGKILL),
            Fault::FreezeNats(server) => self.servers.signal(server, libc::SIGSTOP),
            Fault::LameDuck(server) => self.servers.signal(server, libc::SIGUSR2),
            Fault::Partition(server, mode) => self.servers.routes(server, mode),
            Fault::StepDown => {
                let context = self.servers.context().await;
                // Without a leader there is nobody who could hand over.
                let subject = "STREAM.LEADER.STEPDOWN.CHAT";
                let _ = context.request::<_, _, Value>(subject, &json!({})).await;
            }
        }
    }

    pub async fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(who) | Fault::Drain(who) => self.placed(who).actor.revive(),
            Fault::Freeze(who) => self.placed(who).actor.signal(libc::SIGCONT),
            Fault::NatsLink(who, _) => self.nats_link(who, Mode::Pass),
            Fault::PostgresLink(who, _) => self.placed(who).postgres.set(Mode::Pass),
            Fault::PostgresLinks(_) => self.postgres_links(Mode::Pass),
            Fault::KillPostgres => {
                let server = self.database.server();
                tokio::task::spawn_blocking(|| server.start_again()).await.expect("it starts");
            }
            Fault::ClientLink(edge, _) => self.clients[edge].set(Mode::Pass),
            Fault::KillNats(server) | Fault::LameDuck(server) => self.servers.restart(server).await,
            Fault::FreezeNats(server) => self.servers.signal(server, libc::SIGCONT),
            Fault::Partition(server, _) => self.servers.routes(server, Mode::Pass),
            Fault::StepDown => {}
        }
    }

    fn nats_link(&self, who: Who, mode: Mode) {
        self.placed(who).nats.iter().for_each(|proxy| proxy.set(mode));
    }

    fn postgres_links(&self, mode: Mode) {
        for placed in self.everybody() {
            placed.postgres.set(mode);
        }
    }
}
