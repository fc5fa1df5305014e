//! What a backup consists of.

use std::path::Path;

use anyhow::{Context as _, bail};
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bus::snapshot::Snapshot;

use super::{MANIFEST, files};

/// Raised whenever an older program could not restore it.
pub const FORMAT: u32 = 1;
/// Bytes that are read at a time to sum them up.
const WINDOW: usize = 1 << 20;

/// A backup, for whoever restores it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub format: u32,
    pub made_at: String,
    /// Of the program that made it.
    pub version: String,
    /// The last migration of the database.
    pub schema: i32,
    /// Major version of Postgres.
    pub postgres: u32,
    /// Version of the NATS server.
    pub nats: String,
    /// Everything up to this sequence is in the copy of Postgres; what is behind it, in that of the log.
    pub last_seq: u64,
    pub pieces: Vec<Piece>,
    pub media: Media,
}

/// A file of a backup.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Piece {
    pub file: String,
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
}

/// Where the files are.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Media {
    /// Files are switched off.
    None,
    /// In the backup.
    Folder { copied: u64 },
    /// Where they were.
    Bucket { bucket: String, prefix: String, count: u64, bytes: u64 },
}

impl Piece {
    /// A file that was written.
    pub async fn of(
        folder: &Path,
        file: &str,
        stream: Option<(&str, Snapshot)>,
    ) -> anyhow::Result<Self> {
        let (bytes, sha256) = sum(&folder.join(file)).await?;
        let (stream, snapshot) = stream.map(|(name, snapshot)| (name.to_owned(), snapshot)).unzip();
        Ok(Self { file: file.to_owned(), bytes, sha256, stream, snapshot })
    }
}

impl Manifest {
    /// Writes it, as the last file.
    pub async fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let mut file = files::create(&folder.join(MANIFEST)).await?;
        file.write_all(&serde_json::to_vec_pretty(self)?).await?;
        Ok(file.sync_all().await?)
    }

    /// Reads it, and makes sure that every file is as it was.
    pub async fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(MANIFEST);
        let text = tokio::fs::read(&path).await.with_context(|| {
            format!("{} is no backup, or one that was broken off", folder.display())
        })?;
        let manifest: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} cannot be understood", path.display()))?;
        if manifest.format != FORMAT {
            bail!("This backup has format {}, and this program knows {FORMAT}.", manifest.format);
        }
        for piece in &manifest.pieces {
            let name = Path::new(&piece.file);
            if name.file_name() != Some(name.as_os_str()) {
                bail!("The manifest names {}, which is not in the folder.", piece.file);
            }
            let (bytes, sha256) = sum(&folder.join(name)).await?;
            if bytes != piece.bytes || sha256 != piece.sha256 {
                bail!("{} is not as it was written: the backup is damaged.", piece.file);
            }
        }
        Ok(manifest)
    }

    /// The one piece that is not a stream.
    pub fn dump(&self) -> anyhow::Result<&Piece> {
        self.pieces.iter().find(|p| p.stream.is_none()).context("It has no copy of Postgres")
    }
}

async fn sum(path: &Path) -> anyhow::Result<(u64, String)> {
    let mut file = tokio::fs::File::open(path)
        .await
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let (mut context, mut window) = (digest::Context::new(&digest::SHA256), vec![0; WINDOW]);
    let mut bytes = 0;
    loop {
        let count = file.read(&mut window).await?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        context.update(&window[..count]);
    }
    let sum = context.finish();
    Ok((bytes, sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()))
}
