//! Three NATS servers that replicate, one of which may be killed.

use std::net::TcpListener;
use std::time::Duration;

use async_nats::jetstream::{self, stream};

use super::flow::eventually;
use super::nats;
use super::process::Process;
use super::tools;

/// A cluster on free ports.
pub struct Cluster {
    members: Vec<(String, Process)>,
    /// All members, comma-separated.
    pub urls: String,
}

impl Cluster {
    /// Starts three servers and waits until a stream of three replicas can be made.
    pub async fn start() -> Self {
        // Held until all three are known, so that they differ.
        let listeners: Vec<_> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let routes: Vec<_> = listeners
            .iter()
            .map(|listener| listener.local_addr().expect("an address").port())
            .collect();
        drop(listeners);
        let mut members = Vec::new();
        let mut urls = Vec::new();
        for (number, port) in routes.iter().enumerate() {
            let name = format!("n{number}");
            let (process, client_port) = run(&name, *port, &routes);
            urls.push(format!("nats://127.0.0.1:{client_port}"));
            members.push((name, process));
        }
        let cluster = Self { members, urls: urls.join(",") };
        cluster.settled().await;
        cluster
    }

    /// A context of the test's own.
    pub async fn context(&self) -> jetstream::Context {
        let urls: Vec<_> = self.urls.split(',').map(str::to_owned).collect();
        let mut context = jetstream::new(async_nats::connect(urls).await.expect("NATS answers"));
        // A request that meets an election is asked again by the test.
        context.set_timeout(Duration::from_secs(1));
        context
    }

    /// Kills the leader of a stream.
    pub async fn kill_leader(&self, stream: &str) {
        let context = self.context().await;
        let info = context.get_stream(stream).await.expect("the stream").cached_info().clone();
        let leader = info.cluster.and_then(|cluster| cluster.leader).expect("a leader");
        let (_, process) =
            self.members.iter().find(|(name, _)| *name == leader).expect("one of three");
        process.stop(libc::SIGKILL);
    }

    async fn settled(&self) {
        let context = self.context().await;
        let probe = stream::Config {
            name: "PROBE".to_owned(),
            num_replicas: 3,
            storage: stream::StorageType::Memory,
            ..Default::default()
        };
        eventually("a cluster of three", async || context.create_stream(&probe).await.ok()).await;
        context.delete_stream("PROBE").await.expect("deleted");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (_, process) in &self.members {
            process.stop(libc::SIGKILL);
        }
    }
}

fn run(name: &str, route: u16, routes: &[u16]) -> (Process, u16) {
    let routes: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    let settings = format!(
        "port: -1\nserver_name: {name}\n\
         cluster {{ name: tests, listen: \"127.0.0.1:{route}\", routes: [{}] }}\n",
        routes.join(", ")
    );
    nats::serve(&tools::folder("cluster"), &settings, "")
}
