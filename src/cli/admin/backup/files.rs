//! Folders and files that nobody else may read.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};

/// Makes the folder of a backup.
///
/// # Errors
/// When there is something in it.
pub fn make(folder: &Path) -> anyhow::Result<()> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => return Ok(()),
            Some(_) => bail!("{} is not empty; name another folder.", folder.display()),
        },
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
        Err(cause) => {
            return Err(cause).with_context(|| format!("{} cannot be read", folder.display()));
        }
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))
}

/// Makes a file that is not there yet.
pub async fn create(path: &Path) -> anyhow::Result<tokio::fs::File> {
    let mut options = tokio::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(path).await;
    opened.with_context(|| format!("{} cannot be made", path.display()))
}

/// Copies a folder of files, and returns how many there are. One that is erased meanwhile is left out: that was meant.
pub fn copy(from: &Path, into: &Path) -> anyhow::Result<u64> {
    let (mut count, mut left) = (0, vec![(from.to_owned(), into.to_owned())]);
    while let Some((from, into)) = left.pop() {
        DirBuilder::new().recursive(true).mode(0o700).create(&into)?;
        let entries =
            fs::read_dir(&from).with_context(|| format!("{} cannot be read", from.display()))?;
        for entry in entries {
            let entry = entry?;
            let (path, target) = (entry.path(), into.join(entry.file_name()));
            if entry.file_type()?.is_dir() {
                left.push((path, target));
                continue;
            }
            match fs::copy(&path, &target) {
                Ok(_) => count += 1,
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
                Err(cause) => {
                    let what = format!("{} cannot be copied", path.display());
                    return Err(cause).context(what);
                }
            }
        }
    }
    Ok(count)
}
