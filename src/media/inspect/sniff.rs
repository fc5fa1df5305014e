//! What a file is, by its content. Its name and what its sender says count for nothing here.
//!
//! What the service looks into is recognised by its own strict rules: the mark stands at the very beginning, or it is
//! not that type. What it only stores is left to `infer`, and anything that could run, in a browser or elsewhere, is
//! none of it.

use super::active;
use super::error::Refused;
use super::format::{Brand, Format, ZIP, essence};
use super::{ogg, ole};

/// How much of a file's beginning tells what it is. Office documents name their parts within the first few thousand
/// bytes.
pub const HEAD: usize = 8192;

/// What the file is that begins with `head`, its first [`HEAD`] bytes or all of it. Which kind of text it is cannot be
/// seen, so there the claim is believed.
pub(super) fn sniff(head: &[u8], claimed: Option<&str>) -> Result<Format, Refused> {
    if let Some(format) = picture(head)? {
        // Some marks are text, and a page may be built around them.
        if active::has_markup(&head[..head.len().min(256)]) {
            return Err(Refused::Polyglot);
        }
        return Ok(format);
    }
    if let Some(format) = film_or_sound(head)? {
        return Ok(format);
    }
    if active::is_program(head) {
        return Err(Refused::Type);
    }
    document(head, claimed)
}

fn picture(head: &[u8]) -> Result<Option<Format>, Refused> {
    Ok(match head {
        [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some(Format::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::Webp),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => {
            return Err(Refused::Unsupported(
                "TIFF pictures are not accepted; send them as JPEG or PNG",
            ));
        }
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => {
            return Err(Refused::Unsupported(
                "BMP pictures are not accepted; send them as JPEG or PNG",
            ));
        }
        _ => None,
    })
}

fn film_or_sound(head: &[u8]) -> Result<Option<Format>, Refused> {
    Ok(match head {
        [_, _, _, _, b'f', b't', b'y', b'p', a, b, c, d, ..] => Some(iso([*a, *b, *c, *d])?),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Format::Webm),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Format::Wav),
        [b'O', b'g', b'g', b'S', 0, ..] if ogg::is_sound(head) => Some(Format::Ogg),
        [b'O', b'g', b'g', b'S', 0, ..] => return Err(ogg::NO_SOUND),
        [b'f', b'L', b'a', b'C', ..] => Some(Format::Flac),
        [b'#', b'!', b'A', b'M', b'R', b'\n', ..] => Some(Format::Amr),
        [b'#', b'!', b'A', b'M', b'R', b'-', b'W', b'B', b'\n', ..] => Some(Format::Amr),
        [b'I', b'D', b'3', major, ..] if *major < 0xff => Some(Format::Mp3),
        // Eleven bits of synchronisation, layer III, and neither of the values that no frame has.
        [0xff, second, third, ..]
            if second & 0xe6 == 0xe2
                && second & 0x18 != 0x08
                && third & 0xf0 != 0xf0
                && third & 0x0c != 0x0c =>
        {
            Some(Format::Mp3)
        }
        [0xff, 0xf0 | 0xf1 | 0xf8 | 0xf9, third, ..] if third & 0x3c <= 0x30 => Some(Format::Aac),
        _ => None,
    })
}

fn iso(brand: [u8; 4]) -> Result<Format, Refused> {
    Ok(Format::Iso(match &brand {
        b"qt  " => Brand::QuickTime,
        b"M4A " | b"M4B " | b"M4P " => Brand::M4a,
        [b'3', b'g', b'p' | b'g' | b'2' | b'r' | b's' | b'e', _] => Brand::ThreeGp,
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"mif2" | b"msf1" => {
            return Err(Refused::Unsupported(
                "HEIC pictures are not accepted, many cannot show them; send JPEG",
            ));
        }
        b"avif" | b"avis" => {
            return Err(Refused::Unsupported(
                "AVIF pictures are not accepted, many cannot show them; send JPEG or WebP",
            ));
        }
        b"crx " | b"jp2 " | b"jpx " | b"jpm " | b"jxl " => return Err(Refused::Type),
        _ => Brand::Mp4,
    }))
}

fn document(head: &[u8], claimed: Option<&str>) -> Result<Format, Refused> {
    if head.starts_with(b"%PDF-") {
        return Ok(Format::Pdf);
    }
    // Some readers find a document that begins further on: such a file would be two.
    if memchr::memmem::find(&head[..head.len().min(1024)], b"%PDF-").is_some() {
        return Err(Refused::Polyglot);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Ok(Format::Zip(zipped(head)));
    }
    if head.starts_with(ole::MARK) {
        return Ok(Format::Ole);
    }
    if looks_like_text(head) {
        if active::begins_with_markup(head) {
            return Err(Refused::Unsupported("web pages, drawings and scripts are not accepted"));
        }
        return Ok(text(head, claimed));
    }
    match infer::get(head).map(|found| found.mime_type()) {
        Some(mime) if PASSIVE.contains(&mime) => Ok(Format::Other(mime)),
        _ => Err(Refused::Type),
    }
}

