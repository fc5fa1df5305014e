//! One run from the first user to the report.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hyper::Method;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::net::lookup_host;
use tokio::time::{MissedTickBehavior, interval};

use super::codec::{Id, Protocol};
use super::engine::{self, Handle, Load, Milestone, Outcome};
use super::metrics::{Buckets, Sampler};
use super::prepare::{Plan, Prepared, prepare};
use super::process::{self, Process, Usage};
use super::report::{self, Report};
use super::rest::Client;
use super::target::Target;

/// How often the persister's lag and the progress bar are looked at. Ten scrapes a second cost a
/// service about a thousandth of a core.
const TICK: Duration = Duration::from_millis(100);

/// How long the service may take to bring everything into Postgres after the end.
const PERSIST_PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at a message that is not in Postgres yet.
const PERSIST_POLL: Duration = Duration::from_millis(5);

/// Conversations whose newest message is looked up in history at the end.
const LOOKED_UP: usize = 200;

/// What to run.
#[derive(Debug)]
pub struct Settings {
    pub shape: &'static str,
    pub protocol: Protocol,
    pub users: u32,
    pub plan: Plan,
    pub load: Load,
    pub storm: Option<engine::Cut>,
    pub warmup: Duration,
    pub duration: Duration,
    pub content_bytes: usize,
}

/// What the servers and the generator had used at one moment.
#[derive(Debug)]
struct Snapshot {
    at: Instant,
    servers: Vec<Option<Usage>>,
    generator: Option<Usage>,
}

impl Snapshot {
    fn take(processes: &[Process]) -> Self {
        Self { at: now(), servers: process::usage(processes), generator: process::own() }
    }
}

/// The moments of a run that the report looks back at.
#[derive(Debug)]
struct Moments {
    prepared: Snapshot,
    connecting: Duration,
    connected: Snapshot,
    measuring: Snapshot,
    ended: Instant,
    persisted: Snapshot,
    lag: Vec<f64>,
    stages: Vec<(&'static str, Buckets)>,
    /// What was wrong with history.
    objections: Vec<String>,
}

/// Runs once against the target.
pub async fn run(target: &Target, settings: Settings) -> anyhow::Result<Report> {
    let plan = Arc::new(settings.plan);
    let bar = bar(plan.conversations.len() as u64, "conversations");
    let Prepared { users, conversations } =
        prepare(&target.base, &target.secret, settings.users, Arc::clone(&plan), bar.clone())
            .await?;
    bar.finish_and_clear();
    let readers = readers(&plan, &users, &conversations);
    let prepared = Snapshot::take(&target.processes);
    let handle = Handle::spawn(engine::Settings {
        address: resolve(&target.base.authority).await?,
        host: target.base.authority.clone(),
        protocol: settings.protocol,
        users,
        conversations,
        load: settings.load,
        storm: settings.storm,
        warmup: settings.warmup,
        duration: settings.duration,
        content_bytes: settings.content_bytes,
    })?;
    let mut watch = Watch { target, handle, sampler: Sampler::connect(&target.base).await? };
    let times = (settings.warmup, settings.duration);
    let moments = watch.follow(prepared, settings.users, times, &readers).await;
    let outcome = watch.handle.finish()?;
    // When the thread has failed, its error says more than that it reached no milestone.
    let moments = moments?;
    let ended = process::usage(&target.processes);
    let head = Head {
        shape: settings.shape,
        protocol: settings.protocol,
        users: settings.users,
        load: settings.load,
        content_bytes: settings.content_bytes,
    };
    Ok(summary(&head, &plan, &target.processes, moments, &ended, outcome))
}

/// A conversation and the token of one who may read it.
type Readers = std::collections::HashMap<Id, String>;

fn readers(plan: &Plan, users: &[engine::User], conversations: &[Id]) -> Readers {
    let token =
        |planned: &super::prepare::Planned| users[planned.members[0] as usize].token.clone();
    conversations.iter().copied().zip(plan.conversations.iter().map(token)).collect()
}

/// The address behind a host and port.
pub async fn resolve(authority: &str) -> anyhow::Result<SocketAddr> {
    let mut found = lookup_host(authority).await.with_context(|| format!("no host {authority}"))?;
    found.next().with_context(|| format!("{authority} has no address"))
}

/// The run as seen from outside the load's thread.
struct Watch<'a> {
    target: &'a Target,
    handle: Handle,
    sampler: Sampler,
}

