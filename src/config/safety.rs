//! `[safety]`: what keeps advertisers away.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::formats::duration;

/// Rules about what is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Safety {
    pub same_text_conversations: u32,
    #[serde(with = "duration")]
    pub same_text_window: Duration,
    pub young_user_hours: u32,
}

impl Safety {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        // Longer would keep more than the memory was reckoned for.
        if self.same_text_window > Duration::from_secs(600) {
            problems.push(
                "safety.same_text_window (MESSAGING_SAME_TEXT_WINDOW) is over 10m; what is sent is remembered for so long."
                    .into(),
            );
        }
    }
}
