//! `[presence]`: who counts as online, and who is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::formats::duration;

/// How patient presence is, and how far news of it go.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    #[serde(with = "duration")]
    pub grace: Duration,
    #[serde(with = "duration")]
    pub node_ttl: Duration,
    pub max_group: u32,
}

impl Presence {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.node_ttl < Duration::from_secs(1) || self.node_ttl.subsec_nanos() != 0 {
            problems.push(
                "presence.node_ttl (MESSAGING_PRESENCE_NODE_TTL) must be a number of whole seconds, at least 1s."
                    .into(),
            );
        }
    }
}
