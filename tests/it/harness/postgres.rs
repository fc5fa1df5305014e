//! One Postgres for all tests, a database of its own for each, made from a migrated template.

use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::PATIENCE;
use super::process::Process;
use super::proxy::{Proxy, Upstream};
use super::tools;

/// A server on a unix socket.
pub struct Postgres {
    folder: PathBuf,
    process: Mutex<Process>,
}

/// A database that is dropped at the end of its test.
pub struct Database {
    pub url: String,
    name: String,
    server: &'static Postgres,
}

impl Postgres {
    /// The one that all tests share, with the migrated template in it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| {
            let server = Self::start();
            let process = server.process();
            tools::at_exit(move || {
                process.stop(libc::SIGQUIT);
            });
            server.make_template();
            server
        })
    }

    /// A new one, for a test that breaks it. Lives until the tests end.
    pub fn own() -> &'static Self {
        let server: &'static Self = Box::leak(Box::new(Self::start()));
        tools::at_exit(|| {
            server.process().stop(libc::SIGQUIT);
        });
        server.make_template();
        server
    }

    fn start() -> Self {
        let folder = tools::folder("pg");
        let data = folder.join("data");
        std::fs::DirBuilder::new().mode(0o700).create(&data).expect("a data folder");
        if let Some((uid, gid)) = unprivileged() {
            chown(&folder, Some(uid), Some(gid)).expect("root may chown");
            chown(&data, Some(uid), Some(gid)).expect("root may chown");
        }
        let mut initdb = program("initdb");
        initdb.arg("-D").arg(&data).args(["-U", "messaging", "--auth=trust", "--no-sync"]);
        initdb.args(["--encoding=UTF8", "--locale=C", "--no-instructions"]);
        let initdb = Process::start("initdb", initdb, libc::SIGKILL);
        let status = initdb.wait(3 * PATIENCE).expect("initdb ends");
        assert!(status.success(), "initdb: {}", initdb.stderr.text());
        let process = Mutex::new(run(&folder));
        Self { folder, process }
    }

    fn make_template(&self) {
        self.sql("postgres", "CREATE DATABASE template_messaging");
        let mut migrate = Command::new(tools::MESSAGING);
        migrate.arg("migrate").env("POSTGRES_URL", self.url("template_messaging"));
        let output = migrate.output().expect("messaging migrate runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A database of its own for one test, with the schema in place.
    pub fn database(&'static self) -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        // One at a time: a template may have no other session while it is copied.
        static COPYING: Mutex<()> = Mutex::new(());
        let copying = COPYING.lock().unwrap_or_else(PoisonError::into_inner);
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template_messaging"));
        drop(copying);
        Database { url: self.url(&name), name, server: self }
    }

    /// Stops it at once, as a crash would.
    pub fn kill(&self) {
        self.process().stop(libc::SIGQUIT);
    }

    /// Starts it again on the same data.
    pub fn start_again(&self) {
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = run(&self.folder);
    }

    /// The socket that it listens on.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    fn process(&self) -> Process {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn url(&self, database: &str) -> String {
        let host = self.folder.to_string_lossy().replace('/', "%2F");
        format!("postgres://messaging@{host}/{database}")
    }

    /// Runs one statement, outside of the test's runtime.
    fn sql(&self, database: &str, statement: &str) {
        let (url, statement) = (self.url(database), statement.to_owned());
        let work = async move {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
                .await
                .expect("Postgres answers");
            let connection = tokio::spawn(connection);
            client.batch_execute(&statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
            drop(client);
            connection.await.expect("no panic").expect("a clean end");
        };
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(work);
        })
        .join()
        .expect("the statement succeeds");
    }
}

impl Database {
    /// A connection to look behind the scenes.
    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url, tokio_postgres::NoTls)
            .await
            .expect("Postgres answers");
        tokio::spawn(async move {
            // Ends with the client; when the server is killed on purpose, with an error that says so.
            let _ = connection.await;
        });
        client
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A proxy in front of it, which may misbehave, and the URL that leads through it.
    pub async fn proxy(&self) -> (Proxy, String) {
        let socket = self.server.folder.join(".s.PGSQL.5432");
        let proxy = Proxy::start(Upstream::Unix(socket)).await;
        let url = format!("postgres://messaging@{}/{}", proxy.address, self.name);
        (proxy, url)
    }

    /// The server, for tests that have one of their own and break it.
    pub fn server(&self) -> &'static Postgres {
        self.server
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.server.process().has_ended().is_none() && !std::thread::panicking() {
            self.server.sql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

fn run(folder: &std::path::Path) -> Process {
    let mut command = program("postgres");
    command.arg("-D").arg(folder.join("data"));
    for setting in [
        "listen_addresses=",
        &format!("unix_socket_directories={}", folder.display()),
        "max_connections=400",
        // The machine does not crash in a test, and what a killed process has written stays written.
        "fsync=off",
        "full_page_writes=off",
        "shared_buffers=64MB",
        "autovacuum_naptime=1h",
        "track_commit_timestamp=on",
        "lc_messages=C",
    ] {
        command.arg("-c").arg(setting);
    }
    let process = Process::start("postgres", command, libc::SIGQUIT);
    let ready = |line: &str| line.contains("ready to accept connections").then_some(());
    if process.stderr.wait_for(3 * PATIENCE, ready).is_none() {
        panic!("Postgres does not start: {}", process.stderr.text());
    }
    process
}

/// A program of Postgres, as a user that it accepts.
fn program(name: &str) -> Command {
    let mut command = Command::new(tools::postgres_bin().join(name));
    command.current_dir("/").env("LC_ALL", "C");
    if let Some((uid, gid)) = unprivileged() {
        command.uid(uid).gid(gid);
    }
    command
}

/// Postgres refuses root: `postgres`, else `nobody`.
fn unprivileged() -> Option<(u32, u32)> {
    // SAFETY: only asks.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").expect("users");
    ["postgres", "nobody"].iter().find_map(|name| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    })
}
