//! Files that a command writes.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A new file that only its owner may read. It is gone again unless it is kept: half of what somebody asked for would be
/// taken for all of it, and keep the next try from its name.
pub struct Fresh {
    path: PathBuf,
    is_kept: bool,
}

impl Fresh {
    /// Makes it, to be read and written.
    ///
    /// # Errors
    /// When there is one, or none can be made.
    pub fn create(path: &Path) -> anyhow::Result<(Self, File)> {
        let mut options = File::options();
        let opened = options.read(true).write(true).create_new(true).mode(0o600).open(path);
        let file = opened.with_context(|| format!("{} cannot be made", path.display()))?;
        Ok((Self { path: path.to_owned(), is_kept: false }, file))
    }

    /// It is whole.
    pub fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        if let Err(cause) = std::fs::remove_file(&self.path) {
            eprintln!("{} is only a part, and cannot be removed: {cause}", self.path.display());
        }
    }
}
