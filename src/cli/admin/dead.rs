//! `messaging admin dead`: what could not be processed, of every consumer.
//!
//! A letter is tried again by the way it came: an event of the log goes back into the log, a notification back among those
//! to be sent, and what a service said is replayed by the role that takes such things. The letter leaves when that was
//! accepted. If it fails again there is a new one.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Operator;
use super::message::accepted;
use super::table::{card, plain, table, time};
use crate::bus;
use crate::bus::ask;
use crate::bus::dead_letter::operators::{Letter, Letters};
use crate::cli::sentence;
use crate::domain::ids::Seq;
use crate::store::Store;
use crate::store::admin::letters::{DeadEvent, DeadPush, Retried};
use crate::wire::subjects;

/// Letters that one command with `--all` deals with, or lists; again for more. With payloads of 64 KiB each, the largest, they
/// are 64 MiB.
const AT_ONCE: u32 = 1_000;

/// Who leaves letters.
const CONSUMERS: [&str; 3] = ["persist", "push", "ingest"];

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Dead letters, the oldest first.
    List(List),
    /// One of them, with its payload: what somebody wrote, perhaps.
    Show(One),
    /// Try letters again. Each once: asked for twice, the second does nothing.
    Retry(Several),
    /// Drop letters. For good.
    Drop(Several),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only of this consumer.
    #[arg(long, value_name = "NAME", value_parser = CONSUMERS)]
    consumer: Option<String>,
    /// Only behind this number, to read on.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: Seq,
    /// How many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(AT_ONCE)))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
struct One {
    /// Its number in the list.
    #[arg(value_name = "NUMBER")]
    letter: Seq,
}

#[derive(Debug, clap::Args)]
struct Several {
    /// Their numbers in the list.
    #[arg(value_name = "NUMBER", required_unless_present = "all")]
    letters: Vec<Seq>,
    /// All letters, of one consumer if one is named; the first 1,000 at a time.
    #[arg(long, conflicts_with = "letters")]
    all: bool,
    /// With --all: only of this consumer.
    #[arg(long, value_name = "NAME", requires = "all", value_parser = CONSUMERS)]
    consumer: Option<String>,
}

/// Runs it.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    let client = operator.nats().await?;
    operator.has_stream(&client, subjects::DEAD_STREAM).await?;
    let letters = Letters::new(&client);
    match args.action {
        Action::List(args) => list(&args, &letters, operator).await,
        Action::Show(args) => show(args.letter, &letters, operator).await,
        Action::Retry(args) => retry(&args, &client, &letters, operator).await,
        Action::Drop(args) => discard(&args, &letters, operator).await,
    }
}

