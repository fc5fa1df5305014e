//! The data folder: whose it is, what lies where, and that only one process uses it.
//!
//! ```text
//! .data/format          marks the folder as ours
//! .data/lock            held while `messaging dev` runs
//! .data/jwt-secret  nats-users/        made on first use
//! .data/run.json        addresses and process ids, while it runs
//! .data/google.json     what the stand-in for Google is asked with, while it runs
//! .data/nats/  postgres/  logs/  media/  spool/
//! ```

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::cli::data_folder::{self, RunFile, write_private};
use anyhow::{Context as _, bail};

const FORMAT: &str = "mecabal-messaging data folder, version 1\n";

/// An open data folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Released by the kernel, however this process ends.
    _lock: File,
}

impl Folder {
    /// Opens or creates the folder and takes its lock.
    ///
    /// # Errors
    /// One sentence when it is not ours, cannot be written, or is in use.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
            format!("The data folder {shown} cannot be made; choose another with --data")
        })?;
        let path = path
            .canonicalize()
            .with_context(|| format!("The data folder {shown} cannot be reached"))?;
        recognise(&path)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .with_context(|| cannot_write(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => bail!(
                "The data folder {} is in use by another `messaging dev`; stop that one, or choose another \
                 folder with --data.",
                path.display()
            ),
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(error).with_context(|| cannot_write(&path));
            }
        }
        write_private(&path.join(data_folder::FORMAT), FORMAT)
            .with_context(|| cannot_write(&path))?;
        let folder = Self { path, _lock: lock };
        folder.make("logs")?;
        folder.remove_run_file();
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder inside, made if missing, that only its owner may enter.
    pub fn make(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| cannot_write(&self.path))?;
        Ok(path)
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(name)
    }

    /// Tells other programs where everything is.
    pub fn write_run_file(&self, run: &RunFile) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(run)?;
        write_private(&self.run_file(), &text).with_context(|| cannot_write(&self.path))
    }

    /// Best effort: a stale one names a process that is gone.
    pub fn remove_run_file(&self) {
        for file in [self.run_file(), self.path.join(data_folder::GOOGLE)] {
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, file = %file.display(), "it cannot be removed");
                }
                _ => {}
            }
        }
    }

    fn run_file(&self) -> PathBuf {
        self.path.join(data_folder::RUN)
    }
}

/// Refuses a folder that holds something else: what is ours says so, and a new one is empty.
fn recognise(path: &Path) -> anyhow::Result<()> {
    match std::fs::read_to_string(path.join(data_folder::FORMAT)) {
        Ok(text) if text == FORMAT => return Ok(()),
        Ok(_) => bail!(
            "The data folder {} was made by another version; choose another with --data.",
            path.display()
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error)
                .with_context(|| format!("The data folder {} cannot be read", path.display()));
        }
    }
    let mut entries = std::fs::read_dir(path)
        .with_context(|| format!("The data folder {} cannot be read", path.display()))?;
    // A start that was killed before it had marked the folder leaves its lock only.
    if entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == "lock")) {
        return Ok(());
    }
    bail!(
        "{} is not a data folder of `messaging dev` and not empty; choose another with --data.",
        path.display()
    )
}

fn cannot_write(path: &Path) -> String {
    format!("The data folder {} cannot be written; choose another with --data", path.display())
}
