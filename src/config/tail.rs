//! `[tail]`: how a node follows the log.

use serde::{Deserialize, Serialize};

/// How much of the recent log is kept in memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    pub ring_events: usize,
    pub ring_bytes: usize,
}

impl Tail {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.ring_events == 0 || self.ring_bytes < 1 << 20 {
            problems.push(
                "tail.ring_events must be at least 1 and tail.ring_bytes at least 1048576 (1 MiB)."
                    .into(),
            );
        }
    }
}
