//! `[lifecycle]`: how the process ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::formats::duration;

/// Patience while stopping.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lifecycle {
    #[serde(with = "duration")]
    pub drain_window: Duration,
    #[serde(with = "duration")]
    pub hard_deadline: Duration,
}

impl Lifecycle {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.hard_deadline <= self.drain_window {
            problems.push(
                "lifecycle.hard_deadline must be longer than lifecycle.drain_window, or draining is cut \
                 short."
                    .into(),
            );
        }
    }
}
