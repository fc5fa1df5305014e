//! `messaging admin search`: the index that messages are found by.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use uuid::Uuid;

use super::Operator;
use super::table::{card, time};
use crate::store::Store;
use crate::store::search::IndexState;
use crate::store::search::rebuild::Rebuild;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// How far the index is, and what is in it.
    Status,
    /// Compare every entry with its message and write anew what differs.
    ///
    /// Searches go on meanwhile, in what was there before or is renewed already; so do new messages. A rebuild that was
    /// interrupted goes on where it was. 10 million messages take about a quarter of an hour.
    Rebuild,
}

/// Messages of one transaction, some 100 ms; the indexer has its turn in between.
const BATCH: u32 = 1_000;
/// Entries that are looked at for their messages at once.
const ENTRIES: u32 = 5_000;
/// How often progress is drawn.
const DRAWN: Duration = Duration::from_millis(200);

/// Does what was asked.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    let store = operator.store().await?;
    match args.action {
        Action::Status => status(&store, operator).await?,
        Action::Rebuild => rebuild(&store, operator).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(store: &Store, operator: &Operator) -> anyhow::Result<()> {
    let state = store.search_state().await?;
    let IndexState { indexed_seq, persisted_seq, messages, words, rebuild } = state;
    let lag = persisted_seq.saturating_sub(indexed_seq);
    let rebuilding = rebuild.map(|Rebuild { done, target, started_at }| {
        json!({ "done": done, "target": target, "startedAt": started_at.to_string() })
    });
    let value = json!({
        "messages": messages, "words": words, "indexedSeq": indexed_seq, "persistedSeq": persisted_seq, "lag": lag,
        "rebuild": rebuilding,
    });
    operator.answer(&value, || {
        let rebuilding = rebuild.map(|Rebuild { done, target, started_at }| {
            format!("since {}, at {done} of {target}", time(started_at))
        });
        card([
            ("messages", messages.to_string()),
            ("words (about)", words.to_string()),
            ("indexed up to", format!("{indexed_seq} of {persisted_seq}")),
            ("behind", format!("{lag} events")),
            ("rebuild", rebuilding.unwrap_or_default()),
        ])
    })
}

async fn rebuild(store: &Store, operator: &Operator) -> anyhow::Result<()> {
    if operator.dry_run {
        let IndexState { indexed_seq, rebuild, .. } = store.search_state().await?;
        let (done, target) =
            rebuild.map_or((0, indexed_seq), |under_way| (under_way.done, under_way.target));
        let value = json!({ "done": done, "target": target });
        let sentence = format!("Would compare messages from {done} to {target} of the log");
        return operator.say(&value, &sentence);
    }
    store.note(&operator.audit("search rebuild", "messages")).await?;
    let Rebuild { done, target, .. } = store.begin_rebuild().await?;
    let progress = bar(target, done);
    let mut at = Some(done);
    while let Some(done) = at.filter(|done| *done < target) {
        progress.set_position(done);
        at = store.rebuild_next(BATCH).await?;
    }
    progress.set_message("entries without a message");
    let mut after = Some((Uuid::nil(), 0));
    while let Some(key) = after {
        after = store.remove_orphans(key, ENTRIES).await?;
    }
    store.end_rebuild().await?;
    progress.finish_and_clear();
    let messages = store.search_state().await?.messages;
    let value = json!({ "target": target, "messages": messages });
    operator.say(&value, &format!("The index is rebuilt: {messages} messages can be found."))
}

/// On a terminal only, on standard error.
fn bar(target: u64, done: u64) -> ProgressBar {
    let bar = ProgressBar::new(target).with_position(done);
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {eta} {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(DRAWN);
    bar
}
