//! Files on this machine's disk, for as long as an upload takes.
//!
//! A spooled file loses its name as soon as it is open: the system frees it when the last handle is closed, however
//! that comes about, so that no crash leaves anything behind.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

/// What is gathered in memory before it is written: 64 uploads at once hold 4 MiB, and 20 MB take some 300 writes.
const BUFFER: usize = 64 * 1024;

/// The folder that they are made in.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// When it cannot be made or written to.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        nameless(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// An empty file to write to.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn begin(&self) -> io::Result<Writing> {
        let folder = self.folder.clone();
        let file = blocking(move || nameless(&folder)).await?;
        Ok(Writing { file: Arc::new(file), size: 0, buffer: Vec::with_capacity(BUFFER) })
    }

    /// An empty file for whoever writes to it in an order of their own; see [`Spooled::of`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn file(&self) -> io::Result<File> {
        let folder = self.folder.clone();
        blocking(move || nameless(&folder)).await
    }

    /// A file that holds what `from` gives. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn copy(&self, from: &mut impl Read) -> io::Result<Spooled> {
        let mut file = nameless(&self.folder)?;
        let size = io::copy(from, &mut file)?;
        Ok(Spooled { file: Arc::new(file), size })
    }
}

fn nameless(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!("upload-{}", Uuid::new_v4()));
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// A file that grows.
#[derive(Debug)]
pub struct Writing {
    file: Arc<File>,
    size: u64,
    buffer: Vec<u8>,
}

impl Writing {
    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// # Errors
    /// When the disk refuses.
    pub async fn write(&mut self, mut chunk: &[u8]) -> io::Result<()> {
        self.size += chunk.len() as u64;
        while !chunk.is_empty() {
            let (now, later) = chunk.split_at(chunk.len().min(BUFFER - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            chunk = later;
            if self.buffer.len() == BUFFER {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn finish(mut self) -> io::Result<Spooled> {
        self.flush().await?;
        Ok(Spooled { file: self.file, size: self.size })
    }

    async fn flush(&mut self) -> io::Result<()> {
        let (file, mut buffer) = (self.file.clone(), std::mem::take(&mut self.buffer));
        self.buffer = blocking(move || {
            (&*file).write_all(&buffer)?;
            buffer.clear();
            Ok(buffer)
        })
        .await?;
        Ok(())
    }
}

/// A whole file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spooled {
    file: Arc<File>,
    size: u64,
}

impl Spooled {
    /// A file that somebody has written, as it is now. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn of(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), size })
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Up to `count` bytes from `offset` on; fewer at the end.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn read(&self, offset: u64, count: usize) -> io::Result<Bytes> {
        let (file, left) = (self.file.clone(), self.size.saturating_sub(offset));
        let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        blocking(move || {
            let mut bytes = vec![0; count];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(bytes.into())
        })
        .await
    }

    /// A reader of its own, from the beginning. Blocks when it reads.
    pub fn reader(&self) -> Reader {
        Reader { file: self.clone(), at: 0 }
    }
}

/// Reads a spooled file; any number may at once.
#[derive(Debug)]
pub struct Reader {
    file: Spooled,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read_and_the_folder_stays_empty() {
        let folder = std::env::temp_dir().join(format!("spool-{}", Uuid::new_v4()));
        let spool = Spool::open(&folder).expect("a folder");
        let mut writing = spool.begin().await.expect("a file");
        let piece: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        for _ in 0..3 {
            writing.write(&piece).await.expect("written");
        }
        let file = writing.finish().await.expect("finished");
        assert_eq!(file.size(), 300_000);
        assert_eq!(file.read(99_999, 3).await.expect("read")[..], [piece[99_999], 0, 1]);
        assert_eq!(file.read(299_990, 100).await.expect("read").len(), 10);
        let mut all = Vec::new();
        let mut reader = file.reader();
        reader.read_to_end(&mut all).expect("read");
        assert_eq!(all, piece.repeat(3));
        reader.seek(SeekFrom::End(-1)).expect("a place");
        assert_eq!(reader.read(&mut [0; 9]).expect("read"), 1);
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
        std::fs::remove_dir(&folder).expect("removed");
    }
}
