//! A conversation as NDJSON: itself, its participants, its messages in their order. A page is in memory at a time.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;
use uuid::Uuid;

use super::{Operator, find};
use crate::cli::admin::file::Fresh;
use crate::domain::ids::Seq;
use crate::store::Store;
use crate::wire::objects;

/// Messages, or participants, read at a time: at 8 KiB each, the longest, they are 4 MiB.
const PAGE: u32 = 500;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The conversation's id.
    #[arg(value_name = "UUID")]
    conversation: Uuid,
    /// The file to write, which must not be there yet; otherwise standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only messages behind this sequence, to go on where another export ended.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: Seq,
}

/// Writes it. The audit has a row of it: somebody has read what people wrote to each other.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    let (id, store) = (args.conversation, operator.store().await?);
    find(&store, id).await?;
    if operator.dry_run {
        let remains = store.admin_remains(id).await?;
        let sentence = format!(
            "{} participants and {} messages would be written",
            remains.participants, remains.messages
        );
        operator
            .say(&json!({ "id": id, "messages": remains.messages, "dryRun": true }), &sentence)?;
        return Ok(ExitCode::SUCCESS);
    }
    store.note(&operator.audit("conversation export", id)).await?;
    let Some(path) = &args.out else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        write(&store, id, args.after, &mut out).await?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    };
    let (fresh, file) = Fresh::create(path)?;
    let mut out = BufWriter::new(file);
    let messages = write(&store, id, args.after, &mut out).await?;
    let file = out.into_inner().context("The file cannot be written")?;
    file.sync_all().context("The file cannot be written")?;
    fresh.keep();
    let sentence = format!("{messages} messages are in {}", path.display());
    operator.say(&json!({ "id": id, "messages": messages, "file": path }), &sentence)?;
    Ok(ExitCode::SUCCESS)
}

async fn write(store: &Store, id: Uuid, after: Seq, out: &mut impl Write) -> anyhow::Result<u64> {
    let found = find(store, id).await?;
    line(out, &json!({ "conversation": super::json(&found.conversation) }))?;
    let mut next = None;
    loop {
        let page = store.participants(id, next, PAGE).await?;
        for person in page.participants {
            line(out, &json!({ "participant": objects::Participant::from(person) }))?;
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let (mut after, mut written) = (after, 0);
    loop {
        let page = store.messages_after(id, after, PAGE).await?;
        for message in page.messages {
            after = message.seq;
            written += 1;
            line(out, &json!({ "message": objects::Message::from(message) }))?;
        }
        if !page.has_more {
            return Ok(written);
        }
    }
}

fn line(out: &mut impl Write, value: &serde_json::Value) -> anyhow::Result<()> {
    writeln!(out, "{value}").context("The export cannot be written")
}
