//! `messaging admin verify`: the log against Postgres, and files against what names them.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Operator;
use super::table::table;
use crate::bus::log::Log;
use crate::bus::reads;
use crate::cli::settings;
use crate::domain::clock::SystemClock;
use crate::domain::ids::Seq;
use crate::media::objects::Objects;
use crate::persister::verify::{Repaired, Report, Scope, Verifier};
use crate::store::inspect::{Finding, Kind};

/// Differences in a table for people; `--json` has more.
const SHOWN: usize = 40;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
It can run while the service does, needs little memory, and reads the whole log unless told otherwise. Broken off, it \
says with which --since it goes on.

--repair rebuilds what is wrong from the log, conversation by conversation, with a recount and the index of words; each \
is in the audit. What only Postgres has stays, unless --drop-unknown says otherwise: the log may have lost it. Under a \
legal hold it stays in any case. What was removed on purpose (deletions, retention, a user's data) never comes back.

Bytes in the store of files that no row knows of are removed by --repair once they are older than media.orphans_after; \
where those are most of the store, with --drop-unknown only: it may be the wrong database. Two \
installations must not share a folder, or a prefix of a bucket: each would take the other's files for strays.")]
pub struct Args {
    /// Only this conversation.
    #[arg(long, value_name = "UUID")]
    conversation: Option<Uuid>,
    /// Only what the log got since: a sequence, a time such as 2026-11-22T09:00:00Z, or so long ago, such as 24h.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Since>,
    /// Do not look for each file in the store of files.
    #[arg(long)]
    no_objects: bool,
    /// Rebuild what is wrong. Needs --reason and --yes.
    #[arg(long)]
    repair: bool,
    /// With --repair: messages that the log does not have, although it reaches back to them, are dropped, and files without
    /// a row however many they are.
    #[arg(long, requires = "repair")]
    drop_unknown: bool,
}

/// From where on.
#[derive(Debug, Clone, Copy)]
enum Since {
    Seq(Seq),
    Time(Timestamp),
    Ago(SignedDuration),
}

fn since(text: &str) -> Result<Since, String> {
    let text = text.trim();
    if let Ok(seq) = text.parse() {
        return Ok(Since::Seq(seq));
    }
    if let Ok(at) = text.parse() {
        return Ok(Since::Time(at));
    }
    match text.parse::<SignedDuration>() {
        Ok(ago) if ago.is_positive() => Ok(Since::Ago(ago)),
        _ => Err(
            "expected a sequence, a time such as 2026-11-22T09:00:00Z, or a duration such as 24h"
                .to_owned(),
        ),
    }
}

/// Compares, and repairs if told to. Fails when something is wrong and stays so.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    let verifier = verifier(&args, operator).await?;
    let scope =
        Scope { conversation: args.conversation, since: place(&args, &verifier.log).await? };
    if let Some(conversation) = scope.conversation
        && !verifier.store.has_conversation(conversation).await?
    {
        bail!("There is no conversation {conversation}.");
    }
    let bar = bar(operator);
    let report = verifier.run(scope, |at, end| {
        bar.set_length(end);
        bar.set_position(at);
    });
    let report = report.await;
    bar.finish_and_clear();
    let report = report?;
    if !args.repair || report.differences() == 0 {
        show(operator, &report, None)?;
        return Ok(exit(report.differences() == 0));
    }
    operator.confirm(&format!(
        "rebuild what is wrong in {} conversations",
        conversations(&report.findings)
    ))?;
    if operator.dry_run {
        show(operator, &report, None)?;
        return Ok(exit(false));
    }
    let note = operator.audit("verify --repair", "");
    let repaired = verifier.repair(&report, args.drop_unknown, &note).await?;
    show(operator, &report, Some(&repaired))?;
    // What was not listed was not repaired either.
    let all = report.differences() == report.findings.len() as u64;
    Ok(exit(repaired.left.is_empty() && all))
}

