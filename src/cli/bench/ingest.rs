//! Another service speaks: how long until its system messages are with those who are connected?
//!
//! It publishes to the queue on a fixed schedule, to one conversation after the other, each message with an id of its own.
//! One person of each conversation is connected. At the end everybody must have got every message once, and Postgres too.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::engine::{Latencies, latencies};
use super::markers::Line;
use super::prepare::{Plan, Prepared, prepare};
use super::process::{self, Usage};
use super::report::{Checks, Cost, Figures, Percentiles, Rate, cost_table, costs, table};
use super::rest::Client;
use super::target::Target;
use super::verify::Objections;
use crate::bus::connect;
use crate::bus::outside::Outside;

/// Messages that it has published and was not answered for, at most: some seconds of them.
const IN_FLIGHT: usize = 10_000;
/// How long nothing may come while something is missing.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often to look whether everything has come.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What to run.
#[derive(Debug)]
pub struct Settings {
    /// With two people each, one of whom is connected.
    pub conversations: u32,
    /// Messages a second.
    pub rate: f64,
    pub warmup: Duration,
    pub duration: Duration,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub shape: &'static str,
    pub conversations: u32,
    pub wanted_per_second: f64,
    /// Within the window, by those who are connected.
    pub received: Rate,
    /// From when a message was due until the queue had it.
    pub stored: Percentiles,
    /// From when a message was due until somebody had it.
    pub delivered: Percentiles,
    pub cpu: Vec<Cost>,
    pub checks: Checks,
}

/// When messages are due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    first: Instant,
    rate: f64,
    /// Messages of the warm-up.
    warm: u64,
    total: u64,
}

impl Schedule {
    fn due(&self, number: u64) -> Instant {
        self.first + Duration::from_secs_f64(number as f64 / self.rate)
    }

    fn note(&self, number: u64, times: &mut Latencies) {
        if number >= self.warm {
            let micros = now().saturating_duration_since(self.due(number)).as_micros();
            times.saturating_record(u64::try_from(micros).unwrap_or(u64::MAX).max(1));
        }
    }
}

/// What one person got.
struct Got {
    times: Latencies,
    /// Each message's number, as often as it came.
    numbers: Vec<u64>,
}

/// Runs against the target.
pub async fn run(target: &Target, settings: Settings) -> anyhow::Result<Report> {
    let door = target.nats.clone();
    let door = door.context("set NATS_URL, NATS_USER (the service's name) and NATS_PASSWORD")?;
    let nats = connect::Settings {
        urls: vec![door.url],
        user: Some(door.user.clone()),
        password: Some(door.password),
        ..Default::default()
    };
    let outside = Outside::connect(&nats).await?;
    let count = settings.conversations;
    let plan = Arc::new(Plan::direct(2 * count, 2 * count));
    let bar = super::run::bar(count.into(), "conversations");
    let prepared = prepare(&target.base, &target.secret, 2 * count, plan, bar.clone()).await?;
    bar.finish_and_clear();
    let mut lines = Vec::with_capacity(count as usize);
    for user in &prepared.users[..count as usize] {
        lines.push(Line::connect(&target.base.authority, &user.token).await?);
    }

    let lasting = (settings.warmup + settings.duration).as_secs_f64();
    let schedule = Schedule {
        first: now(),
        rate: settings.rate,
        warm: (settings.rate * settings.warmup.as_secs_f64()) as u64,
        total: (settings.rate * lasting) as u64,
    };
    let arrived = Arc::new(AtomicU64::new(0));
    let mut listening = JoinSet::new();
    for (number, line) in lines.into_iter().enumerate() {
        let share = (schedule.total + u64::from(count) - 1 - number as u64) / u64::from(count);
        let arrived = arrived.clone();
        listening.spawn(async move { (number, listen(line, schedule, share, &arrived).await) });
    }
    let publishing = publish(&outside, &door.user, &prepared, schedule);
    let looking = async {
        tokio::time::sleep_until((schedule.first + settings.warmup).into()).await;
        let before = process::usage(&target.processes);
        (before, arrived.load(Ordering::Relaxed))
    };
    let (stored, (before, early)) = tokio::join!(publishing, looking);
    let stored = stored?;
    let late = arrived.load(Ordering::Relaxed);
    let took = now().saturating_duration_since(schedule.first + settings.warmup);
    settle(&arrived, schedule.total).await;
    let after = process::usage(&target.processes);
    let (times, mut objections) = collect(&mut listening, schedule, count).await?;
    verify(target, &prepared, schedule, count, &mut objections).await?;
    let done = schedule.total - schedule.warm;
    Ok(Report {
        shape: "ingest",
        conversations: count,
        wanted_per_second: settings.rate,
        received: Rate::new(late - early, took),
        stored: (&stored).into(),
        delivered: (&times).into(),
        cpu: cost(target, &before, &after, done),
        checks: Checks {
            passed: objections.count == 0,
            objections: objections.count,
            explanations: objections.texts,
        },
    })
}

fn cost(
    target: &Target,
    before: &[Option<Usage>],
    after: &[Option<Usage>],
    done: u64,
) -> Vec<Cost> {
    costs(&target.processes, before, after, done)
}

