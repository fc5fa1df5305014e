//! `messaging admin user export|erase|verify-erased`: a user's own data.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::log::Log;
use crate::bus::{dead_letter, direct, presence, reads};
use crate::cli::admin::Operator;
use crate::cli::admin::file::Fresh;
use crate::cli::admin::table::{table, time};
use crate::cli::settings;
use crate::domain::clock::SystemClock;
use crate::domain::ids::UserId;
use crate::edge::export::build::{Build, Sources};
use crate::media::objects::Objects;
use crate::store::Store;
use crate::store::own_data::erasures::Erasure;
use crate::store::own_data::exports::{Export, State};
use crate::store::own_data::places::{Fate, PLACES};
use crate::wire::erasure::{Naming, names, naming};

/// Events of the log that are looked through at a time.
const PAGE: usize = 1_000;

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// The user's id.
    #[arg(value_name = "UUID")]
    user: Uuid,
    /// The archive to write; it must not be there yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct EraseArgs {
    /// The user's id.
    #[arg(value_name = "UUID")]
    user: Uuid,
}

/// Writes the copy that the user would get.
pub async fn export(args: ExportArgs, operator: &Operator) -> anyhow::Result<ExitCode> {
    let user = super::find(operator, args.user).await?.user.id;
    let (store, out) = (operator.store().await?, args.out.display());
    if operator.dry_run {
        let sentence = format!("The data of {user} would be written to {out}");
        operator.say(&json!({ "user": user, "file": args.out }), &sentence)?;
        return Ok(ExitCode::SUCCESS);
    }
    let place = settings::place(&operator.config.media)?;
    if place.is_none() && !store.own_files(user, Uuid::nil(), 1).await?.is_empty() {
        bail!(
            "{user} has uploaded files, and where they are is not configured: set MESSAGING_MEDIA_URL as the edges do"
        );
    }
    let objects =
        place.map(|place| Objects::open(&place).map_err(anyhow::Error::msg)).transpose()?;
    let (fresh, file) = Fresh::create(&args.out)?;
    store.note(&operator.audit("user export", user)).await?;
    let sources = Sources {
        store,
        objects: objects.map(Arc::new),
        clock: Arc::new(SystemClock),
        stop: CancellationToken::new(),
        is_noted: false,
    };
    let now = jiff::Timestamp::now();
    let export = Export {
        key: Uuid::new_v4(),
        state: State::Building,
        messages: 0,
        files: 0,
        started_at: now,
        changed_at: now,
    };
    let made = Build::begin(file, sources, user, export).run().await;
    let (file, export) = made.context("The copy could not be made")?;
    fresh.keep();
    let (messages, files) = (export.messages, export.files);
    let sentence = format!("{messages} messages and {files} files of {user} are in {out}");
    let value = json!({
        "user": user, "file": args.out, "messages": messages, "files": files, "bytes": file.size(),
    });
    operator.say(&value, &sentence)?;
    Ok(ExitCode::SUCCESS)
}

/// Asks for the end of a user's data; a persister works on it.
pub async fn erase(args: EraseArgs, operator: &Operator) -> anyhow::Result<ExitCode> {
    let found = super::find(operator, args.user).await?;
    let user = found.user.id;
    let store = operator.store().await?;
    let known = store.erasure_of(user).await?;
    if let Some(under_way) = known.filter(|erasure| erasure.finished_at.is_none()) {
        told(operator, &under_way, "is under way since")?;
        return Ok(ExitCode::SUCCESS);
    }
    let conversations = found.conversations;
    operator
        .confirm(&format!("erase all data of {user}, who is in {conversations} conversations"))?;
    let audit = operator.audit("user erase", user);
    let now = jiff::Timestamp::now();
    store.admin_erase(user, now, &audit, operator.dry_run).await?;
    if operator.dry_run {
        let sentence =
            format!("The data of {user} in {conversations} conversations would be erased");
        operator.say(&json!({ "user": user, "conversations": conversations }), &sentence)?;
        return Ok(ExitCode::SUCCESS);
    }
    let begun = store.erasure_of(user).await?.context("The request is not there")?;
    told(operator, &begun, "begins; the persister works on it for some minutes. Asked at")?;
    Ok(ExitCode::SUCCESS)
}

fn told(operator: &Operator, erasure: &Erasure, how: &str) -> anyhow::Result<()> {
    let sentence = format!("The erasure of {} {how} {}", erasure.user, time(erasure.requested_at));
    operator.say(&state(erasure), &sentence)
}

