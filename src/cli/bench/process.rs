//! What processes have used, from `/proc`. On systems without it there are no such figures.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// A process whose use is reported, with everything below it if it is a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub name: String,
    pub pid: u32,
    /// Postgres: a process for every connection and task.
    pub tree: bool,
}

/// What a process has used since it began, and the memory it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu: Duration,
    /// Resident bytes. For a tree the proportional share, so that shared memory counts once.
    pub memory: u64,
}

#[derive(Debug, Clone, Copy)]
struct Stat {
    parent: u32,
    /// Ticks of the process itself and of children that have ended.
    ticks: u64,
    resident_pages: u64,
}

/// The use of each process; `None` for one that is gone or cannot be read.
pub fn usage(processes: &[Process]) -> Vec<Option<Usage>> {
    let stats = if processes.iter().any(|p| p.tree) { all_stats() } else { HashMap::new() };
    let of_tree = |root: u32| {
        let mut pids = vec![root];
        let mut at = 0;
        while let Some(&parent) = pids.get(at) {
            pids.extend(stats.iter().filter(|(_, s)| s.parent == parent).map(|(pid, _)| *pid));
            at += 1;
        }
        let ticks = pids.iter().filter_map(|pid| stats.get(pid)).map(|s| s.ticks).sum();
        let memory = pids.iter().map(|pid| proportional(*pid).unwrap_or(0)).sum();
        stats.contains_key(&root).then(|| Usage { cpu: duration(ticks), memory })
    };
    let of_one = |pid| {
        let stat = stat(pid)?;
        let memory = stat.resident_pages * rustix::param::page_size() as u64;
        Some(Usage { cpu: duration(stat.ticks), memory })
    };
    processes.iter().map(|p| if p.tree { of_tree(p.pid) } else { of_one(p.pid) }).collect()
}

/// The use of this process.
pub fn own() -> Option<Usage> {
    let own = Process { name: "bench".into(), pid: std::process::id(), tree: false };
    usage(&[own])[0]
}

fn duration(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second();
    Duration::from_secs_f64(ticks as f64 / per_second as f64)
}

fn all_stats() -> HashMap<u32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    // A process may end while it is looked at.
    pids.filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads a line of proc(5); the name may hold spaces and parentheses, so counting begins behind it.
fn parse_stat(line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: number(1)? as u32,
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
        resident_pages: number(21)?,
    })
}

fn proportional(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name_of_the_process() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 9 0 55 1000 42 18446744073709551615";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.parent, stat.ticks, stat.resident_pages), (3, 124, 42));
        assert!(parse_stat("nonsense").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory_and_a_process_that_is_gone_uses_nothing() {
        assert!(own().unwrap().memory > 100_000);
        let gone = |tree| Process { name: "gone".into(), pid: u32::MAX, tree };
        assert_eq!(usage(&[gone(true), gone(false)]), [None, None]);
    }
}
