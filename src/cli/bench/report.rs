//! The figures of a run, for machines and for people.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{CellAlignment, LineStyle, Table, presets};
use serde::Serialize;

use super::engine::Latencies;
use super::metrics::Buckets;
use super::process::{Process, Usage};
pub use cost::{Cost, cost_table, costs};
pub use returns::Returns;

mod cost;
mod load;
mod returns;

/// The figures of one run.
pub trait Figures: Serialize {
    /// The summary for people.
    fn table(&self) -> String;
    /// Was everything as it must be?
    fn passed(&self) -> bool;
}

/// What to print, and whether everything was as it must be.
///
/// # Errors
/// When the figures cannot be written as JSON.
pub fn printed(figures: &impl Figures, json: bool) -> serde_json::Result<(String, bool)> {
    let text = if json { serde_json::to_string(figures)? + "\n" } else { figures.table() };
    Ok((text, figures.passed()))
}

/// Everything that is printed; times are in the unit that the field's name ends with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub shape: &'static str,
    pub protocol: &'static str,
    pub users: u32,
    pub senders: u32,
    /// Such as "100 direct conversations".
    pub arrangement: String,
    /// Such as "closed loop, 1 in flight".
    pub load: String,
    pub content_bytes: usize,
    /// The measured window, after the warm-up.
    pub window_seconds: f64,
    pub connect: Connect,
    /// Of the whole run, the warm-up included.
    pub sent: u64,
    /// Refused messages by code, `unanswered` among them.
    pub refused: BTreeMap<String, u64>,
    /// Within the window.
    pub acknowledged: Rate,
    pub deliveries: Rate,
    pub ack_latency: Percentiles,
    pub delivery_latency: Percentiles,
    /// Of those who were cut off, in a storm.
    pub returns: Option<Returns>,
    /// `None` when nothing was sent.
    pub persistence: Option<Persistence>,
    pub stages: Vec<Stage>,
    pub cpu: Cpu,
    pub memory: Vec<Memory>,
    /// What each connection added to the service's resident memory, when nothing else did.
    pub bytes_per_connection: Option<u64>,
    pub checks: Checks,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connect {
    pub connections: u32,
    pub seconds: f64,
    pub per_second: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    pub count: u64,
    pub per_second: f64,
}

impl Rate {
    pub fn new(count: u64, window: Duration) -> Self {
        Self { count, per_second: count as f64 / window.as_secs_f64() }
    }
}

/// Microseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Percentiles {
    pub count: u64,
    pub p50_micros: u64,
    pub p90_micros: u64,
    pub p99_micros: u64,
    pub p999_micros: u64,
    pub max_micros: u64,
}

impl Percentiles {
    /// Milliseconds for a table, without the count.
    pub fn cells(&self) -> [String; 5] {
        [self.p50_micros, self.p90_micros, self.p99_micros, self.p999_micros, self.max_micros]
            .map(|micros| format!("{:.2}", micros as f64 / 1000.0))
    }
}

