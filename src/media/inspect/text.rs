//! Texts, and the documents that are only stored: is it whole, and is it what it says?

use std::io::{Read, Seek};

use memchr::memmem;

use super::active;
use super::error::{ENDS_EARLY, Error, Refused};
use super::source::Source;

/// How much is looked at in one go.
const CHUNK: u64 = 64 << 10;

/// How much of an archive's list of contents is searched. 1 MiB lists more than 10,000 files.
const LISTED: u64 = 1 << 20;

/// Whether this byte has no place in a text. Tabs, ends of lines and of pages have.
pub(super) fn is_control(byte: u8) -> bool {
    (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c)) || byte == 0x7f
}

/// Looks whether all of it is UTF-8 without control characters.
pub(super) fn check_text<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<(), Error> {
    const BROKEN: Refused = Refused::Damaged("it is not UTF-8 text");
    let mut cut: Vec<u8> = Vec::new();
    while source.left() > 0 {
        let mut bytes = std::mem::take(&mut cut);
        bytes.extend(source.take(source.left().min(CHUNK))?);
        if bytes.iter().any(|byte| is_control(*byte)) {
            return Err(BROKEN.into());
        }
        if let Err(error) = std::str::from_utf8(&bytes) {
            if error.error_len().is_some() || source.left() == 0 {
                return Err(BROKEN.into());
            }
            cut = bytes.split_off(error.valid_up_to());
        }
    }
    Ok(())
}

/// Looks whether a PDF has its end.
pub(super) fn check_pdf<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<(), Error> {
    let tail = source.tail(1024)?;
    if memmem::find(&tail, b"%%EOF").is_none() {
        return Err(ENDS_EARLY.into());
    }
    active::check_archive(source, 0)
}

/// Looks whether an archive has its end, and whether it is a program. Nothing is unpacked.
pub(super) fn check_zip<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<(), Error> {
    let tail = source.tail(22 + 65_535)?;
    let at = active::archive_end(&tail).ok_or(ENDS_EARLY)?;
    let field = |from: usize| {
        tail.get(at + from..at + from + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes)))
    };
    let (size, offset) = (field(12), field(16));
    source.go_to(offset.min(source.len()))?;
    let list = source.take(size.min(LISTED).min(source.left()))?;
    const PROGRAMS: [&[u8]; 4] =
        [b"AndroidManifest.xml", b"META-INF/MANIFEST.MF", b"classes.dex", b"vbaProject.bin"];
    if PROGRAMS.iter().any(|name| memmem::find(&list, name).is_some()) {
        return Err(
            Refused::Unsupported("programs, and documents with macros, are not accepted").into()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn text(bytes: &[u8]) -> Result<(), Error> {
        check_text(&mut Source::new(&mut Cursor::new(bytes.to_vec())).unwrap())
    }

    #[test]
    fn text_is_utf_8_to_its_last_byte() {
        let mut long = "ä".repeat(100_000).into_bytes();
        text(&long).unwrap();
        long.insert(0, b'x');
        text(&long).unwrap();
        text(&long[..long.len() - 1]).unwrap_err();
        long.extend([0]);
        text(&long).unwrap_err();
        text(b"\x1b[2J").unwrap_err();
    }
}
