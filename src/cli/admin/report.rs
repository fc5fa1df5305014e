//! `messaging admin report`: what users have reported.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use uuid::Uuid;

use super::Operator;
use super::operator;
use super::table::{card, maybe_time, plain, table, time};
use super::user::standing::{self, Lasting};
use crate::domain::standing::Standing;
use crate::store::reports::{Case, Evidence, Report, State};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Reports, the oldest first.
    List(List),
    /// One report, with what was said around it and what operators wrote down.
    Show(One),
    /// Nothing is wrong: close it.
    Dismiss(One),
    /// Delete the reported message for everyone, and close the report.
    DeleteMessage(One),
    /// Keep the reported user out for a while, and close the report.
    Suspend(Suspend),
    /// Keep the reported user out for good, and close the report.
    Ban(One),
    /// Write something down about a report.
    Note(Written),
}

/// Which reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Open,
    Dismissed,
    Acted,
    All,
}

#[derive(Debug, clap::Args)]
struct List {
    /// What became of them.
    #[arg(long, value_enum, default_value_t = Which::Open)]
    state: Which,
    /// Only those of this user's doings.
    #[arg(long, value_name = "UUID")]
    against: Option<Uuid>,
    /// How many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
struct One {
    /// The report's id.
    #[arg(value_name = "UUID")]
    report: Uuid,
}

#[derive(Debug, clap::Args)]
struct Suspend {
    /// The report's id.
    #[arg(value_name = "UUID")]
    report: Uuid,
    #[command(flatten)]
    lasting: Lasting,
}

#[derive(Debug, clap::Args)]
struct Written {
    /// The report's id.
    #[arg(value_name = "UUID")]
    report: Uuid,
    /// What to write down; one line.
    #[arg(value_name = "TEXT", value_parser = operator::reason)]
    text: String,
}

/// Runs it.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List(args) => list(args, operator).await?,
        Action::Show(args) => show(args.report, operator).await?,
        Action::Dismiss(args) => {
            let open = find_open(args.report, operator).await?;
            close(&open, State::Dismissed, "report dismiss", operator).await?;
            let value = json!({ "report": args.report, "state": "dismissed" });
            operator.say(&value, &format!("{} is dismissed.", args.report))?;
        }
        Action::DeleteMessage(args) => delete_message(args.report, operator).await?,
        Action::Suspend(args) => {
            let decided = Standing::Suspended { until: args.lasting.until()? };
            keep_out(args.report, decided, "report suspend", operator).await?;
        }
        Action::Ban(args) => {
            keep_out(args.report, Standing::Banned, "report ban", operator).await?
        }
        Action::Note(args) => note(args, operator).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: List, operator: &Operator) -> anyhow::Result<()> {
    let state = match args.state {
        Which::Open => Some(State::Open),
        Which::Dismissed => Some(State::Dismissed),
        Which::Acted => Some(State::Acted),
        Which::All => None,
    };
    if let Some(user) = args.against {
        super::user::find(operator, user).await?;
    }
    let found = operator.store().await?.reports(state, args.against, args.limit).await?;
    let value: Vec<_> = found.iter().map(described).collect();
    operator.answer(&value, || {
        let mut table = table(&["report", "when (UTC)", "against", "message", "reason", "state"]);
        for report in &found {
            table.add_row([
                report.id.to_string(),
                time(report.created_at),
                report.reported_id.to_string(),
                report.message_id.map(|id| id.to_string()).unwrap_or_default(),
                plain(&report.reason, 60),
                report.state.as_str().to_owned(),
            ]);
        }
        table
    })
}

async fn show(id: Uuid, operator: &Operator) -> anyhow::Result<()> {
    let case = find(id, operator).await?;
    let decided = operator.store().await?.standing(case.report.reported_id).await?;
    let mut value = described(&case.report);
    value["standing"] = json!(decided.as_str());
    value["openAgainst"] = json!(case.open_against);
    value["evidence"] = case.evidence.iter().map(shown).collect();
    let notes = case.notes.iter().map(
        |note| json!({ "operator": note.operator, "note": note.note, "at": note.at.to_string() }),
    );
    value["notes"] = notes.collect();
    operator.answer(&value, || sheet(&case, decided))
}

