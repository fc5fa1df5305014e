//! What of a file is stored, as a list of its parts: a file is never held in memory to leave something out of it.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::error::Refused;

/// At most so many parts: a file with more than 8,000 pieces of metadata was made to have them. 32 bytes each, 512 KiB
/// in all.
const MAX_PIECES: usize = 16_384;

/// A part of what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Bytes of the file, from and to.
    File(Range<u64>),
    /// Other bytes.
    Bytes(Vec<u8>),
    /// So many zeros.
    Zeros(u64),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::File(range) => range.end - range.start,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(len) => *len,
        }
    }
}

/// What of a file is stored: some of its bytes, and others in between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pieces: Vec<Piece>,
}

impl Content {
    /// The first `len` bytes of the file as they are.
    pub(super) fn whole(len: u64) -> Self {
        Self { pieces: vec![Piece::File(0..len)] }
    }

    /// These bytes and nothing of the file.
    pub(super) fn made(bytes: Vec<u8>) -> Self {
        Self { pieces: vec![Piece::Bytes(bytes)] }
    }

    /// How many bytes are to be stored.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// Whether a file of `len` bytes is stored as it is.
    #[must_use]
    pub fn is_unchanged(&self, len: u64) -> bool {
        match self.pieces.as_slice() {
            [Piece::File(range)] => *range == (0..len),
            _ => false,
        }
    }

    /// Keeps these bytes of the file.
    pub(super) fn keep(&mut self, range: Range<u64>) -> Result<(), Refused> {
        if range.start >= range.end {
            return Ok(());
        }
        if let Some(Piece::File(last)) = self.pieces.last_mut()
            && last.end == range.start
        {
            last.end = range.end;
            return Ok(());
        }
        self.push(Piece::File(range))
    }

    /// Puts other bytes here.
    pub(super) fn put(&mut self, bytes: Vec<u8>) -> Result<(), Refused> {
        self.push(Piece::Bytes(bytes))
    }

    /// Puts so many zeros here.
    pub(super) fn zeros(&mut self, len: u64) -> Result<(), Refused> {
        if len == 0 {
            return Ok(());
        }
        self.push(Piece::Zeros(len))
    }

    /// Puts what another content of the same file has from its byte `from` on.
    pub(super) fn append_from(&mut self, from: u64, other: &Self) -> Result<(), Refused> {
        let mut skip = from;
        for piece in &other.pieces {
            let left_out = skip.min(piece.len());
            skip -= left_out;
            let index = usize::try_from(left_out).unwrap_or(usize::MAX);
            match piece {
                Piece::File(range) => self.keep(range.start + left_out..range.end)?,
                Piece::Bytes(bytes) if index < bytes.len() => self.put(bytes[index..].to_vec())?,
                Piece::Bytes(_) => {}
                Piece::Zeros(len) => self.zeros(len - left_out)?,
            }
        }
        Ok(())
    }

    fn push(&mut self, piece: Piece) -> Result<(), Refused> {
        if self.pieces.len() == MAX_PIECES {
            return Err(Refused::TooLarge("the file has too many parts"));
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// Reads what is stored, out of the file that it was made for.
    pub fn reader<'a, R: Read + Seek>(&'a self, file: &'a mut R) -> Reader<'a, R> {
        Reader {
            pieces: &self.pieces,
            file,
            len: self.len(),
            at: 0,
            index: 0,
            inside: 0,
            placed: None,
        }
    }
}

/// Reads a [`Content`]. Each read is one of the file, so it wants a buffer around it.
#[derive(Debug)]
pub struct Reader<'a, R> {
    pieces: &'a [Piece],
    file: &'a mut R,
    len: u64,
    /// The place in the content, and the same as a piece and a place in it.
    at: u64,
    index: usize,
    inside: u64,
    /// Where the file stands.
    placed: Option<u64>,
}

impl<R: Read + Seek> Read for Reader<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.pieces.get(self.index) {
            let left = piece.len() - self.inside;
            if left == 0 {
                self.index += 1;
                self.inside = 0;
                continue;
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
            let read = match piece {
                Piece::File(range) => {
                    let from = range.start + self.inside;
                    if self.placed != Some(from) {
                        self.file.seek(SeekFrom::Start(from))?;
                    }
                    let read = self.file.read(&mut out[..most])?;
                    if read == 0 && most > 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.placed = Some(from + read as u64);
                    read
                }
                Piece::Bytes(bytes) => {
                    let from = usize::try_from(self.inside).unwrap_or(usize::MAX);
                    out[..most].copy_from_slice(&bytes[from..from + most]);
                    most
                }
                Piece::Zeros(_) => {
                    out[..most].fill(0);
                    most
                }
            };
            self.inside += read as u64;
            self.at += read as u64;
            return Ok(read);
        }
        Ok(0)
    }
}

impl<R: Read + Seek> Seek for Reader<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        let at = at.ok_or(io::ErrorKind::InvalidInput)?;
        self.at = at;
        self.inside = at;
        self.index = 0;
        while let Some(piece) = self.pieces.get(self.index)
            && self.inside >= piece.len()
        {
            self.inside -= piece.len();
            self.index += 1;
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn what_is_stored_reads_as_one_file_from_any_place() {
        let mut file = Cursor::new(b"0123456789".to_vec());
        let mut content = Content::default();
        content.keep(0..2).unwrap();
        content.keep(2..3).unwrap();
        content.put(b"abc".to_vec()).unwrap();
        content.zeros(2).unwrap();
        content.keep(8..10).unwrap();
        let wanted = b"012abc\0\x0089";
        assert_eq!(content.len(), wanted.len() as u64);
        assert!(!content.is_unchanged(10));
        assert!(Content::whole(10).is_unchanged(10));
        for from in 0..=wanted.len() {
            let mut reader = content.reader(&mut file);
            reader.seek(SeekFrom::Start(from as u64)).unwrap();
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read, wanted[from..]);
        }
    }

    #[test]
    fn there_is_an_end_to_parts() {
        let mut content = Content::default();
        let refused = (0..40_000).find_map(|n| content.keep(n * 3..n * 3 + 1).err());
        assert!(refused.is_some_and(Refused::is_too_large));
    }
}
