//! Many people read along: how long until a `markAsRead` is answered?
//!
//! Each reader has a partner who has written to it before; it marks one message after the other, on a fixed schedule, so
//! that every mark moves its marker. Partners are connected and hear of it. At the end the markers are looked up.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hyper::Method;
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;

use super::engine::{Latencies, latencies};
use super::prepare::{Plan, Prepared, prepare};
use super::process::{self, Usage};
use super::report::{Checks, Cost, Figures, Percentiles, Rate, cost_table, costs, table};
use super::rest::Client;
use super::target::Target;
use super::verify::Objections;
pub use reader::Line;
use reader::{Listening, Schedule, Told};

mod reader;

/// Connections that are being opened at once, and partners that write at once.
const PARALLEL: usize = 64;

/// What to run.
#[derive(Debug)]
pub struct Settings {
    /// As many partners are connected as well.
    pub readers: u32,
    /// Marks a second, all readers together.
    pub rate: f64,
    pub warmup: Duration,
    pub duration: Duration,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub shape: &'static str,
    pub readers: u32,
    pub wanted_per_second: f64,
    /// Within the window.
    pub answered: Rate,
    /// From when a mark was due until its answer.
    pub latency: Percentiles,
    /// Marks that were refused, by code, `unanswered` among them.
    pub refused: std::collections::BTreeMap<String, u64>,
    pub cpu: Vec<Cost>,
    pub checks: Checks,
}

/// A reader's conversation.
struct Talk {
    id: String,
    /// In order.
    messages: Vec<Value>,
    reader: Line,
    /// Hears until the end.
    _partner: Listening,
}

/// Runs against the target.
pub async fn run(target: &Target, settings: Settings) -> anyhow::Result<Report> {
    let readers = settings.readers;
    let plan = Arc::new(Plan::direct(2 * readers, 2 * readers));
    let bar = super::run::bar(readers.into(), "conversations");
    let prepared = prepare(&target.base, &target.secret, 2 * readers, plan, bar.clone()).await?;
    bar.finish_and_clear();
    let lasting = settings.warmup + settings.duration;
    let each = (settings.rate * lasting.as_secs_f64() / f64::from(readers)).ceil() as usize + 1;
    let prepared = Arc::new(prepared);
    let talks = open(target, &prepared, each).await?;

    let schedule = Schedule::new(&settings, now());
    let mut reading = JoinSet::new();
    for (number, talk) in talks.into_iter().enumerate() {
        let schedule = schedule.of(number);
        reading.spawn(async move {
            let Talk { id, messages, reader, _partner } = talk;
            let told = reader.mark(&id, &messages, schedule).await;
            (number, messages, told)
        });
    }
    tokio::time::sleep_until(schedule.measured_from.into()).await;
    let before = process::usage(&target.processes);
    let mut all = Told::default();
    let mut expected = vec![None; readers as usize];
    while let Some(ended) = reading.join_next().await {
        let (number, messages, told) = ended?;
        expected[number] = told.furthest.map(|at| (messages.len() - at - 1, messages[at].clone()));
        all.add(told);
    }
    let after = process::usage(&target.processes);
    let mut objections = std::mem::take(&mut all.objections);
    verify(target, &prepared, &expected, &mut objections).await?;
    Ok(report(target, &settings, &all, objections, (&before, &after)))
}