fn state(erasure: &Erasure) -> serde_json::Value {
    json!({
        "user": erasure.user,
        "stage": erasure.stage.as_str(),
        "requestedAt": erasure.requested_at.to_string(),
        "finishedAt": erasure.finished_at.map(|at| at.to_string()),
        "messages": erasure.messages,
        "heldConversations": erasure.held,
    })
}

/// Something that was looked at.
struct Finding {
    place: String,
    /// `None` where something stays on purpose.
    traces: Option<u64>,
    note: &'static str,
}

/// Looks for what is left of a user, everywhere.
pub async fn verify_erased(args: EraseArgs, operator: &Operator) -> anyhow::Result<ExitCode> {
    let (user, store) = (args.user, operator.store().await?);
    let erasure = store.erasure_of(user).await?;
    let mut findings = in_tables(&store, user).await?;
    findings.extend(in_nats(operator, user).await?);
    let left: u64 = findings.iter().filter_map(|finding| finding.traces).sum();
    let is_done = erasure.as_ref().is_some_and(|erasure| erasure.finished_at.is_some());
    let is_clean = is_done && left == 0;
    let places: Vec<_> = findings
        .iter()
        .map(|f| json!({ "place": f.place, "traces": f.traces, "note": f.note }))
        .collect();
    let verdict = verdict(erasure.as_ref(), left);
    let value = json!({
        "user": user, "erased": is_clean, "traces": left, "erasure": erasure.as_ref().map(state), "places": places,
        "verdict": verdict,
    });
    operator.answer_text(&value, || {
        let mut table = table(&["place", "found", ""]);
        for finding in &findings {
            let traces = finding.traces.map_or("stays".to_owned(), |traces| traces.to_string());
            table.add_row([finding.place.as_str(), &traces, finding.note]);
        }
        format!("{table}\n{verdict}")
    })?;
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A sentence for people.
fn verdict(erasure: Option<&Erasure>, left: u64) -> String {
    let Some(erasure) = erasure else {
        return "Not erased: nobody has asked for the erasure of this user.".to_owned();
    };
    match (erasure.finished_at, left) {
        (None, _) => {
            format!("Not erased: the erasure is under way, at {}.", erasure.stage.as_str())
        }
        (Some(at), 0) => format!("Erased: nothing is left since {} UTC.", time(at)),
        (Some(at), _) => format!(
            "Not erased: {left} traces were found although the erasure ended at {} UTC; after signing in anew they are \
             new ones.",
            time(at)
        ),
    }
}

async fn in_tables(store: &Store, user: UserId) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for place in PLACES {
        let traces = store.traces_of(user, place).await?;
        let note = match place.fate {
            Fate::Stays(why) => why,
            Fate::Otherwise { how, .. } => how,
            Fate::Row | Fate::Blank { .. } => "",
        };
        findings.push(Finding { place: format!("{}.{}", place.table, place.column), traces, note });
    }
    Ok(findings)
}

async fn in_nats(operator: &Operator, user: UserId) -> anyhow::Result<Vec<Finding>> {
    let nats = operator.nats().await?;
    let log = Log::open(&nats).await?;
    let letters = dead_letter::naming(log.context(), user).await?.len() as u64;
    let keys = presence::keys_of(log.context(), user).await?;
    Ok(vec![
        Finding { place: "log".into(), traces: Some(in_log(&log, user).await?), note: "" },
        Finding { place: "dead letters".into(), traces: Some(letters), note: "" },
        Finding { place: "presence".into(), traces: Some(keys), note: "" },
    ])
}

/// Reads all of it.
async fn in_log(log: &Log, user: UserId) -> anyhow::Result<u64> {
    let extent = reads::extent(log).await?;
    let mut after = extent.first.saturating_sub(1);
    let bar = ProgressBar::new(extent.last.saturating_sub(after));
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events of the log, {eta} left")?;
    bar.set_style(style);
    let mut found = 0;
    while after < extent.last {
        let page = direct::page(log, None, after + 1, extent.last, PAGE).await?;
        for entry in &page.entries {
            found += u64::from(match entry {
                Ok(event) => naming(event.kind, &event.payload, user) != Naming::Not,
                Err(malformed) => names(&malformed.payload, user),
            });
        }
        bar.inc(page.through - after);
        after = page.through;
    }
    bar.finish_and_clear();
    Ok(found)
}