impl Watch<'_> {
    async fn follow(
        &mut self,
        prepared: Snapshot,
        users: u32,
        (warmup, duration): (Duration, Duration),
        readers: &Readers,
    ) -> anyhow::Result<Moments> {
        let processes = &self.target.processes;
        let opening = bar(users.into(), "connections");
        let Milestone::Connected(connecting) = self.next(&opening, false).await? else {
            bail!("the load did not begin with connecting");
        };
        let connected = Snapshot::take(processes);
        self.handle.start()?;
        self.next(&clock("warming up", warmup), false).await?;
        let measuring = Snapshot::take(processes);
        self.next(&clock("measuring", duration), true).await?;
        let ended = now();
        let Milestone::Settled(newest) = self.next(&clock("settling", TICK), false).await? else {
            bail!("the load did not settle");
        };
        let objections = self.persisted(newest, readers).await?;
        let persisted = Snapshot::take(processes);
        let (lag, stages) = (self.sampler.lag(), self.sampler.stages());
        Ok(Moments {
            prepared,
            connecting,
            connected,
            measuring,
            ended,
            persisted,
            lag,
            stages,
            objections,
        })
    }

    /// Waits for the next milestone, moves the bar and samples the lag meanwhile.
    async fn next(&mut self, bar: &ProgressBar, sample: bool) -> anyhow::Result<Milestone> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begun = now();
        let progress = Arc::clone(&self.handle.progress);
        let (mut accepted, mut last) = (progress.accepted.load(Ordering::Relaxed), begun);
        loop {
            tokio::select! {
                reached = self.handle.milestones.recv() => {
                    bar.finish_and_clear();
                    return reached.context("the load ended early");
                }
                _ = ticks.tick() => {
                    if sample {
                        self.sampler.sample().await?;
                    }
                    if bar.length().is_some_and(|length| length > 0) && bar.message().is_empty() {
                        bar.set_position(progress.connected.load(Ordering::Relaxed));
                        continue;
                    }
                    bar.set_position(begun.elapsed().as_millis() as u64);
                    let total = progress.accepted.load(Ordering::Relaxed);
                    let rate = (total - accepted) as f64 / last.elapsed().as_secs_f64();
                    (accepted, last) = (total, now());
                    let delivered = progress.delivered.load(Ordering::Relaxed);
                    bar.set_message(format!("{rate:.0} acknowledged/s, {delivered} delivered"));
                }
            }
        }
    }

    /// Waits until the newest message of all can be read from history, then looks there for the newest
    /// message of other conversations. Answers what was not found.
    async fn persisted(
        &self,
        mut newest: Vec<(Id, u64, Id)>,
        readers: &Readers,
    ) -> anyhow::Result<Vec<String>> {
        let mut client = Client::connect(&self.target.base).await?;
        let mut objections = Vec::new();
        newest.sort_by_key(|(_, seq, _)| std::cmp::Reverse(*seq));
        let deadline = now() + PERSIST_PATIENCE;
        for (place, (conversation, seq, id)) in newest.iter().take(LOOKED_UP).enumerate() {
            let [conversation_id, id] = [conversation, id].map(|id| String::from_utf8_lossy(id));
            let path = format!("/messaging/conversations/{conversation_id}/messages?limit=1");
            let token = readers.get(conversation).context("a conversation nobody is in")?;
            loop {
                let page = client.json(Method::GET, &path, token, None).await?;
                let message = &page["messages"][0];
                if message["seq"] == *seq && message["id"] == *id {
                    break;
                }
                // The persister goes by `seq`: after the newest of all there is nothing to wait for.
                if place > 0 || now() > deadline {
                    objections.push(format!(
                        "history of {conversation_id} ends with {} instead of seq {seq}, id {id}",
                        message
                    ));
                    break;
                }
                tokio::time::sleep(PERSIST_POLL).await;
            }
        }
        Ok(objections)
    }
}

