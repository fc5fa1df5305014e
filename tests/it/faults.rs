//! The fault suite: whatever is killed, frozen or cut off while people talk, every participant who was or comes
//! back online sees every acknowledged message once, in one order.
//!
//! `plan` draws a schedule of faults from a seed, `stage` carries it out on real processes, `client` talks
//! meanwhile, and `checker` compares what every device saw with the log and with Postgres. `make faults` runs it for
//! minutes against a cluster; a short run is one of the tests.

mod actors;
mod checker;
mod client;
mod leaks;
mod link;
mod plan;
mod pushes;
mod record;
mod run;
mod servers;
mod stage;
mod truth;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plan::Shape;

/// One NATS server, two edges: everything that can break in seconds.
const SHORT: Shape = Shape {
    edges: 2,
    persisters: 2,
    senders: 1,
    nats: 1,
    users: 4,
    seconds: 6,
    longest: Duration::from_millis(1_500),
    faults: 12,
};

/// A cluster of three, as in production.
const LONG: Shape = Shape {
    edges: 3,
    persisters: 2,
    senders: 2,
    nats: 3,
    users: 6,
    seconds: 45,
    longest: Duration::from_secs(9),
    faults: 40,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_storm_loses_doubles_and_reorders_nothing() {
    let seed = setting("SEED").unwrap_or(1);
    let outcome = run::run(seed, &SHORT).await;
    assert!(outcome.objections.is_empty(), "{}\n{}", run::report(seed, &outcome), outcome.logs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_upgrade_loses_doubles_and_reorders_nothing() {
    let outcome = run::upgrade(&SHORT).await;
    assert_eq!(outcome.steps.len(), SHORT.edges + SHORT.persisters + SHORT.senders);
    assert!(outcome.objections.is_empty(), "{}\n{}", run::report(0, &outcome), outcome.logs);
}

/// `SEED` is the first one, `RUNS` how many, `MINUTES` how long at the most, `SHORT=1` on a single server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make faults"]
async fn long_storms_lose_double_and_reorder_nothing() {
    let first = setting("SEED").unwrap_or_else(rand::random);
    let runs = setting("RUNS").unwrap_or(5);
    let minutes = setting("MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let shape = if setting("SHORT") == Some(1) { SHORT } else { LONG };
    let began = Instant::now();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for seed in (0..runs).map(|run| first.wrapping_add(run)) {
        if minutes.is_some_and(|minutes| began.elapsed() > minutes) {
            break;
        }
        let outcome = run::run(seed, &shape).await;
        for step in &outcome.steps {
            *counts.entry(step.fault.kind()).or_default() += 1;
        }
        println!(
            "seed {seed}: {} faults, {} acknowledged, {} resumed, {} reset, {} objections",
            outcome.steps.len(),
            outcome.accepted,
            outcome.resumed,
            outcome.resets,
            outcome.objections.len()
        );
        if !outcome.objections.is_empty() {
            println!("{}", run::report(seed, &outcome));
            if let Some(folder) = std::env::var_os("LOGS") {
                let path = std::path::Path::new(&folder).join(format!("{seed}.log"));
                std::fs::write(path, &outcome.logs).expect("the folder for logs");
            }
            failed.push(seed);
        }
    }
    for (kind, count) in counts {
        println!("{count:5} × {kind}");
    }
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}
