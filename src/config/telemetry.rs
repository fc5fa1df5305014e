//! `[telemetry]`: what operators see.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pretty when standard error is a terminal, JSON otherwise.
    Auto,
    Pretty,
    Json,
}

/// Logs and traces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    pub log: String,
    pub format: LogFormat,
    /// 0 to 1.
    pub trace_sample_ratio: f64,
}

impl Telemetry {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if !(0.0..=1.0).contains(&self.trace_sample_ratio) {
            problems.push("telemetry.trace_sample_ratio must be between 0 and 1.".into());
        }
        if let Err(error) = self.log.parse::<EnvFilter>() {
            problems.push(format!("telemetry.log (MESSAGING_LOG) is not a log filter: {error}."));
        }
    }
}