/// Connects everybody and lets the partners write.
async fn open(
    target: &Target,
    prepared: &Arc<Prepared>,
    messages: usize,
) -> anyhow::Result<Vec<Talk>> {
    let pairs = prepared.users.len() / 2;
    let bar = super::run::bar(pairs as u64, "partners writing");
    let gate = Arc::new(tokio::sync::Semaphore::new(PARALLEL));
    let mut opening = JoinSet::new();
    for pair in 0..pairs {
        let (gate, bar, prepared) = (Arc::clone(&gate), bar.clone(), Arc::clone(prepared));
        let authority = target.base.authority.clone();
        opening.spawn(async move {
            let _permit = gate.acquire().await?;
            let id = String::from_utf8_lossy(&prepared.conversations[pair]).into_owned();
            let mut partner = Line::connect(&authority, &prepared.users[pair].token).await?;
            let reader = Line::connect(&authority, &prepared.users[pair + pairs].token).await?;
            let messages = partner.write(&id, messages).await?;
            bar.inc(1);
            anyhow::Ok((pair, Talk { id, messages, reader, _partner: partner.listen() }))
        });
    }
    let mut talks = Vec::with_capacity(pairs);
    while let Some(opened) = opening.join_next().await {
        talks.push(opened??);
    }
    bar.finish_and_clear();
    talks.sort_unstable_by_key(|(pair, _)| *pair);
    Ok(talks.into_iter().map(|(_, talk)| talk).collect())
}

/// Looks up every marker: it must stand at the furthest message that was marked, with the rest unread.
async fn verify(
    target: &Target,
    prepared: &Prepared,
    expected: &[Option<(usize, Value)>],
    objections: &mut Objections,
) -> anyhow::Result<()> {
    let mut client = Client::connect(&target.base).await?;
    for (pair, marked) in expected.iter().enumerate() {
        let Some((unread, message)) = marked else {
            objections.add(|| format!("reader {pair} has marked nothing"));
            continue;
        };
        let id = String::from_utf8_lossy(&prepared.conversations[pair]);
        let token = &prepared.users[pair + expected.len()].token;
        let path = format!("/messaging/conversations/{id}");
        let view = client.json(Method::GET, &path, token, None).await?;
        let people = view["participants"].as_array().context("participants")?;
        if !people.iter().any(|one| one["lastReadMessageId"] == message["id"]) {
            objections.add(|| format!("the marker of reader {pair} is not at {}", message["id"]));
        }
        if view["unreadCount"] != *unread {
            let shown = &view["unreadCount"];
            objections.add(|| format!("reader {pair} has {shown} unread instead of {unread}"));
        }
    }
    Ok(())
}

fn report(
    target: &Target,
    settings: &Settings,
    all: &Told,
    objections: Objections,
    (before, after): (&[Option<Usage>], &[Option<Usage>]),
) -> Report {
    let answered = all.latencies.as_ref().map_or(0, Latencies::len);
    Report {
        shape: "markers",
        readers: settings.readers,
        wanted_per_second: settings.rate,
        answered: Rate::new(answered, settings.duration),
        latency: all.latencies.as_ref().unwrap_or(&latencies()).into(),
        refused: all.refused.clone(),
        cpu: costs(&target.processes, before, after, answered),
        checks: Checks {
            passed: objections.count == 0,
            objections: objections.count,
            explanations: objections.texts,
        },
    }
}

impl Figures for Report {
    fn passed(&self) -> bool {
        self.checks.passed
    }

    fn table(&self) -> String {
        let mut text = format!(
            "markers: {} readers and their partners, {:.0} marks a second wanted, {:.0} answered\n",
            self.readers, self.wanted_per_second, self.answered.per_second
        );
        let p = &self.latency;
        let mut times = table(&["ms from due", "marks", "p50", "p90", "p99", "p99.9", "max"]);
        times.add_row(["answered".to_owned(), p.count.to_string()].into_iter().chain(p.cells()));
        for (code, count) in &self.refused {
            times.add_row([format!("refused: {code}"), count.to_string()]);
        }
        let cpu = cost_table("µs/mark", &self.cpu);
        let verdict = match self.checks.passed {
            true => "Every marker stands where it was set last.".to_owned(),
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
    let each = settings.rate * (settings.warmup + settings.duration).as_secs_f64()
        / f64::from(settings.readers);
    if each > 10_000.0 {
        bail!(
            "each reader would mark {each:.0} messages, which are written first: more users, please"
        );
    }
    Ok(())
}

/// The load generator measures real time by its nature.
fn now() -> Instant {
    Instant::now()
}