impl From<&Latencies> for Percentiles {
    fn from(latencies: &Latencies) -> Self {
        let at = |quantile| latencies.value_at_quantile(quantile);
        Self {
            count: latencies.len(),
            p50_micros: at(0.5),
            p90_micros: at(0.9),
            p99_micros: at(0.99),
            p999_micros: at(0.999),
            max_micros: latencies.max(),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Persistence {
    /// From the end of the load until the newest message could be read from Postgres.
    pub after_end_millis: f64,
    pub lag: Option<Lag>,
}

/// How far Postgres is behind, sampled from `/metrics` in the window.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lag {
    pub samples: usize,
    pub p50_messages: f64,
    pub p99_messages: f64,
    pub max_messages: f64,
}

impl Lag {
    /// `None` without samples, which must ascend.
    pub fn new(samples: &[f64]) -> Option<Self> {
        let last = samples.len().checked_sub(1)?;
        let at = |quantile: f64| samples[(last as f64 * quantile).ceil() as usize];
        Some(Self {
            samples: samples.len(),
            p50_messages: at(0.5),
            p99_messages: at(0.99),
            max_messages: at(1.0),
        })
    }
}

/// A part of a message's way as the service measures it, in the window. Quantiles are as fine as the
/// service's buckets, and `None` beyond the last of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    pub name: &'static str,
    pub count: u64,
    pub p50_millis: Option<f64>,
    pub p90_millis: Option<f64>,
    pub p99_millis: Option<f64>,
}

impl Stage {
    pub fn new(name: &'static str, buckets: &Buckets) -> Self {
        let millis = |quantile| buckets.quantile(quantile).map(|seconds| seconds * 1000.0);
        Self {
            name,
            count: buckets.count() as u64,
            p50_millis: millis(0.5),
            p90_millis: millis(0.9),
            p99_millis: millis(0.99),
        }
    }
}

/// From the start of the window until everything was persisted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cpu {
    pub seconds: f64,
    /// What the use is divided by: all that was acknowledged and delivered in this time.
    pub messages: u64,
    pub deliveries: u64,
    pub processes: Vec<CpuUse>,
    /// All of the above together.
    pub servers: Option<CpuUse>,
    /// The load generator itself, which is not part of the sum.
    pub generator: Option<CpuUse>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuUse {
    pub name: String,
    pub cpu_seconds: f64,
    /// 1.0 is one core all the time.
    pub cores: f64,
    pub micros_per_message: Option<f64>,
    pub micros_per_delivery: Option<f64>,
}

impl Cpu {
    /// From what the processes had used at the start and at the end.
    pub fn new(
        wall: Duration,
        (messages, deliveries): (u64, u64),
        servers: &[(Process, Option<Duration>)],
        generator: Option<Duration>,
    ) -> Self {
        let each =
            |used: Duration, count| (count > 0).then(|| used.as_secs_f64() * 1e6 / count as f64);
        let of = |name: &str, used: Duration| CpuUse {
            name: name.to_owned(),
            cpu_seconds: used.as_secs_f64(),
            cores: used.as_secs_f64() / wall.as_secs_f64(),
            micros_per_message: each(used, messages),
            micros_per_delivery: each(used, deliveries),
        };
        // A sum that lacks a process would flatter.
        let sum: Option<Duration> = servers.iter().map(|(_, used)| *used).sum();
        let known = servers.iter().filter_map(|(process, used)| Some(of(&process.name, (*used)?)));
        Self {
            seconds: wall.as_secs_f64(),
            messages,
            deliveries,
            processes: known.collect(),
            servers: sum.filter(|_| !servers.is_empty()).map(|used| of("servers", used)),
            generator: generator.map(|used| of("generator", used)),
        }
    }
}

/// Resident bytes of a process; of Postgres the proportional share of its whole tree.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    pub name: String,
    pub before_connecting: u64,
    pub connected: u64,
    pub at_end: u64,
}

impl Memory {
    pub fn new(process: &Process, usages: [Option<Usage>; 3]) -> Option<Self> {
        let [before, connected, end] = usages.map(|usage| usage.map(|u| u.memory));
        Some(Self {
            name: process.name.clone(),
            before_connecting: before?,
            connected: connected?,
            at_end: end?,
        })
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checks {
    pub passed: bool,
    /// All objections; the first few are written out.
    pub objections: u64,
    pub explanations: Vec<String>,
}

impl Checks {
    /// The verdict for people.
    pub fn words(&self) -> String {
        if self.passed {
            return "Every receiver got everything once, in one order.".to_owned();
        }
        format!("{} objections:\n{}", self.objections, self.explanations.join("\n"))
    }
}

/// An empty table whose columns but the first are numbers.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()))
        .set_header(header.to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_of_a_message_is_that_of_all_servers_and_unknown_if_one_is() {
        let process = |name: &str| Process { name: name.into(), pid: 1, tree: false };
        let used = |millis| Some(Duration::from_millis(millis));
        let mut servers = vec![(process("a"), used(200)), (process("b"), used(100))];
        let cpu = Cpu::new(Duration::from_secs(1), (1000, 2000), &servers, used(10));
        let sum = cpu.servers.unwrap();
        assert_eq!(sum.micros_per_message, Some(300.0));
        assert_eq!(sum.micros_per_delivery, Some(150.0));
        servers.push((process("c"), None));
        let cpu = Cpu::new(Duration::from_secs(1), (1000, 2000), &servers, None);
        assert!(cpu.servers.is_none() && cpu.processes.len() == 2);
    }

    #[test]
    fn the_lag_is_that_of_the_samples() {
        let lag = Lag::new(&[0.0, 100.0, 800.0]).unwrap();
        assert_eq!((lag.p50_messages, lag.p99_messages, lag.samples), (100.0, 800.0, 3));
        assert!(Lag::new(&[]).is_none());
    }
}
