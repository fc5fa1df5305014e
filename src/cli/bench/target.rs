//! What is measured: a service of the run's own, or one that is already there.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::process::Process;
use super::rest::Base;
use crate::cli::data_folder::{self, RunFile};

/// How long `messaging dev` may take from nothing to its first request: making a Postgres cluster
/// takes seconds on a slow disk.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// How long it may take to stop: the service's drain and Postgres' last checkpoint.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// The data folder proper, beside the log: `dev` wants its folder to itself.
const DATA: &str = "data";

/// Off, unless the environment says otherwise: a load generator would measure them.
const LIMITS: [&str; 5] = [
    "RATE_LIMIT_MESSAGES_PER_SECOND",
    "RATE_LIMIT_SIGNALS_PER_SECOND",
    "RATE_LIMIT_REQUESTS_PER_SECOND",
    "RATE_LIMIT_CONNECTS_PER_SECOND",
    "MAX_CONNECTIONS_PER_USER",
];

/// Where to find a service and its processes.
#[derive(Debug)]
pub struct Target {
    pub base: Base,
    /// Signs the users' tokens.
    pub secret: String,
    /// The service first. Empty where nothing is known of them.
    pub processes: Vec<Process>,
    /// Where other services reach it, if that is known.
    pub nats: Option<Door>,
    own: Option<Own>,
}

/// Where another service comes in: with a user of its own, since that of `messaging dev` may not speak for any.
#[derive(Debug, Clone)]
pub struct Door {
    pub url: String,
    /// The service's name as well.
    pub user: String,
    pub password: String,
}

impl Door {
    /// What the environment says.
    fn named() -> Option<Self> {
        let given = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let (url, user) = (given("NATS_URL")?, given("NATS_USER")?);
        Some(Self { url, user, password: given("NATS_PASSWORD")? })
    }

    /// That of a service which every data folder has a user for.
    fn of(data: &Path, run: &RunFile) -> anyhow::Result<Self> {
        let user = "events".to_owned();
        let password = data_folder::read_secret(&data.join(data_folder::NATS_USERS), &user)
            .with_context(|| format!("{} knows no service {user}", data.display()))?;
        Ok(Self { url: run.nats_address(), user, password })
    }
}

/// A service that this run has started.
#[derive(Debug)]
struct Own {
    child: Child,
    data: PathBuf,
}

/// The processes of a running `messaging dev`, the service first.
fn processes(run: &RunFile) -> Vec<Process> {
    let process = |name: &str, pid, tree| Process { name: name.to_owned(), pid, tree };
    vec![
        process("service", run.pid, false),
        process("nats", run.nats_pid, false),
        process("postgres", run.postgres_pid, true),
    ]
}

impl Target {
    /// A service that is reached by its URL.
    pub fn at(url: &str, secret: String, processes: Vec<Process>) -> anyhow::Result<Self> {
        Ok(Self { base: url.parse()?, secret, processes, nats: Door::named(), own: None })
    }

    /// The `messaging dev` that runs on a data folder.
    pub fn running(data: &Path, secret: String) -> anyhow::Result<Self> {
        let run = RunFile::read(data)?;
        let (base, processes) = (run.url.parse()?, processes(&run));
        let nats = Door::of(data, &run).ok();
        Ok(Self { base, secret, processes, nats, own: None })
    }

    /// Starts `messaging dev` on a new folder in `parent`, on a free port, with further settings. Limits are off
    /// unless the environment sets them.
    pub async fn start(parent: &Path, settings: &[(&str, String)]) -> anyhow::Result<Self> {
        let data = parent.join(format!("messaging-bench-{}", std::process::id()));
        std::fs::create_dir(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let secret = uuid::Uuid::new_v4().simple().to_string().repeat(2);
        match start_in(&data, &secret, settings).await {
            Ok(own) => {
                let run = RunFile::read(&data.join(DATA))?;
                let (base, processes) = (run.url.parse()?, processes(&run));
                let nats = Some(Door::of(&data.join(DATA), &run)?);
                Ok(Self { base, secret, processes, nats, own: Some(own) })
            }
            Err(error) => {
                // What it said is worth more than a tidy folder: it is in the error, the folder is not.
                std::fs::remove_dir_all(&data).ok();
                Err(error)
            }
        }
    }

    /// Stops what was started, and removes its data.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Some(Own { mut child, data }) = self.own else { return Ok(()) };
        if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid as i32)) {
            kill_process(pid, Signal::TERM).context("cannot stop the service")?;
        }
        let ended = tokio::time::timeout(STOP_PATIENCE, child.wait()).await;
        let status = ended.with_context(|| format!("no end after {STOP_PATIENCE:?}"))??;
        if !status.success() {
            bail!("the service ended with {status}; its log is {}", log_of(&data).display());
        }
        std::fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))
    }
}

fn log_of(data: &Path) -> PathBuf {
    data.join("service.log")
}

async fn start_in(data: &Path, secret: &str, settings: &[(&str, String)]) -> anyhow::Result<Own> {
    let log = std::fs::File::create(log_of(data))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["dev", "--listen", "127.0.0.1:0", "--data"]).arg(data.join(DATA));
    let unset = LIMITS.iter().filter(|name| std::env::var_os(name).is_none());
    command.envs(unset.map(|name| (name, "0"))).env("JWT_ACCESS_SECRET", secret);
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    // Its own process group: Ctrl-C reaches this process only, which then stops it in order.
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    let output = child.stdout.take().context("the service has no output")?;
    let ready = async {
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("READY ") {
                // It goes on to greet people; somebody has to listen.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return anyhow::Ok(());
            }
        }
        Err(anyhow!("it ended before it was ready"))
    };
    let ready = tokio::time::timeout(START_PATIENCE, ready).await;
    let ready = ready.unwrap_or_else(|_| Err(anyhow!("it was not ready after {START_PATIENCE:?}")));
    if let Err(error) = ready {
        let text = std::fs::read_to_string(log_of(data)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(20)..].join("\n");
        bail!("cannot start the service to measure: {error:#}; the end of its log:\n{last}");
    }
    Ok(Own { child, data: data.to_owned() })
}
