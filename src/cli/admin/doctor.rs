//! `messaging admin doctor`: whether what the service needs is there and as it should be, and what to change.
//!
//! It changes nothing, and goes on when something does not answer: what could not be looked at is said to be unknown.

mod machine;
mod nats;
mod outside;
mod postgres;

use std::process::ExitCode;

use comfy_table::Table;
use serde::Serialize;
use serde_json::json;

use super::Operator;
use super::table::table;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Run it on a machine of the service, with the environment of the process it is about: limits, folders and credentials \
are those of whoever runs it.

Exit codes: 0 when nothing is wrong (warnings may be), 1 when something is.")]
pub struct Args {
    /// Warnings count as well.
    #[arg(long)]
    strict: bool,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
enum Level {
    Fine,
    /// It could not be looked at.
    Unknown,
    Warning,
    Problem,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Problem => "PROBLEM",
        }
    }
}

/// Something that was looked at.
#[derive(Debug, Clone, Serialize)]
struct Finding {
    area: &'static str,
    level: Level,
    /// What is the case.
    finding: String,
    /// What to change; empty when nothing needs to be.
    advice: String,
}

/// What was found, in the order in which it was looked at.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, area: &'static str, level: Level, finding: impl Into<String>, advice: &str) {
        let (finding, advice) = (finding.into(), advice.to_owned());
        self.0.push(Finding { area, level, finding, advice });
    }

    fn fine(&mut self, area: &'static str, finding: impl Into<String>) {
        self.add(area, Level::Fine, finding, "");
    }

    /// Fine, or else.
    fn check(
        &mut self,
        area: &'static str,
        is_fine: bool,
        finding: impl Into<String>,
        level: Level,
        advice: &str,
    ) {
        match is_fine {
            true => self.fine(area, finding),
            false => self.add(area, level, finding, advice),
        }
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }
}

/// Looks at everything. Fails when something is wrong.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    outside::configuration(&operator.config, &mut findings);
    machine::look(&operator.config, &mut findings);
    // At once: each may have to be waited for.
    let (store, client) = tokio::join!(operator.bare_store(), operator.nats_with_refusals());
    let database = postgres::look(operator, store, &mut findings).await;
    nats::look(operator, client, database.as_ref(), &mut findings).await;
    outside::keys(&operator.config, &mut findings).await;
    outside::push(&operator.config, &mut findings).await;
    outside::media(&operator.config, &mut findings).await;
    let (problems, warnings) = (findings.count(Level::Problem), findings.count(Level::Warning));
    let document = json!({"problems": problems, "warnings": warnings, "findings": findings.0});
    operator.answer_text(&document, || {
        format!("{}\n{problems} problems, {warnings} warnings.", rows(&findings))
    })?;
    let is_fine = problems == 0 && (warnings == 0 || !args.strict);
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rows(findings: &Findings) -> Table {
    let mut table = table(&["", "what", "is the case", "what to change"]);
    for finding in &findings.0 {
        table.add_row([finding.level.as_str(), finding.area, &finding.finding, &finding.advice]);
    }
    table
}
