//! Logs, metrics and traces.

pub mod listener;
pub mod metrics;
pub mod trace;

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

pub use metrics::Metrics;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Pretty when standard error is a terminal, JSON otherwise.
    Auto,
    Pretty,
    Json,
}

/// Starts logging to standard error; standard output belongs to the commands' answers.
///
/// `filter` is a level or a list of `target=level`.
///
/// # Errors
/// When `filter` is not a filter.
pub fn init(filter: &str, format: Format) -> Result<(), ParseError> {
    let filter: EnvFilter = filter.parse()?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let pretty = match format {
        Format::Auto => std::io::stderr().is_terminal(),
        Format::Pretty => true,
        Format::Json => false,
    };
    if pretty {
        builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init();
    } else {
        builder.json().flatten_event(true).with_current_span(false).init();
    }
    Ok(())
}
