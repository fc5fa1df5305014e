//! `[retention]`: how long messages are kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::formats::duration;

/// By the type of the conversation; zero for ever.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    #[serde(with = "duration")]
    pub direct: Duration,
    #[serde(with = "duration")]
    pub group: Duration,
    #[serde(with = "duration")]
    pub community: Duration,
}

impl Retention {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        for (kept, key) in
            [(self.direct, "direct"), (self.group, "group"), (self.community, "community")]
        {
            // Somebody who means days and writes minutes loses everything.
            if !kept.is_zero() && kept < Duration::from_secs(3600) {
                problems.push(format!(
                    "retention.{key} (MESSAGING_RETENTION_{}) is under 1h; 0s keeps messages for ever.",
                    key.to_uppercase()
                ));
            }
        }
    }
}