fn exit(fine: bool) -> ExitCode {
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn verifier(args: &Args, operator: &Operator) -> anyhow::Result<Verifier> {
    let store = operator.store().await?;
    let log = Log::open(&operator.nats().await?).await?;
    let location = settings::place(&operator.config.media)?.filter(|_| !args.no_objects);
    let objects = location.map(|place| Objects::open(&place)).transpose();
    let objects = objects.map_err(anyhow::Error::msg)?.map(Arc::new);
    let orphans_after = SignedDuration::try_from(operator.config.media.orphans_after)?;
    Ok(Verifier { store, log, objects, orphans_after, clock: Arc::new(SystemClock) })
}

async fn place(args: &Args, log: &Log) -> anyhow::Result<Option<Seq>> {
    let at = match args.since {
        None => return Ok(None),
        Some(Since::Seq(seq)) => return Ok(Some(seq)),
        Some(Since::Time(at)) => at,
        Some(Since::Ago(ago)) => {
            Timestamp::now().checked_sub(ago).context("That long ago there was nothing")?
        }
    };
    let end = reads::extent(log).await?.last + 1;
    Ok(Some(reads::first_since(log, at).await?.unwrap_or(end)))
}

/// On a terminal only, and not between the lines of JSON.
fn bar(operator: &Operator) -> ProgressBar {
    if operator.json {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {eta}");
    let bar = ProgressBar::new(0);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn conversations(findings: &[Finding]) -> usize {
    let mut ids: Vec<_> = findings.iter().filter_map(|f| f.conversation_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

fn show(operator: &Operator, report: &Report, repaired: Option<&Repaired>) -> anyhow::Result<()> {
    operator.answer_text(&document(report, repaired), || {
        let mut table = table(&["what", "conversation", "sequence", "id", "detail"]);
        let shown = repaired.map_or(&report.findings, |repaired| &repaired.left);
        for finding in shown.iter().take(SHOWN) {
            let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
            table.add_row([
                finding.kind.as_str().to_owned(),
                text(finding.conversation_id),
                finding.seq.map(|seq| seq.to_string()).unwrap_or_default(),
                text(finding.id),
                finding.detail.clone(),
            ]);
        }
        if shown.len() > SHOWN {
            table.add_row([format!("and {} more", shown.len() - SHOWN)]);
        }
        let said = sentence(report, repaired);
        // Nothing was found, or nothing is left: a table without rows says less than the sentence.
        if shown.is_empty() { said } else { format!("{table}\n{said}") }
    })
}

fn sentence(report: &Report, repaired: Option<&Repaired>) -> String {
    let looked = format!(
        "{} events from {} to {}, {} conversations and {} files were compared; {} events lie in the dead letters.",
        report.events,
        report.from,
        report.through,
        report.conversations,
        report.files,
        report.parked
    );
    let found = match (report.differences(), repaired) {
        (0, _) => "Everything agrees.".to_owned(),
        (count, None) => format!("{count} differences."),
        (count, Some(repaired)) => format!(
            "{count} differences; {} conversations and {} files were rebuilt, {} differences are left.",
            repaired.conversations,
            repaired.files,
            repaired.left.len()
        ),
    };
    format!("{looked}\n{found}")
}

fn document(report: &Report, repaired: Option<&Repaired>) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "kind": finding.kind.as_str(),
            "conversationId": finding.conversation_id,
            "seq": finding.seq,
            "id": finding.id,
            "detail": finding.detail,
            "isRepairable": finding.kind.is_repairable(),
        })
    };
    let counts: BTreeMap<&str, u64> =
        report.counts.iter().map(|(kind, count)| (Kind::as_str(*kind), *count)).collect();
    json!({
        "from": report.from,
        "through": report.through,
        "events": report.events,
        "parked": report.parked,
        "conversations": report.conversations,
        "files": report.files,
        "differences": report.differences(),
        "counts": counts,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "repaired": repaired.map(|repaired| json!({
            "conversations": repaired.conversations,
            "files": repaired.files,
            "left": repaired.left.iter().map(finding).collect::<Vec<_>>(),
        })),
    })
}
