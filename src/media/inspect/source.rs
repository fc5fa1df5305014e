//! A file that is read from front to back, with bounds: whatever a length in it says, nothing beyond its end is
//! touched.

use std::io::{BufReader, Read, Seek, SeekFrom};

use super::error::{ENDS_EARLY, Error};

/// A reader with a place and an end.
#[derive(Debug)]
pub(super) struct Source<'a, R> {
    reader: BufReader<&'a mut R>,
    at: u64,
    len: u64,
}

impl<'a, R: Read + Seek> Source<'a, R> {
    /// At the beginning of `file`.
    pub fn new(file: &'a mut R) -> Result<Self, Error> {
        let len = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        Ok(Self { reader: BufReader::with_capacity(32 << 10, file), at: 0, len })
    }

    /// The place, in bytes from the beginning.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The length of the file in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The bytes from here to the end.
    pub fn left(&self) -> u64 {
        self.len.saturating_sub(self.at)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    /// The next two bytes, the high one first.
    pub fn be16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// The next four bytes, the highest first.
    pub fn be32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// The next eight bytes, the highest first.
    pub fn be64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Fills `bytes` from here.
    pub fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.reader.read_exact(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// The next `len` bytes. Nothing is reserved for what the file does not have.
    pub fn take(&mut self, len: u64) -> Result<Vec<u8>, Error> {
        if len > self.left() {
            return Err(ENDS_EARLY.into());
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| ENDS_EARLY)?];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Goes on by `by` bytes.
    pub fn skip(&mut self, by: u64) -> Result<(), Error> {
        if by > self.left() {
            return Err(ENDS_EARLY.into());
        }
        let relative = i64::try_from(by).map_err(|_| ENDS_EARLY)?;
        self.reader.seek_relative(relative)?;
        self.at += by;
        Ok(())
    }

    /// Goes to `at`, wherever that is.
    pub fn go_to(&mut self, at: u64) -> Result<(), Error> {
        if at > self.len {
            return Err(ENDS_EARLY.into());
        }
        let relative = i64::try_from(at).map_err(|_| ENDS_EARLY)?
            - i64::try_from(self.at).map_err(|_| ENDS_EARLY)?;
        self.reader.seek_relative(relative)?;
        self.at = at;
        Ok(())
    }

    /// Goes on to the next byte `wanted` and passes it; the end of the file before that is an error.
    pub fn pass(&mut self, wanted: u8) -> Result<(), Error> {
        use std::io::BufRead;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Err(ENDS_EARLY.into());
            }
            let found = memchr::memchr(wanted, buffer);
            let passed = found.map_or(buffer.len(), |index| index + 1);
            self.reader.consume(passed);
            self.at += passed as u64;
            if found.is_some() {
                return Ok(());
            }
        }
    }

    /// Up to `most` bytes before the end of the file. The place is then the end.
    pub fn tail(&mut self, most: u64) -> Result<Vec<u8>, Error> {
        self.go_to(self.len.saturating_sub(most))?;
        self.take(self.left())
    }
}
