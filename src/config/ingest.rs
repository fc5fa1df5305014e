//! `[ingest]`: what other services say.

use serde::{Deserialize, Serialize};

/// How much at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    pub batch_size: usize,
    pub max_requests: usize,
    pub requests_per_second: u32,
}

impl Ingest {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if !(1..=2_000).contains(&self.batch_size) {
            problems.push(format!(
                "ingest.batch_size is {}; it must be between 1 and 2000.",
                self.batch_size
            ));
        }
    }
}
