//! What a browser or a system would run, and files that are two things at once.

use memchr::memmem;

use super::error::{Error, Refused};
use super::source::Source;
use std::io::{Read, Seek};

/// How much of a stretch that is left out is searched for markup. Comments and fields of metadata are short.
pub(super) const SEARCHED: u64 = 64 << 10;

/// The record that ends a ZIP archive has a comment of up to 65,535 bytes after its 22.
const ARCHIVE_END: u64 = 22 + 65_535;

/// Whether this is the beginning of a program.
pub(super) fn is_program(head: &[u8]) -> bool {
    const MARKS: [&[u8]; 11] = [
        b"\x7fELF",
        b"\xfe\xed\xfa\xce",
        b"\xfe\xed\xfa\xcf",
        b"\xce\xfa\xed\xfe",
        b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe",
        b"\0asm",
        b"dex\n",
        b"#!",
        b"!<arch>",
        b"L\0\0\0\x01\x14\x02\0",
    ];
    // Two letters alone may begin a text; a header of this kind has zeros in its first fields.
    let is_windows = head.starts_with(b"MZ") && head[..head.len().min(64)].contains(&0);
    is_windows || MARKS.iter().any(|mark| head.starts_with(mark))
}

/// Whether a text begins as a web page, a drawing or a script does, after blanks and a byte order mark.
pub(super) fn begins_with_markup(head: &[u8]) -> bool {
    const TAGS: [&str; 21] = [
        "!doctype", "html", "head", "body", "script", "iframe", "svg", "style", "title", "table",
        "div", "font", "a", "b", "h1", "br", "p", "img", "?xml", "?php", "!--",
    ];
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let Some(tag) = head.trim_ascii_start().strip_prefix(b"<") else {
        return false;
    };
    TAGS.iter().any(|name| {
        tag.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
            && tag.get(name.len()).is_none_or(|next| !next.is_ascii_alphanumeric())
    })
}

/// Whether markup that a browser would run stands anywhere in these bytes. The fields of real pictures hold nothing
/// like it; by chance it is in 64 KiB of compressed data once in 400,000 times (four fixed bytes, and one of seven
/// behind them).
pub(super) fn has_markup(bytes: &[u8]) -> bool {
    const TAGS: [&str; 6] = ["script", "html", "!doctype html", "iframe", "svg", "?php"];
    memchr::memchr_iter(b'<', bytes).any(|at| {
        let after = &bytes[at + 1..];
        TAGS.iter().any(|tag| {
            after.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
                && after
                    .get(tag.len())
                    .is_none_or(|next| next.is_ascii_whitespace() || matches!(next, b'/' | b'>'))
        })
    })
}

/// Looks at what follows the end of a picture. Cameras put films and tables of their own there, and those are left
/// out; a program, a page, a document or an archive is there because the file is meant to be one.
pub(super) fn check_trailer<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<(), Error> {
    let end = source.at();
    if source.left() == 0 {
        return Ok(());
    }
    let head = source.take(source.left().min(SEARCHED))?;
    let bare = head.trim_ascii_start();
    let marks: [&[u8]; 5] =
        [b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf\x27\x1c", b"%PDF-", b"\x1f\x8b\x08"];
    if marks.iter().any(|mark| bare.starts_with(mark))
        || is_program(bare)
        || begins_with_markup(bare)
        || has_markup(&head[..head.len().min(1024)])
        || memmem::find(&head, b"%PDF-").is_some()
    {
        return Err(Refused::Polyglot.into());
    }
    check_archive(source, end)
}

/// Refuses a file that is read from its end as a ZIP archive. `from` is where that end may begin.
pub(super) fn check_archive<R: Read + Seek>(
    source: &mut Source<'_, R>,
    from: u64,
) -> Result<(), Error> {
    let tail = source.tail(ARCHIVE_END.min(source.len().saturating_sub(from)))?;
    if archive_end(&tail).is_some() {
        return Err(Refused::Polyglot.into());
    }
    Ok(())
}

/// Where in the tail of a file the record is that ends an archive: its comment must reach exactly to the end.
pub(super) fn archive_end(tail: &[u8]) -> Option<usize> {
    memmem::find_iter(tail, b"PK\x05\x06").find(|at| {
        tail.get(at + 20..at + 22).is_some_and(|len| {
            at + 22 + usize::from(u16::from_le_bytes([len[0], len[1]])) == tail.len()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_found_and_metadata_is_not_taken_for_it() {
        assert!(has_markup(b"Created by <SCRIPT src=x>"));
        assert!(has_markup(b"<svg/onload=alert(1)>"));
        assert!(has_markup(b"<?php system(1);"));
        assert!(has_markup(b"<html>"));
        assert!(!has_markup(b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF><rdf:Description/></rdf:RDF></x:xmpmeta>"));
        assert!(!has_markup(b"<scripture> a < b"));
        assert!(!begins_with_markup(b"<abbot@example.org> wrote"));
        assert!(!begins_with_markup(b"a <b>c</b>"));
    }

    #[test]
    fn an_archive_is_found_by_its_end() {
        let mut tail = b"anything".to_vec();
        tail.extend(b"PK\x05\x06");
        tail.extend([0; 16]);
        tail.extend([3, 0]);
        tail.extend(b"abc");
        assert_eq!(archive_end(&tail), Some(8));
        tail.push(b'd');
        assert_eq!(archive_end(&tail), None);
    }
}
