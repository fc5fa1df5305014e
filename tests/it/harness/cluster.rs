//! Three NATS servers that replicate, one of which may be killed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::jetstream::{self, stream};

use super::flow::eventually;
use super::nats;
use super::process::Process;
use super::tools;

/// A cluster on free ports.
pub struct Cluster {
    members: Vec<Member>,
    routes: Vec<u16>,
    /// All members, comma-separated.
    pub urls: String,
}

struct Member {
    name: String,
    /// Where its streams are.
    folder: PathBuf,
    process: Process,
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
            let (name, folder) = (format!("n{number}"), tools::folder("cluster"));
            let (process, client_port) = run(&folder, &name, *port, &routes);
            urls.push(format!("nats://127.0.0.1:{client_port}"));
            members.push(Member { name, folder, process });
        }
        let cluster = Self { members, routes, urls: urls.join(",") };
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
        let leader =
            self.members.iter().find(|member| member.name == leader).expect("one of three");
        leader.process.stop(libc::SIGKILL);
    }

    /// Waits until one of the servers has begun to receive a stream that is being restored, and kills it. Returns which.
    pub async fn kill_while_it_restores(&self, stream: &str) -> usize {
        let begun = |line: &str| {
            (line.contains("Starting restore for stream") && line.contains(stream)).then_some(())
        };
        let receives = |member: &Member| member.process.stderr.wait_for(Duration::ZERO, begun);
        let which = async || self.members.iter().position(|member| receives(member).is_some());
        let found = eventually("a server receives what is restored", which).await;
        self.members[found].process.stop(libc::SIGKILL);
        found
    }

    /// Starts one that was killed with what it has on its disk; clients reach it by the others.
    pub async fn start_again(&mut self, number: usize) {
        let Member { name, folder, .. } = &self.members[number];
        let (process, _) = run(folder, name, self.routes[number], &self.routes);
        self.members[number].process = process;
        self.settled().await;
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
        for member in &self.members {
            member.process.stop(libc::SIGKILL);
        }
    }
}

fn run(folder: &Path, name: &str, route: u16, routes: &[u16]) -> (Process, u16) {
    let routes: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    let settings = format!(
        "port: -1\nserver_name: {name}\n\
         cluster {{ name: tests, listen: \"127.0.0.1:{route}\", routes: [{}] }}\n",
        routes.join(", ")
    );
    nats::serve(folder, &settings, "")
}
