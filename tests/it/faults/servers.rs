//! NATS servers whose routes and clients pass through proxies.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use async_nats::jetstream;

use crate::harness::nats;
use crate::harness::process::Process;
use crate::harness::proxy::{Mode, Proxy, Upstream};
use crate::harness::tools;

/// One server, on ports that it keeps.
struct Server {
    folder: PathBuf,
    settings: String,
    client: u16,
    monitor: u16,
    process: Process,
}

/// One server, or three that replicate.
pub struct Servers {
    all: Vec<Server>,
    /// `(from, to, proxy)`: what `from` asks for its route to `to`.
    routes: Vec<(usize, usize, Proxy)>,
}

impl Servers {
    pub async fn start(count: usize) -> Self {
        let ports = free_ports(3 * count);
        let port = |kind: usize, server: usize| ports[kind * count + server];
        let mut routes = Vec::new();
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                let address = local(port(2, to));
                routes.push((from, to, Proxy::start(Upstream::Tcp(address)).await));
            }
        }
        let mut all = Vec::new();
        for server in 0..count {
            let (client, monitor) = (port(0, server), port(1, server));
            let mut settings = format!(
                "port: {client}\nserver_name: n{server}\nhttp: \"127.0.0.1:{monitor}\"\n\
                 lame_duck_grace_period: \"200ms\"\n"
            );
            if count > 1 {
                let own = routes.iter().filter(|(from, ..)| *from == server);
                let own: Vec<String> = own.map(|(.., p)| format!("nats://{}", p.address)).collect();
                // Nobody learns of a way around the proxies: what a server advertises is closed.
                settings += &format!(
                    "cluster {{ name: tests, listen: \"127.0.0.1:{}\", no_advertise: true, \
                     advertise: \"127.0.0.1:1\", pool_size: -1, routes: [{}] }}\n",
                    port(2, server),
                    own.join(", ")
                );
            }
            let folder = tools::folder("faults-nats");
            let (process, _) = {
                let (folder, settings) = (folder.clone(), settings.clone());
                tokio::task::spawn_blocking(move || nats::serve(&folder, &settings, ""))
                    .await
                    .expect("it starts")
            };
            all.push(Server { folder, settings, client, monitor, process });
        }
        Self { all, routes }
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Where clients connect to.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.all.iter().map(|server| local(server.client)).collect()
    }

    /// Where their monitoring is.
    pub fn monitors(&self) -> Vec<String> {
        self.all.iter().map(|server| format!("http://127.0.0.1:{}", server.monitor)).collect()
    }

    /// A context of the suite's own, around the proxies.
    pub async fn context(&self) -> jetstream::Context {
        let urls: Vec<String> =
            self.addresses().iter().map(|address| format!("nats://{address}")).collect();
        let client = async_nats::connect(urls).await.expect("a NATS server answers");
        let mut context = jetstream::new(client);
        context.set_timeout(std::time::Duration::from_secs(3));
        context
    }

    pub fn signal(&self, server: usize, signal: i32) {
        self.all[server].process.signal(signal);
    }

    /// Ends one, if it has not ended, and starts it again on the same data.
    pub async fn restart(&mut self, server: usize) {
        let server = &mut self.all[server];
        let (folder, settings) = (server.folder.clone(), server.settings.clone());
        let old = server.process.clone();
        let starting = tokio::task::spawn_blocking(move || {
            old.stop(libc::SIGKILL);
            nats::serve(&folder, &settings, "").0
        });
        server.process = starting.await.expect("it starts");
    }

    /// The routes between one server and the others.
    pub fn routes(&self, server: usize, mode: Mode) {
        for (from, to, proxy) in &self.routes {
            if *from == server || *to == server {
                proxy.set(mode);
            }
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in &self.all {
            server.process.stop(libc::SIGKILL);
        }
    }
}

pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Ports that nobody listens on, below those that the system gives to outgoing connections: a server that is away
/// for a moment finds its own free again.
pub fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() * 97;
    let mut ports = Vec::with_capacity(count);
    while ports.len() < count {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(next < 20_000, "no free ports");
        let port = 10_000 + u16::try_from((start + next) % 20_000).expect("below 30,000");
        if TcpListener::bind(local(port)).is_ok() {
            ports.push(port);
        }
    }
    ports
}
