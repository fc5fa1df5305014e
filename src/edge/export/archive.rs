//! A ZIP archive that is written while its content is still being read.
//!
//! The writer is a thread of its own, because packing is work for a processor and the file a disk's; what waits for it
//! is bounded, so that whoever reads goes no faster than it writes. The file has no name until it is kept somewhere.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::media::spool::Spooled;

/// Pieces that wait for the thread: of 128 KiB at most, so 1 MiB.
const WAITING: usize = 8;

/// How an entry is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Text becomes a fifth.
    Deflated,
    /// Pictures and films are packed already.
    Stored,
}

enum Piece {
    Entry(String, Packing),
    Bytes(Bytes),
}

/// An archive under way. Dropped before it is finished, it is gone.
pub struct Archive {
    pieces: mpsc::Sender<Piece>,
    writing: JoinHandle<io::Result<Spooled>>,
}

impl Archive {
    /// Begins one in an empty file.
    pub fn begin(file: File) -> Self {
        let (pieces, waiting) = mpsc::channel(WAITING);
        let writing = tokio::task::spawn_blocking(move || write(file, waiting));
        Self { pieces, writing }
    }

    /// What follows belongs to an entry of this name. `false` when the thread has ended; [`Self::finish`] knows why.
    pub async fn entry(&self, name: String, packing: Packing) -> bool {
        self.pieces.send(Piece::Entry(name, packing)).await.is_ok()
    }

    /// More of the entry. `false` as before.
    pub async fn write(&self, bytes: Bytes) -> bool {
        self.pieces.send(Piece::Bytes(bytes)).await.is_ok()
    }

    /// The whole archive.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn finish(self) -> io::Result<Spooled> {
        drop(self.pieces);
        self.writing.await.map_err(io::Error::other)?
    }
}

fn write(file: File, mut pieces: mpsc::Receiver<Piece>) -> io::Result<Spooled> {
    let mut zip = ZipWriter::new(BufWriter::new(file));
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            // Sizes are not known before: every entry has room for one of more than 4 GiB.
            Piece::Entry(name, packing) => {
                let method = match packing {
                    Packing::Deflated => CompressionMethod::Deflated,
                    Packing::Stored => CompressionMethod::Stored,
                };
                let options = SimpleFileOptions::default().compression_method(method);
                zip.start_file(name, options.large_file(true)).map_err(io::Error::other)?;
            }
            Piece::Bytes(bytes) => zip.write_all(&bytes)?,
        }
    }
    let file = zip.finish().map_err(io::Error::other)?;
    Spooled::of(file.into_inner().map_err(io::IntoInnerError::into_error)?)
}
