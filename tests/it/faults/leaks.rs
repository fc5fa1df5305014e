//! What processes must not keep when their clients have gone: tasks, connections, files, memory, subscriptions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::actors::Actor;
use super::run::awaited;
use super::stage::Stage;

/// Tasks and files of a process vary by what is under way at the moment: a call for these figures, a connection of
/// the pool, a signal.
const SLACK: u64 = 12;
/// Memory that a run of some minutes may add: caches, buffers of the allocator, the recent events themselves.
const MEMORY: u64 = 64 << 20;
/// Connections are noticed to be gone a little later.
const PATIENCE: Duration = Duration::from_secs(20);

/// Of one process.
#[derive(Debug, Clone, Copy)]
struct Figures {
    tasks: u64,
    connections: u64,
    files: u64,
    memory: u64,
}

/// How things were before the first client came.
pub struct Baseline {
    /// By role.
    actors: BTreeMap<String, Vec<Figures>>,
    /// The most subscriptions that a connection of that name had.
    subscriptions: BTreeMap<String, u64>,
}

pub async fn baseline(stage: &Stage) -> Baseline {
    let mut actors: BTreeMap<String, Vec<Figures>> = BTreeMap::new();
    for actor in stage.actors() {
        let figures = awaited("figures", PATIENCE, async || figures(actor).await);
        let figures = figures.await.expect("the process has just started");
        actors.entry(role(actor).to_owned()).or_default().push(figures);
    }
    Baseline { actors, subscriptions: subscriptions(stage).await }
}

/// What is kept, in words.
pub async fn check(stage: &Stage, before: &Baseline) -> Vec<String> {
    let mut objections = Vec::new();
    for actor in stage.actors() {
        // A process that was started again is compared with its like.
        let like = &before.actors[role(actor)];
        let most = |figure: fn(&Figures) -> u64| like.iter().map(figure).max().unwrap_or(0);
        let (tasks, files, memory) = (most(|f| f.tasks), most(|f| f.files), most(|f| f.memory));
        let mut last = None;
        let fine = awaited("quiet", PATIENCE, async || {
            let now = figures(actor).await?;
            last = Some(now);
            let fine = now.tasks <= tasks + SLACK
                && now.files <= files + SLACK
                && now.memory <= memory + MEMORY
                && now.connections == 0;
            fine.then_some(())
        });
        if fine.await.is_err() {
            objections.push(format!(
                "{} keeps {last:?}, where at most {tasks} tasks, {files} files and {memory} bytes were before",
                actor.name
            ));
        }
    }
    let fine = awaited("subscriptions", PATIENCE, async || {
        let grown = grown(&subscriptions(stage).await, &before.subscriptions);
        grown.is_empty().then_some(())
    });
    if fine.await.is_err() {
        let now = subscriptions(stage).await;
        let grown = grown(&now, &before.subscriptions);
        objections.push(format!("more subscriptions on NATS than before: {}", grown.join(", ")));
    }
    objections
}

fn role(actor: &Actor) -> &str {
    actor.name.split(' ').next().unwrap_or_default()
}

fn grown(now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> Vec<String> {
    let more = |(name, count): (&String, &u64)| {
        let was = before.get(name).copied().unwrap_or(0);
        // The inbox for answers is subscribed to with the first question.
        (*count > was + 1).then(|| format!("{name}: {count} where {was} were"))
    };
    now.iter().filter_map(more).collect()
}

async fn figures(actor: &Actor) -> Option<Figures> {
    let pid = actor.pid()?;
    let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().ok()?;
    let answer = http.get(format!("{}/metrics", actor.url())).send().await.ok()?;
    let text = answer.text().await.ok()?;
    let sum = |name: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Figures {
        tasks: sum("messaging_tasks "),
        connections: sum("messaging_connections{"),
        files,
        memory: pages * 4096,
    })
}

async fn subscriptions(stage: &Stage) -> BTreeMap<String, u64> {
    let mut most: BTreeMap<String, u64> = BTreeMap::new();
    for monitor in stage.servers.monitors() {
        let Ok(answer) = reqwest::get(format!("{monitor}/connz?limit=1000")).await else {
            continue;
        };
        let found: Value = answer.json().await.unwrap_or_default();
        for connection in found["connections"].as_array().into_iter().flatten() {
            let name = connection["name"].as_str().unwrap_or_default();
            // Those of the suite have none.
            if !name.is_empty() {
                let most = most.entry(name.to_owned()).or_default();
                *most = (*most).max(connection["subscriptions"].as_u64().unwrap_or(0));
            }
        }
    }
    most
}
