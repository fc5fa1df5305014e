//! `[limits]`: what one client may use. 0 turns a limit off.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::formats::duration;

/// Rates, sizes and counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub messages_per_second: u32,
    pub signals_per_second: u32,
    pub requests_per_second: u32,
    pub connects_per_second: u32,
    pub max_connections_per_user: usize,
    pub max_frame_bytes: usize,
    pub max_content_chars: usize,
    pub max_group_participants: usize,
    pub max_queued_frames: usize,
    pub max_conversations_per_user: usize,
    pub max_replayed_per_conversation: usize,
    pub max_replayed_events: usize,
    pub max_replays: usize,
    #[serde(with = "duration")]
    pub edit_window: Duration,
}

impl Limits {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        // The least that carries a connect frame with a token.
        if self.max_frame_bytes != 0 && self.max_frame_bytes < 4096 {
            problems.push(format!(
                "limits.max_frame_bytes (MAX_FRAME_BYTES) is {}; the least is 4096, or 0 for no limit.",
                self.max_frame_bytes
            ));
        }
        for (value, key, name) in [
            (
                self.max_replayed_per_conversation,
                "max_replayed_per_conversation",
                "MAX_REPLAYED_PER_CONVERSATION",
            ),
            (self.max_replayed_events, "max_replayed_events", "MAX_REPLAYED_EVENTS"),
            (self.max_replays, "max_replays", "MAX_REPLAYS"),
        ] {
            if value == 0 {
                problems.push(format!(
                    "limits.{key} ({name}) is 0; what is replayed to one client needs a limit of at least 1."
                ));
            }
        }
        if self.max_group_participants == 1 {
            problems.push(
                "limits.max_group_participants (MAX_GROUP_PARTICIPANTS) is 1; a group has at least 2."
                    .into(),
            );
        }
    }
}