/// What may be stored unseen, if the list of allowed types names it: nothing of it runs when it is opened by its own
/// programs.
const PASSIVE: [&str; 8] = [
    "application/x-tar",
    "application/vnd.rar",
    "application/gzip",
    "application/x-bzip2",
    "application/x-7z-compressed",
    "application/x-xz",
    "application/zstd",
    "application/x-mobipocket-ebook",
];

fn zipped(head: &[u8]) -> &'static str {
    match infer::get(head).map(|found| found.mime_type()) {
        Some(mime)
            if mime == "application/epub+zip"
                || mime.starts_with("application/vnd.openxmlformats-officedocument.")
                || mime.starts_with("application/vnd.oasis.opendocument.") =>
        {
            mime
        }
        _ => ZIP,
    }
}

/// The kinds of text that are named as what they are; all other text is plain.
const TEXTS: [&str; 9] = [
    "text/plain",
    "text/csv",
    "text/tab-separated-values",
    "text/markdown",
    "text/calendar",
    "text/vcard",
    "text/x-vcard",
    "application/json",
    "application/x-ndjson",
];

fn text(head: &[u8], claimed: Option<&str>) -> Format {
    if head.starts_with(b"{\\rtf") {
        return Format::Text("application/rtf");
    }
    let claimed = claimed.and_then(essence);
    let known = TEXTS.into_iter().find(|text| Some(*text) == claimed.as_deref());
    Format::Text(known.unwrap_or("text/plain"))
}

/// Whether the head may be the beginning of a text; the whole is looked at later.
fn looks_like_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        // The last character may have been cut in two.
        Err(error) => error.error_len().is_none() && head.len() >= HEAD,
    };
    valid && !head.is_empty() && !head.iter().any(|byte| super::text::is_control(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_what_a_file_is() {
        let cases: [(&[u8], Format); 15] = [
            (b"\xff\xd8\xff\xe0rest", Format::Jpeg),
            (b"\x89PNG\r\n\x1a\nrest", Format::Png),
            (b"GIF89arest", Format::Gif),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Format::Webp),
            (b"RIFF\x10\0\0\0WAVEfmt ", Format::Wav),
            (b"\0\0\0\x18ftypisom\0\0\0\0", Format::Iso(Brand::Mp4)),
            (b"\0\0\0\x18ftypM4A \0\0\0\0", Format::Iso(Brand::M4a)),
            (b"\0\0\0\x18ftypqt  \0\0\0\0", Format::Iso(Brand::QuickTime)),
            (b"\0\0\0\x18ftyp3gp4\0\0\0\0", Format::Iso(Brand::ThreeGp)),
            (b"ID3\x04\0\0\0\0\0\0", Format::Mp3),
            (b"\xff\xfb\x90\x64", Format::Mp3),
            (b"\xff\xf1\x50\x80", Format::Aac),
            (b"#!AMR\n\x3c", Format::Amr),
            (b"%PDF-1.7\n", Format::Pdf),
            ("größer\n".as_bytes(), Format::Text("text/plain")),
        ];
        for (head, format) in cases {
            assert_eq!(sniff(head, None), Ok(format), "{head:?}");
        }
        assert_eq!(
            sniff(b"a,b\n1,2\n", Some("text/csv; charset=utf-8")),
            Ok(Format::Text("text/csv"))
        );
        assert_eq!(sniff(b"a,b\n1,2\n", Some("text/x-python")), Ok(Format::Text("text/plain")));
    }

    #[test]
    fn what_could_run_or_cannot_be_told_is_refused() {
        let cases: [&[u8]; 20] = [
            b"",
            b"MZ\x90\0\x03\0\0\0",
            b"\x7fELF\x02\x01\x01\0",
            b"\xcf\xfa\xed\xfe\x07\0\0\x01",
            b"\xca\xfe\xba\xbe\0\0\0\x34",
            b"\0asm\x01\0\0\0",
            b"dex\n035\0",
            b"#!/bin/sh\nrm -rf /\n",
            b"<!DOCTYPE html><html></html>",
            b"\xef\xbb\xbf  \n<HTML><body>",
            b"<script>alert(1)</script>",
            b"<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"/>",
            b"<svg onload=alert(1)>",
            b"<?php system($_GET['c']);",
            b"<!-- hello --><svg>",
            b"\0\x01\x02\x03binary",
            b"II*\0\x08\0\0\0",
            b"\0\0\0\x18ftypheic\0\0\0\0",
            b"OggS\0\x02\0\0\0\0\0\0\0\0\x80theora",
            b"hello\n%PDF-1.4",
        ];
        for head in cases {
            assert!(sniff(head, None).is_err(), "{head:?}");
        }
    }
}