async fn list(args: &List, letters: &Letters, operator: &Operator) -> anyhow::Result<ExitCode> {
    let found =
        some(letters, args.consumer.as_deref(), args.after.saturating_add(1), args.limit).await?;
    let value: Vec<_> = found.iter().map(json).collect();
    operator.answer(&value, || {
        let mut table = table(&["number", "died (UTC)", "consumer", "subject", "tries", "reason"]);
        for letter in &found {
            table.add_row([
                letter.seq.to_string(),
                time(letter.died_at),
                letter.consumer.clone(),
                plain(&letter.subject, 80),
                letter.attempts.to_string(),
                plain(&letter.reason, 120),
            ]);
        }
        table
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The next letters, at most `limit`.
async fn some(
    letters: &Letters,
    consumer: Option<&str>,
    from: Seq,
    limit: u32,
) -> anyhow::Result<Vec<Letter>> {
    let (mut found, mut next) = (Vec::new(), from);
    while found.len() < limit as usize
        && let Some(letter) = letters.first(consumer, next).await?
    {
        next = letter.seq + 1;
        found.push(letter);
    }
    Ok(found)
}

async fn find(letters: &Letters, seq: Seq) -> anyhow::Result<Letter> {
    let found = letters.at(seq).await?;
    found.with_context(|| {
        format!("There is no dead letter {seq}; `messaging admin dead list` has their numbers")
    })
}

async fn show(seq: Seq, letters: &Letters, operator: &Operator) -> anyhow::Result<ExitCode> {
    let letter = find(letters, seq).await?;
    let payload = String::from_utf8_lossy(&letter.payload).into_owned();
    let mut value = json(&letter);
    value["payload"] = json!(payload);
    operator.answer(&value, || {
        card([
            ("letter", letter.seq.to_string()),
            ("consumer", letter.consumer.clone()),
            ("service", letter.service.clone().unwrap_or_default()),
            ("subject", plain(&letter.subject, 200)),
            ("sequence", letter.place.to_string()),
            ("event", letter.event.clone().unwrap_or_default()),
            ("tries", letter.attempts.to_string()),
            ("reason", plain(&letter.reason, 1_000)),
            ("died", time(letter.died_at)),
            ("payload", plain(&payload, 10_000)),
        ])
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The letters that are meant.
async fn meant(args: &Several, letters: &Letters) -> anyhow::Result<Vec<Letter>> {
    if args.all {
        return some(letters, args.consumer.as_deref(), 1, AT_ONCE).await;
    }
    let mut found = Vec::with_capacity(args.letters.len());
    for seq in &args.letters {
        found.push(find(letters, *seq).await?);
    }
    Ok(found)
}

async fn discard(
    args: &Several,
    letters: &Letters,
    operator: &Operator,
) -> anyhow::Result<ExitCode> {
    let meant = meant(args, letters).await?;
    operator.confirm(&format!("drop {}", counted(meant.len())))?;
    if !operator.dry_run {
        let store = operator.store().await?;
        for letter in &meant {
            store.note(&operator.audit("dead drop", target(letter))).await?;
            letters.remove(letter.seq).await?;
        }
    }
    let numbers: Vec<_> = meant.iter().map(|letter| letter.seq).collect();
    let value = json!({ "dropped": numbers, "dryRun": operator.dry_run });
    let done = if operator.dry_run { "would be dropped" } else { "dropped" };
    operator.say(&value, &format!("{} {done}", counted(meant.len())))?;
    Ok(ExitCode::SUCCESS)
}

async fn retry(
    args: &Several,
    client: &bus::Client,
    letters: &Letters,
    operator: &Operator,
) -> anyhow::Result<ExitCode> {
    let meant = meant(args, letters).await?;
    let store = operator.store().await?;
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for letter in &meant {
        match again(letter, client, &store, operator).await {
            Ok(()) => {
                if !operator.dry_run {
                    letters.remove(letter.seq).await?;
                }
                done.push(letter.seq);
            }
            Err(error) => failed.push((letter.seq, sentence(&error))),
        }
    }
    let reasons: Vec<Value> =
        failed.iter().map(|(seq, reason)| json!({ "letter": seq, "reason": reason })).collect();
    let value = json!({ "retried": done, "failed": reasons, "dryRun": operator.dry_run });
    let again = if operator.dry_run { "would be tried again" } else { "tried again" };
    let mut sentence = format!("{} {again}", counted(done.len()));
    for (seq, reason) in &failed {
        sentence.push_str(&format!("\nletter {seq} stays: {reason}"));
    }
    operator.say(&value, &sentence)?;
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn again(
    letter: &Letter,
    client: &bus::Client,
    store: &Store,
    operator: &Operator,
) -> anyhow::Result<()> {
    let audit = operator.audit("dead retry", target(letter));
    let noted = (&audit, operator.dry_run);
    match letter.consumer.as_str() {
        "persist" => {
            store.retry_event(&event(letter)?, letter.died_at, noted).await?;
            Ok(())
        }
        "push" => match store.retry_push(&push(letter)?, letter.died_at, noted).await? {
            Retried::Now | Retried::Before => Ok(()),
            Retried::NoDevice => bail!("its device is gone: it can only be dropped"),
        },
        "ingest" => {
            let service = letter.service.as_deref().filter(|name| *name != "_");
            let service = service.context("its subject names no service; drop it")?;
            if operator.dry_run {
                return Ok(());
            }
            store.note(&audit).await?;
            let subject = format!("messaging.api.dead.{service}.replay");
            let body = json!({ "seq": letter.seq }).to_string();
            let reply = ask::service(client, subject, None, body.into()).await?;
            accepted(&reply).map(|_| ())
        }
        other => bail!("nobody knows how to try a letter of {other} again"),
    }
}

/// The event of the log that a letter was.
fn event(letter: &Letter) -> anyhow::Result<DeadEvent> {
    let none = "it was no event of the log: it can only be dropped";
    let payload = String::from_utf8(letter.payload.to_vec()).context(none)?;
    serde_json::from_str::<serde_json::Map<String, Value>>(&payload).context(none)?;
    Ok(DeadEvent {
        conversation: subjects::conversation_of(&letter.subject).context(none)?,
        event: letter.event.clone().context(none)?,
        payload,
    })
}

fn push(letter: &Letter) -> anyhow::Result<DeadPush> {
    let payload: Value =
        serde_json::from_slice(&letter.payload).context("its payload is no JSON")?;
    let id = |name: &str| -> anyhow::Result<Uuid> {
        let id = payload[name].as_str().and_then(|text| text.parse().ok());
        id.with_context(|| format!("its payload has no {name}"))
    };
    let kind = payload["kind"].as_str().filter(|kind| ["alert", "refresh"].contains(kind));
    Ok(DeadPush {
        conversation: id("conversationId")?,
        user: id("userId")?,
        device: id("deviceId")?,
        seq: letter.place,
        kind: kind.context("its payload has no kind")?.to_owned(),
    })
}

fn counted(letters: usize) -> String {
    match letters {
        1 => "1 dead letter".to_owned(),
        count => format!("{count} dead letters"),
    }
}

/// How the audit names a letter: numbers of a stream that was made anew begin again, and times do not.
fn target(letter: &Letter) -> String {
    format!("dead letter {} of {}", letter.seq, letter.died_at.as_millisecond())
}

fn json(letter: &Letter) -> Value {
    json!({
        "seq": letter.seq,
        "consumer": letter.consumer,
        "service": letter.service,
        "subject": letter.subject,
        "place": letter.place,
        "event": letter.event,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "diedAt": letter.died_at.to_string(),
        "bytes": letter.payload.len(),
    })
}
