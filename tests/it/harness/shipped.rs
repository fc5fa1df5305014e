//! NATS servers with the configurations of `nats/`: as they are, but for addresses and folders.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::PATIENCE;
use super::nats::launch;
use super::process::Process;
use super::raw_nats::RawNats;
use super::tools::{self, repository};

/// One server, or three that replicate.
pub struct Shipped {
    members: Vec<(Process, PathBuf)>,
    /// `nats://` addresses of all members.
    pub urls: Vec<String>,
}

/// The password of a user.
pub fn password(user: &str) -> String {
    format!("the-password-of-{user}")
}

impl Shipped {
    /// `nats/single.conf`.
    pub fn single() -> Self {
        Self::single_with(&[], &[])
    }

    /// The same with other text at places of the files, each of which is there once, and with more in the environment.
    pub fn single_with(changes: &[(&str, &str)], environment: &[(&str, &str)]) -> Self {
        Self::one("single.conf", changes, environment)
    }

    /// `nats/tls.conf` with the certificate and key of these files.
    pub fn tls(certificate: &Path, key: &Path) -> Self {
        let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
        Self::one("tls.conf", &[], &[("NATS_TLS_CERT", &certificate), ("NATS_TLS_KEY", &key)])
    }

    /// Three of `nats/cluster.conf`; they may not have found each other yet.
    pub fn cluster() -> Self {
        // Held until all three are known, so that they differ.
        let listeners: Vec<_> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let routes: Vec<_> =
            listeners.iter().map(|listener| listener.local_addr().expect("an address")).collect();
        drop(listeners);
        let password = password("cluster");
        let known: Vec<_> =
            routes.iter().map(|route| format!("nats://cluster:{password}@{route}")).collect();
        let known = format!("[{}]", known.join(", "));
        let mut cluster = Self { members: Vec::new(), urls: Vec::new() };
        for (number, route) in routes.iter().enumerate() {
            let name = format!("nats-{number}");
            let listen = [("0.0.0.0:6222", &*route.to_string())];
            cluster.add("cluster.conf", &listen, &[("NODE", &name), ("ROUTES", &known)]);
        }
        cluster
    }

    fn one(file: &str, changes: &[(&str, &str)], environment: &[(&str, &str)]) -> Self {
        let mut one = Self { members: Vec::new(), urls: Vec::new() };
        one.add(file, changes, environment);
        one
    }

    fn add(&mut self, file: &str, changes: &[(&str, &str)], environment: &[(&str, &str)]) {
        let folder = tools::folder("shipped");
        copy(&folder, changes);
        let passwords =
            ["edge", "persister", "push", "ingest", "topology", "operator", "backup", "messaging"]
                .into_iter()
                .chain(["events", "billing", "sys", "cluster"])
                .map(|user| (format!("NATS_{}_PASSWORD", user.to_uppercase()), password(user)));
        let more =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment: Vec<_> = passwords.chain(more).collect();
        let (process, port) = launch(&folder.join(file), &environment);
        self.members.push((process, folder));
        self.urls.push(format!("nats://127.0.0.1:{port}"));
    }

    /// The environment of a process that is this user.
    pub fn environment(&self, user: &str) -> Vec<(&'static str, String)> {
        vec![
            ("NATS_URL", self.urls.join(",")),
            ("NATS_USER", user.to_owned()),
            ("NATS_PASSWORD", password(user)),
            ("MESSAGING_NATS_REPLICAS", self.members.len().to_string()),
            // Only `topology` may, in a process of its own.
            ("MESSAGING_NATS_APPLY_TOPOLOGY", (user == "messaging").to_string()),
        ]
    }

    /// Lets the first member read its configuration again, with other changes than before; once.
    pub async fn reload(&self, changes: &[(&str, &str)]) {
        let (process, folder) = &self.members[0];
        copy(folder, changes);
        process.signal(libc::SIGHUP);
        let process = process.clone();
        let reloaded = |line: &str| line.contains("Reloaded server configuration").then_some(());
        let waiting = tokio::task::spawn_blocking(move || {
            match process.stderr.wait_for(PATIENCE, reloaded) {
                Some(()) => {}
                None => panic!("nothing was reloaded:\n{}", process.stderr.text()),
            }
        });
        waiting.await.expect("reloaded");
    }

    /// Where the first member listens.
    pub fn address(&self) -> &str {
        self.urls[0].trim_start_matches("nats://")
    }

    /// A usual client as this user.
    pub async fn client(&self, user: &str) -> async_nats::Client {
        let options =
            async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password(user));
        let options = options.custom_inbox_prefix(format!("_INBOX_{user}"));
        options.connect(&self.urls[0]).await.expect("NATS answers")
    }

    /// A connection of this user's to the first member.
    pub async fn raw(&self, user: &str) -> RawNats {
        let connected = RawNats::connect(self.address(), user, &password(user)).await;
        connected.unwrap_or_else(|complaint| panic!("{user} cannot connect: {complaint}"))
    }
}

impl Drop for Shipped {
    fn drop(&mut self) {
        for (process, _) in &self.members {
            process.stop(libc::SIGKILL);
        }
    }
}

/// Copies the configurations, with changes. A place that is in no file has been renamed, and this with it.
fn copy(folder: &Path, changes: &[(&str, &str)]) {
    let data = folder.join("data").to_string_lossy().into_owned();
    let own = [
        ("0.0.0.0:4222", "127.0.0.1:-1"),
        ("127.0.0.1:8222", "127.0.0.1:-1"),
        ("/var/lib/nats", &data),
    ];
    let changes = [&own, changes].concat();
    let mut found = vec![0; changes.len()];
    for entry in std::fs::read_dir(repository().join("nats")).expect("nats/").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "conf") {
            continue;
        }
        let mut text = std::fs::read_to_string(&path).expect("a configuration");
        for ((from, to), found) in changes.iter().zip(&mut found) {
            *found += text.matches(from).count();
            text = text.replace(from, to);
        }
        std::fs::write(folder.join(entry.file_name()), text).expect("a copy");
    }
    for ((from, _), found) in changes.iter().zip(found) {
        assert!(found > 0, "{from:?} is not in nats/*.conf");
    }
}
