//! Notifications: how many a second, with what memory, and does each device get each message once?
//!
//! Groups in which one writes and nobody else has a connection. Google is a process beside the service
//! (`messaging fake-fcm`), which counts.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use hyper::Method;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::metrics::Sampler;
use super::prepare::{Plan, Planned, Prepared, prepare};
use super::process::{self, Usage};
use super::report::{Checks, Cost, Figures, Rate, cost_table, costs};
use super::rest::Client;
use super::target::Target;
use super::verify::Objections;
use google::{Counts, Google};

pub mod google;

/// Connections that send, and that register devices.
const LANES: usize = 16;
/// How long it is waited for notifications that are still to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Debug)]
pub struct Settings {
    /// People with a device each.
    pub people: u32,
    /// Of each group, the one who writes included.
    pub group_size: u32,
    /// Notifications a second.
    pub rate: f64,
    pub warmup: Duration,
    pub duration: Duration,
}

impl Settings {
    fn groups(&self) -> u32 {
        (self.people / (self.group_size - 1)).max(1)
    }

    fn plan(&self) -> Plan {
        let groups = self.groups();
        let members = |group: u32| {
            let first = groups + group * (self.group_size - 1);
            std::iter::once(group).chain(first..first + self.group_size - 1).collect()
        };
        Plan {
            conversations: (0..groups)
                .map(|group| Planned { members: members(group), direct: false })
                .collect(),
            senders: groups,
            arrangement: format!("{groups} groups of {}", self.group_size),
        }
    }

    fn users(&self) -> u32 {
        self.groups() * self.group_size
    }
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub shape: &'static str,
    pub arrangement: String,
    pub wanted_per_second: f64,
    /// What Google took within the window.
    pub pushed: Rate,
    /// From the last message until its last notification, in milliseconds.
    pub drained_after_millis: u64,
    /// The most that Google answered at a time.
    pub most_in_flight: u64,
    /// Resident bytes of the service: before the load, at the start of the window, the most within it, at its end.
    pub memory: Option<[u64; 4]>,
    pub cpu: Vec<Cost>,
    pub checks: Checks,
}

/// Runs against a target that sends to `google`.
pub async fn run(target: &Target, settings: Settings, google: &Google) -> anyhow::Result<Report> {
    let plan = Arc::new(settings.plan());
    let (arrangement, groups) = (plan.arrangement.clone(), plan.conversations.len());
    let bar = super::run::bar(groups as u64, "groups");
    let users = settings.users();
    let prepared = prepare(&target.base, &target.secret, users, plan, bar.clone()).await?;
    bar.finish_and_clear();
    let prepared = Arc::new(prepared);
    register(target, &prepared, groups).await?;
    know_who_is_online(target).await?;

    let first = process::usage(&target.processes);
    let begin = now();
    let window = begin + settings.warmup;
    let end = window + settings.duration;
    let per_second = settings.rate / f64::from(settings.group_size - 1);
    let mut sending = JoinSet::new();
    for lane in 0..LANES {
        let client = Client::connect(&target.base).await?;
        let prepared = Arc::clone(&prepared);
        let lane = Lane { number: lane, groups, begin, end, per_second };
        sending.spawn(lane.send(client, prepared));
    }
    tokio::time::sleep_until(window.into()).await;
    let (counts, before) = (google.counts().await?, process::usage(&target.processes));
    let mut most = memory(&before);
    while now() < end {
        tokio::time::sleep_until((now() + LOOK).min(end).into()).await;
        most = most.max(memory(&process::usage(&target.processes)));
    }
    let (after_counts, after) = (google.counts().await?, process::usage(&target.processes));
    let mut sent = 0;
    while let Some(ended) = sending.join_next().await {
        sent += ended??;
    }
    let sent_by = now();
    let expected = sent * u64::from(settings.group_size - 1);
    let last = drained(google, expected).await?;
    let pushed = after_counts.delivered - counts.delivered;
    let memory = [memory(&first), memory(&before), most, memory(&after)];
    Ok(Report {
        shape: "push",
        arrangement,
        wanted_per_second: settings.rate,
        pushed: Rate::new(pushed, settings.duration),
        drained_after_millis: u64::try_from(sent_by.elapsed().as_millis()).unwrap_or(u64::MAX),
        most_in_flight: last.most_in_flight,
        memory: memory.into_iter().collect::<Option<Vec<u64>>>().and_then(|m| m.try_into().ok()),
        cpu: costs(&target.processes, &before, &after, pushed),
        checks: check(&last, expected),
    })
}

