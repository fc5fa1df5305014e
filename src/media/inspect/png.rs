//! PNG: a signature, then chunks with a length, a name, their bytes and a checksum.

use std::io::{Read, Seek};

use super::active;
use super::error::{ENDS_EARLY, Error, Refused};
use super::exif;
use super::layout::{ImageLimits, Layout, MAX_PROFILE, drop_part};
use super::source::Source;

/// Reads the chunks. What is kept: the picture, its colours, its resolution and its movement. Texts, times, EXIF and
/// all that is unknown are left out.
pub(super) fn layout<R: Read + Seek>(
    source: &mut Source<'_, R>,
    limits: &ImageLimits,
) -> Result<Layout, Error> {
    let mut layout = Layout::new();
    source.skip(8)?;
    layout.content.keep(0..8)?;
    loop {
        let from = source.at();
        let len = u64::from(source.be32()?);
        let name: [u8; 4] = source.array()?;
        // Name, length and checksum have four bytes each.
        let end = from + 12 + len;
        if end > source.len() {
            return Err(ENDS_EARLY.into());
        }
        if (layout.width == 0) != (&name == b"IHDR") {
            return Err(Refused::Damaged("its header is not where it belongs").into());
        }
        let mut kept = true;
        match &name {
            b"IHDR" if len == 13 => {
                let (width, height) = (source.be32()?, source.be32()?);
                layout.set_size(width, height, limits)?;
                let [_depth, _colour, _compression, _filter, interlaced] = source.array()?;
                // With interlacing the whole picture is in memory, at 4 bytes a pixel; otherwise a row is.
                layout.per_pixel = if interlaced == 0 { 0 } else { 4 };
            }
            b"fcTL" if len == 26 => {
                source.skip(4)?;
                let (width, height) = (source.be32()?, source.be32()?);
                layout.add_frame(width, height, limits)?;
            }
            b"iCCP" => kept = len <= MAX_PROFILE,
            b"PLTE" | b"IDAT" | b"IEND" | b"tRNS" | b"cHRM" | b"gAMA" | b"sBIT" | b"sRGB"
            | b"cICP" | b"bKGD" | b"pHYs" | b"acTL" | b"fdAT" => {}
            b"eXIf" => {
                let block = source.take(len.min(exif::MAX_LEN))?;
                layout.read_exif(&block);
                kept = false;
            }
            // Names that begin in lower case are of chunks that may be left out.
            [first, ..] if first.is_ascii_lowercase() => kept = false,
            _ => return Err(Refused::Damaged("it has a part of an unknown type").into()),
        }
        if kept {
            layout.content.keep(from..end)?;
        } else {
            source.go_to(from + 8)?;
            drop_part(source, len)?;
        }
        source.go_to(end)?;
        if &name == b"IEND" {
            break;
        }
    }
    active::check_trailer(source)?;
    Ok(layout)
}