fn sheet(case: &Case, decided: Standing) -> comfy_table::Table {
    let Report { id, reporter_id, reported_id, message_id, conversation_id, .. } = &case.report;
    let named = |id: &Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let mut lines = vec![
        ("report", id.to_string()),
        ("state", case.report.state.as_str().to_owned()),
        ("filed", time(case.report.created_at)),
        ("closed", maybe_time(case.report.closed_at)),
        ("by", reporter_id.to_string()),
        ("against", format!("{reported_id} ({})", decided.as_str())),
        ("open against them", case.open_against.to_string()),
        ("message", named(message_id)),
        ("conversation", named(conversation_id)),
        ("reason", plain(&case.report.reason, 200)),
        ("details", plain(&case.report.details, 2_000)),
    ];
    lines.extend(case.evidence.iter().map(|seen| {
        let mark = if Some(seen.message_id) == *message_id { ">" } else { "" };
        let said = format!("{} {}: {}", time(seen.created_at), seen.sender_id, said(seen));
        (mark, said)
    }));
    lines.extend(case.notes.iter().map(|note| {
        ("note", format!("{} {}: {}", time(note.at), note.operator, plain(&note.note, 500)))
    }));
    card(lines)
}

fn said(seen: &Evidence) -> String {
    let metadata = if seen.metadata == "{}" { String::new() } else { plain(&seen.metadata, 300) };
    format!("[{}] {} {metadata}", seen.kind, plain(&seen.content, 300))
}

async fn find(id: Uuid, operator: &Operator) -> anyhow::Result<Case> {
    let found = operator.store().await?.report(id).await?;
    found
        .with_context(|| format!("There is no report {id}; `messaging admin report list` has them"))
}

async fn find_open(id: Uuid, operator: &Operator) -> anyhow::Result<Report> {
    let report = find(id, operator).await?.report;
    if report.state != State::Open {
        let how = match report.state {
            State::Open | State::Dismissed => "dismissed",
            State::Acted => "dealt with",
        };
        bail!("The report {id} is {how} already; nothing was changed.");
    }
    Ok(report)
}

async fn close(
    report: &Report,
    state: State,
    action: &'static str,
    operator: &Operator,
) -> anyhow::Result<()> {
    let audit = operator.audit(action, report.id);
    let store = operator.store().await?;
    if !store.close_report(report.id, state, &audit, operator.dry_run).await? {
        bail!("Somebody else has closed the report {} meanwhile.", report.id);
    }
    Ok(())
}

/// The message first: should the second step fail, the report is still in the queue.
async fn delete_message(id: Uuid, operator: &Operator) -> anyhow::Result<()> {
    let report = find_open(id, operator).await?;
    let Some(message) = report.message_id else {
        bail!("The report {id} is about a user and not about a message; nothing was changed.");
    };
    let store = operator.store().await?;
    if store.message(message).await?.is_none() {
        bail!(
            "The message {message} is gone already: its time was over, or its sender's data were erased. Nothing was changed; \
             dismiss the report, or act on the user."
        );
    }
    operator.confirm(&format!("delete the message {message} for everyone"))?;
    let action = "report delete-message";
    let audit = operator.audit(action, message);
    if !store.admin_delete_message(message, &audit, operator.dry_run).await? {
        bail!("The conversation is under legal hold: nothing was changed.");
    }
    close(&report, State::Acted, action, operator).await?;
    let value = json!({ "report": id, "message": message, "state": "acted" });
    let sentence =
        format!("{message} is being deleted: its people see a tombstone within seconds.");
    operator.say(&value, &sentence)
}

/// The user first: should the second step fail, the report is still in the queue.
async fn keep_out(
    id: Uuid,
    decided: Standing,
    action: &'static str,
    operator: &Operator,
) -> anyhow::Result<()> {
    let report = find_open(id, operator).await?;
    standing::apply(report.reported_id, decided, action, operator).await?;
    close(&report, State::Acted, action, operator).await
}

async fn note(args: Written, operator: &Operator) -> anyhow::Result<()> {
    let Written { report, text } = args;
    let audit = operator.audit("report note", report);
    let store = operator.store().await?;
    if !store.note_report(report, &text, &audit, operator.dry_run).await? {
        bail!("There is no report {report}; nothing was written down.");
    }
    operator.say(&json!({ "report": report, "note": text }), "Written down.")
}

fn described(report: &Report) -> serde_json::Value {
    json!({
        "id": report.id,
        "reporterId": report.reporter_id,
        "reportedId": report.reported_id,
        "messageId": report.message_id,
        "conversationId": report.conversation_id,
        "reason": report.reason,
        "details": report.details,
        "state": report.state.as_str(),
        "createdAt": report.created_at.to_string(),
        "closedAt": report.closed_at.map(|at| at.to_string()),
    })
}

fn shown(seen: &Evidence) -> serde_json::Value {
    json!({
        "messageId": seen.message_id,
        "seq": seen.seq,
        "senderId": seen.sender_id,
        "type": seen.kind,
        "content": seen.content,
        "metadata": serde_json::from_str::<serde_json::Value>(&seen.metadata).ok(),
        "createdAt": seen.created_at.to_string(),
    })
}
