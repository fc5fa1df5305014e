//! `messaging admin restore`: a backup into servers that have nothing in them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::io::BufReader;

use super::manifest::{Manifest, Media, Piece};
use super::{MEDIA, files, postgres};
use crate::bus::{self, snapshot};
use crate::cli::admin::Operator;
use crate::cli::{migrate, settings};
use crate::config::Place;
use crate::store::{Store, migrate as schema};
use crate::wire::subjects;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Stop every process of the service first. Postgres and NATS should have nothing in them: what is there of the service is \
removed, which wants --reason and --yes. Start the service afterwards: what the log has and Postgres has not is \
written then, and clients reload once. `messaging admin verify` says whether everything is there.")]
pub struct RestoreArgs {
    /// The folder of a backup.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Restores a backup.
pub async fn command(args: RestoreArgs, operator: &Operator) -> anyhow::Result<ExitCode> {
    let folder = args.folder;
    let manifest = Manifest::read(&folder).await?;
    let (store, client) = (operator.bare_store().await?, operator.nats().await?);
    let held = fits(&manifest, &store, &client, operator).await?;
    if !held.is_empty() {
        operator.confirm(&format!("remove {}", held.join(", ")))?;
    }
    if operator.dry_run {
        let sentence = format!("The backup of {} fits and would be restored.", manifest.made_at);
        operator.say(&json!({"madeAt": manifest.made_at, "removed": held}), &sentence)?;
        return Ok(ExitCode::SUCCESS);
    }
    restore(&folder, &manifest, &store, &client, operator).await.context(
        "The restore broke off: what is there now is not complete. Run it again with --yes",
    )?;
    let sentence = format!(
        "Restored: Postgres up to sequence {}, the log up to {}. Start the service; clients reload once.{}",
        manifest.last_seq,
        log(&manifest)?.1.last_seq(),
        match &manifest.media {
            Media::Bucket { bucket, .. } =>
                format!(" The files are expected in the bucket {bucket}."),
            Media::None | Media::Folder { .. } => String::new(),
        }
    );
    operator.say(&json!({"madeAt": manifest.made_at, "lastSeq": manifest.last_seq}), &sentence)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the backup can be restored there at all, and what would have to go first.
async fn fits(
    manifest: &Manifest,
    store: &Store,
    client: &bus::Client,
    operator: &Operator,
) -> anyhow::Result<Vec<String>> {
    let known = schema::latest();
    if manifest.schema > known {
        bail!(
            "The backup was made by a newer version ({}, schema {}): this one knows schemas up to {known}.",
            manifest.version,
            manifest.schema
        );
    }
    let there = store.occupancy().await?;
    if there.server < manifest.postgres {
        bail!(
            "The backup is of Postgres {}, and this server is {}.",
            manifest.postgres,
            there.server
        );
    }
    let here = snapshot::server_version(client);
    if version(&here) < version(&manifest.nats) {
        bail!("The backup is of NATS {}, and this server is {here}.", manifest.nats);
    }
    if there.is_in_use {
        bail!("The service runs on this database. Stop all of its processes first.");
    }
    if matches!(manifest.media, Media::Folder { .. }) && media_folder(operator)?.is_none() {
        bail!("The backup has files, and no folder for files is configured (MESSAGING_MEDIA_URL).");
    }
    let mut held = Vec::new();
    if there.has_data {
        held.push("all of the service's data in Postgres".to_owned());
    }
    for piece in &manifest.pieces {
        let Some(stream) = &piece.stream else { continue };
        if let Some(messages) = snapshot::messages(client, stream).await?.filter(|m| *m > 0) {
            held.push(format!("{messages} messages of the stream {stream}"));
        }
    }
    Ok(held)
}

async fn restore(
    folder: &Path,
    manifest: &Manifest,
    store: &Store,
    client: &bus::Client,
    operator: &Operator,
) -> anyhow::Result<()> {
    let connection = settings::store(&operator.config.postgres).environment()?;
    store.empty().await?;
    postgres::restore(&folder.join(&manifest.dump()?.file), manifest.postgres, &connection).await?;
    migrate::run(&operator.config.postgres).await?;
    let mut adopted = None;
    for piece in &manifest.pieces {
        let epoch = stream(folder, piece, client, operator.config.nats.replicas).await?;
        adopted = adopted.or(epoch);
    }
    let epoch = adopted.context("The backup has no log")?;
    if matches!(manifest.media, Media::Folder { .. })
        && let Some(into) = media_folder(operator)?
    {
        let from = folder.join(MEDIA);
        tokio::task::spawn_blocking(move || files::copy(&from, &into)).await??;
    }
    // The last step: until then no persister takes this database for one of this log.
    let note = operator.audit("restore", &manifest.made_at);
    let renewed = Store::connect(&settings::store(&operator.config.postgres), clock()).await?;
    Ok(renewed.adopt(&epoch, log(manifest)?.1.last_seq(), &note).await?)
}

/// Restores a stream, and returns the epoch that it has from now on.
async fn stream(
    folder: &Path,
    piece: &Piece,
    client: &bus::Client,
    replicas: usize,
) -> anyhow::Result<Option<String>> {
    let (Some(name), Some(snapshot)) = (&piece.stream, &piece.snapshot) else { return Ok(None) };
    let renewed = snapshot.clone().renewed(replicas);
    snapshot::delete(client, name).await?;
    let mut from = BufReader::new(tokio::fs::File::open(folder.join(&piece.file)).await?);
    snapshot::restore(client, name, &renewed, &mut from).await?;
    snapshot::settled(client, name, &renewed).await?;
    Ok(renewed.epoch().map(str::to_owned))
}

fn log(manifest: &Manifest) -> anyhow::Result<(&Piece, &snapshot::Snapshot)> {
    let is_log = |piece: &&Piece| piece.stream.as_deref() == Some(subjects::CHAT_STREAM);
    let piece = manifest.pieces.iter().find(is_log).context("The backup has no log")?;
    Ok((piece, piece.snapshot.as_ref().context("The backup has no log")?))
}

fn media_folder(operator: &Operator) -> anyhow::Result<Option<PathBuf>> {
    match operator.config.media.place().map_err(anyhow::Error::msg)? {
        Some(Place::Folder(folder)) => Ok(Some(folder)),
        Some(Place::Bucket { .. }) | None => Ok(None),
    }
}

fn clock() -> crate::domain::clock::SharedClock {
    std::sync::Arc::new(crate::domain::clock::SystemClock)
}

/// Major and minor.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