/// Publishes everything on schedule; from due until stored.
async fn publish(
    outside: &Outside,
    service: &str,
    prepared: &Prepared,
    schedule: Schedule,
) -> anyhow::Result<Latencies> {
    let subjects: Vec<String> = prepared
        .conversations
        .iter()
        .map(|id| {
            let id = String::from_utf8_lossy(id);
            format!("messaging.system.{service}.conversation.{id}")
        })
        .collect();
    let run = uuid::Uuid::new_v4().simple().to_string();
    let mut times = latencies();
    let mut waiting = FuturesUnordered::new();
    for number in 0..schedule.total {
        let due = schedule.due(number);
        while waiting.len() >= IN_FLIGHT || now() < due {
            tokio::select! {
                Some(stored) = waiting.next(), if !waiting.is_empty() => {
                    let number = stored?;
                    schedule.note(number, &mut times);
                }
                () = tokio::time::sleep_until(due.into()), if waiting.len() < IN_FLIGHT => {}
            }
        }
        let subject = subjects[(number % subjects.len() as u64) as usize].clone();
        let body = json!({"content": number.to_string()}).to_string();
        let stored = outside.publish(subject, &format!("{run}-{number}"), body.into()).await?;
        waiting.push(async move { stored.await.map(|()| number) });
    }
    while let Some(stored) = waiting.next().await {
        schedule.note(stored?, &mut times);
    }
    Ok(times)
}

/// Reads until everything of one conversation has come, or nothing comes any more.
async fn listen(mut line: Line, schedule: Schedule, share: u64, arrived: &AtomicU64) -> Got {
    let mut got = Got { times: latencies(), numbers: Vec::new() };
    // One more look for what comes twice would wait for nothing: a repetition comes in front of what follows it.
    while (got.numbers.len() as u64) < share {
        let frame = match tokio::time::timeout(PATIENCE, line.event("newMessage")).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(_)) | Err(_) => break,
        };
        let content = frame["data"]["content"].as_str().and_then(|text| text.parse().ok());
        let Some(number) = content else { continue };
        schedule.note(number, &mut got.times);
        got.numbers.push(number);
        arrived.fetch_add(1, Ordering::Relaxed);
    }
    got
}

/// Waits until everything has come, or nothing comes any more.
async fn settle(arrived: &AtomicU64, total: u64) {
    let (mut known, mut since) = (0, now());
    while known < total && since.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK_EVERY).await;
        let there = arrived.load(Ordering::Relaxed);
        if there > known {
            (known, since) = (there, now());
        }
    }
}

/// What everybody got, held against what was sent.
async fn collect(
    listening: &mut JoinSet<(usize, Got)>,
    schedule: Schedule,
    count: u32,
) -> anyhow::Result<(Latencies, Objections)> {
    let mut times = latencies();
    let mut objections = Objections::default();
    while let Some(ended) = listening.join_next().await {
        let (conversation, got) = ended?;
        times.add(&got.times)?;
        let expected = (conversation as u64..schedule.total).step_by(count as usize);
        let expected: Vec<u64> = expected.collect();
        if got.numbers != expected {
            let (found, wanted) = (got.numbers.len(), expected.len());
            objections.add(|| {
                format!(
                    "conversation {conversation}: {found} messages, or others, of {wanted} came"
                )
            });
        }
    }
    Ok((times, objections))
}

/// Nobody has read anything, so what is unread is what Postgres has.
async fn verify(
    target: &Target,
    prepared: &Prepared,
    schedule: Schedule,
    count: u32,
    objections: &mut Objections,
) -> anyhow::Result<()> {
    let mut client = Client::connect(&target.base).await?;
    for (number, id) in prepared.conversations.iter().enumerate() {
        let id = String::from_utf8_lossy(id);
        let path = format!("/messaging/conversations/{id}");
        let token = &prepared.users[number].token;
        let view: Value = client.json(Method::GET, &path, token, None).await?;
        let share = (number as u64..schedule.total).step_by(count as usize).count();
        if view["unreadCount"] != share {
            let there = &view["unreadCount"];
            objections.add(|| format!("conversation {number}: {there} of {share} in Postgres"));
        }
    }
    Ok(())
}

impl Figures for Report {
    fn passed(&self) -> bool {
        self.checks.passed
    }

    fn table(&self) -> String {
        let mut text = format!(
            "ingest: {} conversations, {:.0} system messages a second wanted, {:.0} received\n",
            self.conversations, self.wanted_per_second, self.received.per_second
        );
        let mut times = table(&["ms from due", "messages", "p50", "p90", "p99", "p99.9", "max"]);
        for (name, p) in [("stored", &self.stored), ("delivered", &self.delivered)] {
            times.add_row([name.to_owned(), p.count.to_string()].into_iter().chain(p.cells()));
        }
        let cpu = cost_table("µs/message", &self.cpu);
        let verdict = match self.checks.passed {
            true => "Every message came once, in its order, and is in Postgres.".to_owned(),
            false => self.checks.words(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{times}\n\n{cpu}\n\n{verdict}");
        text
    }
}

/// Is the schedule one that can be kept?
///
/// # Errors
/// When it is not.
pub fn check(settings: &Settings) -> anyhow::Result<()> {
    if settings.conversations == 0 || settings.rate * settings.duration.as_secs_f64() < 1.0 {
        bail!("there is nothing to publish: a higher --rate or --duration, please");
    }
    Ok(())
}

/// The load generator measures real time by its nature.
fn now() -> Instant {
    Instant::now()
}