/// The settings that the report repeats.
#[derive(Debug)]
struct Head {
    shape: &'static str,
    protocol: Protocol,
    users: u32,
    load: Load,
    content_bytes: usize,
}

fn summary(
    head: &Head,
    plan: &Plan,
    processes: &[Process],
    moments: Moments,
    ended: &[Option<Usage>],
    outcome: Outcome,
) -> Report {
    let acknowledged = report::Rate::new(outcome.accepted, outcome.window);
    let persistence = (outcome.sent > 0).then(|| report::Persistence {
        after_end_millis: (moments.persisted.at - moments.ended).as_secs_f64() * 1000.0,
        lag: report::Lag::new(&moments.lag),
    });
    let memory = |(place, process): (usize, &Process)| {
        let at = |snapshot: &Snapshot| snapshot.servers[place];
        let usages = [at(&moments.prepared), at(&moments.connected), ended[place]];
        report::Memory::new(process, usages)
    };
    let memory: Vec<report::Memory> = processes.iter().enumerate().filter_map(memory).collect();
    // Under load the service's memory is that of its messages, not of its connections.
    let idle = memory.first().filter(|_| matches!(head.load, Load::Silent));
    let added = idle.map(|m| m.connected.max(m.at_end).saturating_sub(m.before_connecting));
    let checks = report::Checks {
        passed: outcome.objections.count == 0 && moments.objections.is_empty(),
        objections: outcome.objections.count + moments.objections.len() as u64,
        explanations: [&outcome.objections.texts[..], &moments.objections].concat(),
    };
    Report {
        shape: head.shape,
        protocol: head.protocol.name(),
        users: head.users,
        senders: plan.senders,
        arrangement: plan.arrangement.clone(),
        load: match head.load {
            Load::Closed { in_flight } => format!("closed loop, {in_flight} in flight each"),
            Load::Open { rate } => format!("{rate} messages a second"),
            Load::Silent => "silent".to_owned(),
        },
        content_bytes: head.content_bytes,
        window_seconds: outcome.window.as_secs_f64(),
        connect: report::Connect {
            connections: head.users,
            seconds: moments.connecting.as_secs_f64(),
            per_second: f64::from(head.users) / moments.connecting.as_secs_f64(),
        },
        sent: outcome.sent,
        refused: outcome.refused,
        deliveries: report::Rate::new(outcome.delivered, outcome.window),
        ack_latency: (&outcome.ack).into(),
        delivery_latency: (&outcome.delivery).into(),
        returns: outcome.returns.as_ref().map(Into::into),
        acknowledged,
        persistence,
        stages: moments.stages.iter().map(|(name, b)| report::Stage::new(name, b)).collect(),
        cpu: cpu(processes, &moments, (outcome.accepted_in_all, outcome.delivered_in_all)),
        bytes_per_connection: added.map(|bytes| bytes / u64::from(head.users)),
        memory,
        checks,
    }
}

fn cpu(processes: &[Process], moments: &Moments, counts: (u64, u64)) -> report::Cpu {
    let (first, last) = (&moments.measuring, &moments.persisted);
    let used =
        |before: Option<Usage>, after: Option<Usage>| Some(after?.cpu.saturating_sub(before?.cpu));
    let pairs = first.servers.iter().zip(&last.servers).map(|(b, a)| used(*b, *a));
    let servers: Vec<_> = processes.iter().cloned().zip(pairs).collect();
    report::Cpu::new(last.at - first.at, counts, &servers, used(first.generator, last.generator))
}

/// A bar that counts, on standard error and only if that is a terminal.
pub fn bar(length: u64, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:40} {pos}/{len} {per_sec}");
    ProgressBar::new(length)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_prefix(what.to_owned())
}

/// A bar that shows how much of a time has passed.
fn clock(what: &str, lasting: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:40} {msg}");
    ProgressBar::new(lasting.as_millis() as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_prefix(what.to_owned())
        .with_message("…")
}

/// The load generator measures real time by its nature.
fn now() -> Instant {
    Instant::now()
}
