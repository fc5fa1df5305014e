//! `messaging admin backup` and `restore`: the queue of services, Postgres, the dead letters, the log and the files, in
//! a folder with a manifest.
//!
//! **The cut.** Nothing is stopped. Postgres is copied as it was at one moment, which says how far in the log it was;
//! the log is copied behind that, so it reaches at least as far, and a restored persister catches up. Everything that
//! was acknowledged before the backup began is in one of the two. What services have published is copied before
//! Postgres: what was dealt with in between comes again and changes nothing. Dead letters come behind Postgres, so that
//! one that Postgres has passed by is among them.
//!
//! **After a restore** the log is of another epoch: whoever comes back with a cursor of before is told to reload
//! (`reset`), because some of what they have seen since the backup is no more.

mod files;
mod manifest;
mod postgres;
mod restore;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::json;
use tokio::io::BufWriter;

use super::Operator;
use crate::bus::{self, snapshot};
use crate::cli::settings;
use crate::config::Place;
use crate::store::Store;
use crate::wire::subjects;

use manifest::{Manifest, Media, Piece};

pub use restore::RestoreArgs;
pub use restore::command as restore;

/// Whatever the schema is, it can be copied: one makes a backup before one migrates.
const OLDEST: i32 = 1;
/// The first schema in which what operators do is noted.
const NOTED: i32 = 19;
/// The file that makes a folder a backup; written last.
const MANIFEST: &str = "manifest.json";
/// The copy of Postgres.
const DUMP: &str = "postgres.dump";
/// The folder of the files.
const MEDIA: &str = "media";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
It runs while the service does, needs pg_dump as new as the server, and is the user `backup` in NATS. Files in a bucket \
are not copied: use the bucket's own replication or versions; the manifest says how many there are.

The folder holds everybody's messages: keep it encrypted, and as safe as the database.")]
pub struct Args {
    /// A folder that does not exist yet, or is empty.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Makes a backup.
pub async fn command(args: Args, operator: &Operator) -> anyhow::Result<ExitCode> {
    let folder = args.folder;
    if operator.dry_run {
        operator.store_from(OLDEST).await?.progress().await?;
        snapshot::messages(&operator.nats().await?, subjects::CHAT_STREAM).await?;
        let shown = folder.display().to_string();
        operator.say(&json!({"folder": shown}), &format!("A backup would be made in {shown}."))?;
        return Ok(ExitCode::SUCCESS);
    }
    // Reached first: what cannot be copied leaves no folder behind.
    let servers = (operator.store_from(OLDEST).await?, operator.nats().await?);
    for stream in [subjects::INGEST_STREAM, subjects::DEAD_STREAM, subjects::CHAT_STREAM] {
        operator.has_stream(&servers.1, stream).await?;
    }
    files::make(&folder)?;
    let manifest = make(&folder, servers, operator).await.with_context(|| {
        format!("There is no backup in {}: without {MANIFEST} it is none", folder.display())
    })?;
    operator.answer(&manifest, || summary(&manifest))?;
    Ok(ExitCode::SUCCESS)
}

async fn make(
    folder: &Path,
    (store, client): (Store, bus::Client),
    operator: &Operator,
) -> anyhow::Result<Manifest> {
    let mut pieces = vec![stream(folder, &client, subjects::INGEST_STREAM).await?];
    let cut = store.cut().await?;
    if cut.schema >= NOTED {
        // Whoever makes one has everybody's messages, as with an export.
        store.note(&operator.audit("backup", folder.display())).await?;
    }
    let (last_seq, epoch, schema, server) =
        (cut.last_seq, cut.epoch.clone(), cut.schema, cut.server);
    let files = cut.files;
    let connection = settings::store(&operator.config.postgres).environment()?;
    postgres::dump(&folder.join(DUMP), &cut, &connection).await?;
    cut.release().await.context("Postgres ended the moment that was being copied")?;
    pieces.push(Piece::of(folder, DUMP, None).await?);
    pieces.push(stream(folder, &client, subjects::DEAD_STREAM).await?);
    let log = stream(folder, &client, subjects::CHAT_STREAM).await?;
    check(&log, last_seq, epoch.as_deref())?;
    pieces.push(log);
    let media = media(folder, operator, files).await?;
    let manifest = Manifest {
        format: manifest::FORMAT,
        made_at: Timestamp::now().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema,
        postgres: server,
        nats: snapshot::server_version(&client),
        last_seq,
        pieces,
        media,
    };
    manifest.write(folder).await?;
    Ok(manifest)
}

async fn stream(folder: &Path, client: &bus::Client, name: &str) -> anyhow::Result<Piece> {
    let file = format!("{}.snapshot", name.to_lowercase());
    let mut into = BufWriter::new(files::create(&folder.join(&file)).await?);
    let snapshot = snapshot::take(client, name, &mut into)
        .await
        .with_context(|| format!("The stream {name} cannot be copied"))?;
    into.into_inner().sync_all().await?;
    Piece::of(folder, &file, Some((name, snapshot))).await
}

/// The log must be the one that Postgres follows, and reach as far.
fn check(log: &Piece, last_seq: u64, epoch: Option<&str>) -> anyhow::Result<()> {
    let Some(snapshot) = &log.snapshot else { bail!("The log was not copied") };
    if epoch.is_some() && snapshot.epoch() != epoch {
        bail!(
            "Postgres follows another log than the one that is there; see `messaging admin doctor`."
        );
    }
    if snapshot.last_seq() < last_seq {
        bail!("The log ends at {}, before what Postgres has ({last_seq}).", snapshot.last_seq());
    }
    Ok(())
}

async fn media(folder: &Path, operator: &Operator, files: (u64, u64)) -> anyhow::Result<Media> {
    let (count, bytes) = files;
    match operator.config.media.place().map_err(anyhow::Error::msg)? {
        None => Ok(Media::None),
        Some(Place::Bucket { bucket, prefix }) => {
            Ok(Media::Bucket { bucket, prefix, count, bytes })
        }
        Some(Place::Folder(from)) => {
            let into = folder.join(MEDIA);
            let copied = tokio::task::spawn_blocking(move || files::copy(&from, &into)).await??;
            Ok(Media::Folder { copied })
        }
    }
}

fn summary(manifest: &Manifest) -> comfy_table::Table {
    let mut table = super::table::table(&["what", "bytes", "holds"]);
    for piece in &manifest.pieces {
        let holds = match &piece.snapshot {
            Some(snapshot) => {
                format!("{} messages, up to sequence {}", snapshot.messages(), snapshot.last_seq())
            }
            None => format!("everything up to sequence {}", manifest.last_seq),
        };
        table.add_row([piece.file.clone(), piece.bytes.to_string(), holds]);
    }
    let (what, holds) = match &manifest.media {
        Media::None => ("no files", String::new()),
        Media::Folder { copied } => (MEDIA, format!("{copied} files")),
        Media::Bucket { bucket, count, bytes, .. } => {
            ("not copied", format!("{count} files of {bytes} bytes in the bucket {bucket}"))
        }
    };
    table.add_row([what.to_owned(), String::new(), holds]);
    table
}
