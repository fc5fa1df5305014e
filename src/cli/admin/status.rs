//! `messaging admin status`: the whole system on one screen, and what is wrong with it.
//!
//! What cannot be asked is said to be away, and the rest is shown all the same: it is for bad days.

mod screen;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::Operator;
use crate::bus::control::{self, Patience};
use crate::bus::dead_letter::operators;
use crate::bus::{self, health};
use crate::cli::sentence;
use crate::store::admin::overview::Overview;
use crate::wire::control::{ProcessStatus, STATUS};
use crate::wire::subjects::{CHAT_STREAM, DEAD_STREAM, INGEST_STREAM};

/// What the persister may be behind before it counts as wrong: some seconds of a busy system.
const BEHIND: u64 = 50_000;
/// How long an announcement may wait before it counts: the sweep takes 3 s.
const UNANNOUNCED_SECONDS: u64 = 30;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show it again and again, until stopped.
    #[arg(long)]
    watch: bool,
    /// With --watch: seconds between.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
}

/// Everything that was found out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub processes: Vec<ProcessStatus>,
    pub nats: Option<Nats>,
    pub postgres: Option<Value>,
    /// A sentence each; nothing when all is well.
    pub problems: Vec<String>,
    #[serde(skip)]
    pub overview: Option<Overview>,
}

/// NATS.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Nats {
    pub server: String,
    pub version: String,
    pub streams: Vec<Stream>,
    pub consumers: Vec<Consumer>,
    /// Bytes on disk, of those that the account may use if that is limited.
    pub stored: u64,
    pub limit: Option<u64>,
    /// By consumer.
    pub dead_letters: BTreeMap<String, u64>,
}

/// A stream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    pub name: String,
    pub messages: u64,
    pub bytes: u64,
    pub last_seq: u64,
    pub replicas: usize,
    pub leader: Option<String>,
    /// Replicas that are behind or away.
    pub behind: Vec<String>,
}

/// A consumer.
#[derive(Debug, Serialize)]
pub struct Consumer {
    pub stream: String,
    pub name: String,
    /// What it has not been given yet; `None` when there is no such consumer.
    pub pending: Option<u64>,
}

/// Shows it once, or again and again.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    loop {
        let status = look(operator).await;
        if args.watch && !operator.json && std::io::stdout().is_terminal() {
            // From the top of an empty screen.
            print!("\x1b[2J\x1b[H");
        }
        match operator.json && args.watch {
            // One document a line.
            true => operator.say(&status, "")?,
            false => operator.answer(&status, || screen::draw(&status))?,
        }
        if !args.watch {
            let fine = status.problems.is_empty();
            return Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        tokio::time::sleep(Duration::from_secs(args.every)).await;
    }
}

async fn look(operator: &Operator) -> Status {
    let (from_nats, overview) = tokio::join!(ask_nats(operator), ask_postgres(operator));
    let mut problems = Vec::new();
    let (processes, nats) = match from_nats {
        Ok((processes, nats)) => (processes, Some(nats)),
        Err(error) => {
            problems.push(sentence(&error));
            (Vec::new(), None)
        }
    };
    let overview = overview.map_err(|error| problems.push(sentence(&error))).ok();
    if let Some(nats) = &nats {
        look_at_processes(&processes, operator, &mut problems);
        look_at_nats(nats, &mut problems);
    }
    if let Some(overview) = &overview {
        look_at_postgres(overview, nats.as_ref(), &mut problems);
    }
    let postgres = overview.as_ref().map(json);
    Status { processes, nats, postgres, problems, overview }
}

async fn ask_postgres(operator: &Operator) -> anyhow::Result<Overview> {
    Ok(operator.store().await?.admin_overview().await?)
}

async fn ask_nats(operator: &Operator) -> anyhow::Result<(Vec<ProcessStatus>, Nats)> {
    let client = operator.nats().await?;
    let answers = control::ask(&client, STATUS, "".into(), Patience::default());
    let (answers, nats) = tokio::join!(answers, nats(&client));
    let mut processes: Vec<ProcessStatus> =
        answers?.iter().filter_map(|answer| serde_json::from_slice(answer).ok()).collect();
    processes.sort_by(|a, b| (&a.roles, &a.host, a.pid).cmp(&(&b.roles, &b.host, b.pid)));
    Ok((processes, nats?))
}