/// Waits until the service knows who is online, which takes a node's lifetime after a first start: until then it waits with
/// every alert for those who may be connected, and what is measured is alerts to people who are not.
async fn know_who_is_online(target: &Target) -> anyhow::Result<()> {
    let bar = super::run::bar(1, "knowing who is online");
    let mut sampler = Sampler::connect(&target.base).await?;
    let deadline = now() + PATIENCE;
    while sampler.gauge("messaging_push_presence_known") != Some(1.0) {
        if now() > deadline {
            bail!("the service does not find out who is online");
        }
        tokio::time::sleep(LOOK).await;
        sampler.sample().await?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// A device for everybody who does not write.
async fn register(target: &Target, prepared: &Arc<Prepared>, writers: usize) -> anyhow::Result<()> {
    let bar = super::run::bar((prepared.users.len() - writers) as u64, "devices");
    let mut registering = JoinSet::new();
    for lane in 0..LANES {
        let mut client = Client::connect(&target.base).await?;
        let (prepared, bar) = (Arc::clone(prepared), bar.clone());
        registering.spawn(async move {
            for number in (writers + lane..prepared.users.len()).step_by(LANES) {
                let token = format!("{}-{number}", uuid::Uuid::new_v4().simple());
                let body = json!({"token": token, "platform": "android"});
                let user = &prepared.users[number].token;
                client.json(Method::POST, "/messaging/devices", user, Some(&body)).await?;
                bar.inc(1);
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = registering.join_next().await {
        ended??;
    }
    bar.finish_and_clear();
    Ok(())
}

/// One connection that sends its share of the messages on a fixed schedule.
struct Lane {
    number: usize,
    groups: usize,
    begin: Instant,
    end: Instant,
    per_second: f64,
}

impl Lane {
    async fn send(self, mut client: Client, prepared: Arc<Prepared>) -> anyhow::Result<u64> {
        let mut sent = 0;
        for number in (self.number..).step_by(LANES) {
            let due = self.begin + Duration::from_secs_f64(number as f64 / self.per_second);
            if due >= self.end {
                break;
            }
            tokio::time::sleep_until(due.into()).await;
            let group = number % self.groups;
            let conversation = String::from_utf8_lossy(&prepared.conversations[group]);
            let body =
                json!({"conversationId": conversation, "content": format!("number {number}")});
            let token = &prepared.users[group].token;
            client.json(Method::POST, "/messaging/messages", token, Some(&body)).await?;
            sent += 1;
        }
        Ok(sent)
    }
}

/// Waits until so many have come, or for long enough, and then for ones too many.
async fn drained(google: &Google, expected: u64) -> anyhow::Result<Counts> {
    let deadline = now() + PATIENCE;
    loop {
        let counts = google.counts().await?;
        let complete = counts.delivered >= expected && counts.in_flight == 0;
        if complete || now() >= deadline {
            return Ok(counts);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn check(counts: &Counts, expected: u64) -> Checks {
    let mut objections = Objections::default();
    if counts.delivered != expected {
        objections.add(|| format!("{} notifications instead of {expected}", counts.delivered));
    }
    if counts.received != counts.delivered {
        objections.add(|| format!("{} attempts for {}", counts.received, counts.delivered));
    }
    Checks {
        passed: objections.count == 0,
        objections: objections.count,
        explanations: objections.texts,
    }
}

fn memory(usage: &[Option<Usage>]) -> Option<u64> {
    Some(usage.first().copied().flatten()?.memory)
}

impl Figures for Report {
    fn passed(&self) -> bool {
        self.checks.passed
    }

    fn table(&self) -> String {
        let mut text = format!(
            "push: {}, {:.0} notifications a second wanted, {:.0} pushed; {} under way at most, the last {} ms behind its message\n",
            self.arrangement,
            self.wanted_per_second,
            self.pushed.per_second,
            self.most_in_flight,
            self.drained_after_millis
        );
        // Writing to a string cannot fail.
        if let Some(memory) = self.memory {
            let [first, start, most, end] = memory.map(|bytes| bytes as f64 / 1_048_576.0);
            let _ = writeln!(
                text,
                "resident MiB of the service: {first:.1} before the load, {start:.1} at the start of the window, {most:.1} at most, {end:.1} at its end"
            );
        }
        let cpu = cost_table("µs/push", &self.cpu);
        let verdict = match self.checks.passed {
            true => "Every device got every message once.".to_owned(),
            false => self.checks.words(),
        };
        let _ = writeln!(text, "\n{cpu}\n\n{verdict}");
        text
    }
}

/// Is it possible?
///
/// # Errors
/// When it is not.
pub fn sane(settings: &Settings) -> anyhow::Result<()> {
    if settings.group_size < 2 || settings.people < settings.group_size {
        bail!("push needs --group-size of 2 or more, and more --users than that");
    }
    Ok(())
}

/// The load generator measures real time by its nature.
fn now() -> Instant {
    Instant::now()
}
