//! `[persister]`: how messages are written to Postgres.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::formats::duration;

/// The size and patience of a batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persister {
    pub batch_size: usize,
    #[serde(with = "duration")]
    pub linger: Duration,
}

impl Persister {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if !(1..=10_000).contains(&self.batch_size) {
            problems.push(format!(
                "persister.batch_size is {}; it must be between 1 and 10000.",
                self.batch_size
            ));
        }
        if self.linger > Duration::from_secs(1) {
            problems.push("persister.linger is over 1s; reads after a write wait for it.".into());
        }
    }
}
