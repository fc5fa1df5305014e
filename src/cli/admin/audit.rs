//! `messaging admin audit`: who has changed what, and why.

use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::json;

use super::Operator;
use super::table::{plain, table, time};
use crate::store::audit::{Filter, Noted};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only what this operator has changed.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only changes of this user, conversation, message, …
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    /// Only since then: 2026-11-22T09:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only what was noted before this number, to read on.
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    /// How many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// Prints them.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    let Args { by, target, since, before, limit } = args;
    let filter = Filter { operator: by, target, since, before };
    let found = operator.store().await?.audit(&filter, limit).await?;
    let value: Vec<_> = found.iter().map(json).collect();
    operator.answer(&value, || {
        let mut table = table(&["number", "when (UTC)", "operator", "action", "target", "reason"]);
        for noted in &found {
            table.add_row([
                noted.id.to_string(),
                time(noted.at),
                noted.operator.clone(),
                noted.action.clone(),
                noted.target.clone(),
                noted.reason.as_deref().map(|text| plain(text, 200)).unwrap_or_default(),
            ]);
        }
        table
    })?;
    Ok(ExitCode::SUCCESS)
}

fn json(noted: &Noted) -> serde_json::Value {
    let Noted { id, at, operator, action, target, reason } = noted;
    json!({
        "id": id, "at": at.to_string(), "operator": operator, "action": action, "target": target, "reason": reason,
    })
}
