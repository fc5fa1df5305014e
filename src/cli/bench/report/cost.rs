//! What a run has cost the servers.

use comfy_table::Table;
use serde::Serialize;

use super::table;
use crate::cli::bench::process::{Process, Usage};

/// CPU of one process for each thing that was done, and what its memory did meanwhile.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    pub name: String,
    pub micros_each: f64,
    /// Resident bytes; of Postgres the proportional share of its whole tree.
    pub memory_before: u64,
    pub memory_after: u64,
}

/// The use of `processes` from one look to the next, divided by `count` things done. A process that could not be
/// read both times is left out.
pub fn costs(
    processes: &[Process],
    before: &[Option<Usage>],
    after: &[Option<Usage>],
    count: u64,
) -> Vec<Cost> {
    let looks = processes.iter().zip(before.iter().zip(after));
    looks
        .filter_map(|(process, (before, after))| {
            let (before, after) = ((*before)?, (*after)?);
            let used = after.cpu.saturating_sub(before.cpu);
            Some(Cost {
                name: process.name.clone(),
                micros_each: used.as_secs_f64() * 1e6 / count.max(1) as f64,
                memory_before: before.memory,
                memory_after: after.memory,
            })
        })
        .collect()
}

/// For people; `each` is what was counted, such as "µs/mark".
pub fn cost_table(each: &str, costs: &[Cost]) -> Table {
    let mebibytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1_048_576.0);
    let mut cpu = table(&["CPU", each, "MiB before", "MiB after"]);
    for cost in costs {
        let memory = [cost.memory_before, cost.memory_after].map(mebibytes);
        let used = [cost.name.clone(), format!("{:.0}", cost.micros_each)];
        cpu.add_row(used.into_iter().chain(memory));
    }
    cpu
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_cost_is_what_was_used_in_between_for_each_thing_done() {
        let process = |name: &str| Process { name: name.into(), pid: 1, tree: false };
        let usage = |millis, memory| Some(Usage { cpu: Duration::from_millis(millis), memory });
        let (before, after) = ([usage(100, 10), None], [usage(300, 30), usage(1, 1)]);
        let costs = costs(&[process("service"), process("late")], &before, &after, 1000);
        let [cost] = &costs[..] else { panic!("one that was seen twice: {costs:?}") };
        assert_eq!((cost.micros_each, cost.memory_before, cost.memory_after), (200.0, 10, 30));
    }
}