async fn nats(client: &bus::Client) -> anyhow::Result<Nats> {
    let server = health::server(client);
    let mut streams = Vec::new();
    for name in [CHAT_STREAM, INGEST_STREAM, DEAD_STREAM, "KV_PRESENCE"] {
        if let Some(found) = health::stream(client, name).await? {
            streams.push(stream(name, found));
        }
    }
    let mut consumers = Vec::new();
    for (stream, name) in
        [(CHAT_STREAM, "persist"), (CHAT_STREAM, "push"), (INGEST_STREAM, "ingest")]
    {
        let found = health::consumer(client, stream, name).await?;
        let pending = found.map(|consumer| consumer.num_pending);
        consumers.push(Consumer { stream: stream.to_owned(), name: name.to_owned(), pending });
    }
    let account = health::account(client).await?;
    let limit = account.as_ref().and_then(|account| u64::try_from(account.limits.max_storage).ok());
    let has_letters = streams.iter().any(|stream| stream.name == DEAD_STREAM);
    let dead_letters = if has_letters { operators::counts(client).await? } else { BTreeMap::new() };
    Ok(Nats {
        server: server.name,
        version: server.version,
        streams,
        consumers,
        stored: account.map_or(0, |account| account.storage),
        limit: limit.filter(|limit| *limit > 0),
        dead_letters,
    })
}

fn stream(name: &str, found: health::Stream) -> Stream {
    let cluster = found.cluster.as_ref();
    let behind = cluster.into_iter().flat_map(|cluster| &cluster.replicas);
    let behind = behind.filter(|replica| replica.offline || !replica.current);
    Stream {
        name: name.to_owned(),
        messages: found.state.messages,
        bytes: found.state.bytes,
        last_seq: found.state.last_seq,
        replicas: found.config.num_replicas,
        leader: cluster.and_then(|cluster| cluster.leader.clone()),
        behind: behind.map(|replica| replica.name.clone()).collect(),
    }
}

fn look_at_processes(processes: &[ProcessStatus], operator: &Operator, problems: &mut Vec<String>) {
    let mut needed = vec!["edge", "persister", "ingest"];
    if operator.config.push.is_on() {
        needed.push("push");
    }
    for role in needed {
        if !processes.iter().any(|process| process.roles.iter().any(|own| own == role)) {
            problems.push(format!("No process with the role {role} answers"));
        }
    }
    for process in processes.iter().filter(|process| !process.not_ready.is_empty()) {
        let reasons = process.not_ready.join("; ");
        problems.push(format!("{}:{} is not ready: {reasons}", process.host, process.pid));
    }
}

fn look_at_nats(nats: &Nats, problems: &mut Vec<String>) {
    for name in [CHAT_STREAM, INGEST_STREAM, DEAD_STREAM] {
        if !nats.streams.iter().any(|stream| stream.name == name) {
            problems
                .push(format!("The stream {name} is missing; `messaging topology apply` makes it"));
        }
    }
    for stream in nats.streams.iter().filter(|stream| !stream.behind.is_empty()) {
        problems.push(format!(
            "Replicas of {} are behind: {}",
            stream.name,
            stream.behind.join(", ")
        ));
    }
    for stream in
        nats.streams.iter().filter(|stream| stream.replicas > 1 && stream.leader.is_none())
    {
        problems.push(format!("{} has no leader", stream.name));
    }
    if let Some(limit) = nats.limit
        && nats.stored.saturating_mul(10) > limit.saturating_mul(8)
    {
        problems.push("NATS has used more than 80 % of the disk that it may use".to_owned());
    }
    let dead: u64 = nats.dead_letters.values().sum();
    if dead > 0 {
        problems.push(format!("{dead} dead letters wait; `messaging admin dead list` shows them"));
    }
}

fn look_at_postgres(overview: &Overview, nats: Option<&Nats>, problems: &mut Vec<String>) {
    if overview.is_standby {
        problems.push("This Postgres is a standby: it takes no changes".to_owned());
    }
    if overview.connections.saturating_mul(10) > overview.max_connections.saturating_mul(9) {
        problems.push("More than 90 % of the connections of Postgres are in use".to_owned());
    }
    if overview.announcements_age > UNANNOUNCED_SECONDS {
        let seconds = overview.announcements_age;
        problems.push(format!("Changes have not been announced for {seconds} s"));
    }
    if overview.push_late > 0 {
        problems
            .push(format!("{} notifications are late by more than a minute", overview.push_late));
    }
    let pending =
        nats.and_then(|nats| nats.consumers.iter().find(|c| c.name == "persist")?.pending);
    if pending.is_some_and(|pending| pending > BEHIND) {
        problems.push(format!("The persister is {} events behind", pending.unwrap_or_default()));
    }
}

fn json(overview: &Overview) -> Value {
    let o = overview;
    json!({
        "version": o.version, "isStandby": o.is_standby, "bytes": o.bytes,
        "connections": o.connections, "maxConnections": o.max_connections, "schema": o.schema,
        "persisted": o.persisted,
        "users": o.users, "conversations": o.conversations, "messages": o.messages,
        "announcements": o.announcements, "announcementsAgeSeconds": o.announcements_age,
        "devices": o.devices, "pushJobs": o.push_jobs, "pushLate": o.push_late, "scheduled": o.scheduled,
        "deletions": o.deletions, "erasures": o.erasures,
        "files": o.files, "fileBytes": o.file_bytes, "filesErasing": o.files_erasing,
    })
}
