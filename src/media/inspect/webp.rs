//! WebP: chunks in a RIFF container, each with a name, a length, and a byte of padding if that is odd.

use std::io::{Read, Seek};
use std::ops::Range;

use super::active;
use super::error::{ENDS_EARLY, Error, Refused};
use super::exif;
use super::layout::{ImageLimits, Layout, MAX_PROFILE, drop_part};
use super::source::Source;

/// The bits of the header that announce a profile, EXIF and XMP.
const PROFILE: u8 = 0x20;
const EXIF: u8 = 0x08;
const XMP: u8 = 0x04;

/// Decoding takes the result and a working copy of four bytes a pixel each at worst.
const PER_PIXEL: u64 = 8;

/// Reads the chunks. What is kept: the picture, its transparency, movement and colours. EXIF, XMP and all that is
/// unknown are left out.
pub(super) fn layout<R: Read + Seek>(
    source: &mut Source<'_, R>,
    limits: &ImageLimits,
) -> Result<Layout, Error> {
    let mut layout = Layout::new();
    layout.per_pixel = PER_PIXEL;
    source.skip(4)?;
    let end = 8 + u64::from(u32::from_le_bytes(source.array()?));
    source.skip(4)?;
    if end > source.len() {
        return Err(ENDS_EARLY.into());
    }
    let mut seen = Seen::default();
    while source.at() + 8 <= end {
        let from = source.at();
        let (name, len) = chunk(source)?;
        // A writer may leave out the very last byte of padding.
        if from + 8 + len > end {
            return Err(ENDS_EARLY.into());
        }
        let next = (from + 8 + len + len % 2).min(end);
        match read_chunk(source, (&name, len), &mut seen, &mut layout, limits)? {
            Fate::Kept => seen.parts.push(from..next),
            Fate::Dropped => {
                source.go_to(from + 8)?;
                drop_part(source, len)?;
            }
            Fate::WrittenAnew => {}
        }
        source.go_to(next)?;
    }
    if seen.pictures == 0 {
        return Err(Refused::Damaged("it has no picture").into());
    }
    source.go_to(end)?;
    active::check_trailer(source)?;
    assemble(source, &mut layout, &seen)?;
    Ok(layout)
}

/// What the chunks before have shown.
#[derive(Default)]
struct Seen {
    header: Option<[u8; 10]>,
    has_profile: bool,
    pictures: u32,
    /// Where the chunks are that are kept.
    parts: Vec<Range<u64>>,
}

/// What becomes of a chunk.
enum Fate {
    Kept,
    Dropped,
    /// The header: it says what the container holds, which is less now.
    WrittenAnew,
}

fn read_chunk<R: Read + Seek>(
    source: &mut Source<'_, R>,
    (name, len): (&[u8; 4], u64),
    seen: &mut Seen,
    layout: &mut Layout,
    limits: &ImageLimits,
) -> Result<Fate, Error> {
    match name {
        b"VP8X" => {
            if seen.header.is_none() && len >= 10 && seen.pictures == 0 {
                let fields: [u8; 10] = source.array()?;
                layout.set_size(le24(&fields[4..7]) + 1, le24(&fields[7..10]) + 1, limits)?;
                seen.header = Some(fields);
            }
            return Ok(Fate::WrittenAnew);
        }
        b"VP8 " | b"VP8L" => {
            seen.pictures += 1;
            let (width, height) = bitstream(source, name)?;
            if seen.header.is_none() {
                layout.set_size(width, height, limits)?;
            } else if (width, height) != (layout.width, layout.height) {
                return Err(Refused::Damaged("its sizes contradict one another").into());
            }
        }
        b"ANMF" if len >= 24 => {
            seen.pictures += 1;
            moving(source, len, layout, limits)?;
        }
        b"ICCP" if len <= MAX_PROFILE => seen.has_profile = true,
        b"ALPH" | b"ANIM" => {}
        b"EXIF" => {
            let block = source.take(len.min(exif::MAX_LEN))?;
            layout.read_exif(&block);
            return Ok(Fate::Dropped);
        }
        _ => return Ok(Fate::Dropped),
    }
    Ok(Fate::Kept)
}

/// Writes the container anew around the parts that are kept. The header, where there is one, stands first.
fn assemble<R: Read + Seek>(
    source: &mut Source<'_, R>,
    layout: &mut Layout,
    Seen { header, has_profile, parts, .. }: &Seen,
) -> Result<(), Error> {
    let kept: u64 = parts.iter().map(|part| part.end - part.start).sum();
    let size = 4 + kept + if header.is_some() { 18 } else { 0 };
    let mut start = b"RIFF".to_vec();
    start.extend(u32::try_from(size).map_err(|_| ENDS_EARLY)?.to_le_bytes());
    start.extend(b"WEBP");
    if let Some(mut fields) = *header {
        fields[0] &= !(EXIF | XMP);
        if !has_profile {
            fields[0] &= !PROFILE;
        }
        start.extend(b"VP8X\x0a\0\0\0");
        start.extend(fields);
    }
    let len = start.len() as u64;
    source.go_to(0)?;
    if source.take(len)? == start {
        // As they should be, they are kept as they are.
        layout.content.keep(0..len)?;
    } else {
        layout.content.put(start)?;
    }
    for part in parts {
        layout.content.keep(part.clone())?;
    }
    Ok(())
}

fn chunk<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<([u8; 4], u64), Error> {
    Ok((source.array()?, u64::from(u32::from_le_bytes(source.array()?))))
}

fn le24(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

/// The size that a compressed picture itself names.
fn bitstream<R: Read + Seek>(
    source: &mut Source<'_, R>,
    name: &[u8; 4],
) -> Result<(u32, u32), Error> {
    if name == b"VP8L" {
        let [mark, a, b, c, d] = source.array()?;
        let bits = u32::from_le_bytes([a, b, c, d]);
        if mark != 0x2f {
            return Err(Refused::Damaged("it has no picture").into());
        }
        return Ok(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1));
    }
    let [_, _, _, a, b, c, w1, w2, h1, h2] = source.array()?;
    if [a, b, c] != [0x9d, 0x01, 0x2a] {
        return Err(Refused::Damaged("it has no picture").into());
    }
    let size = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    Ok((size(w1, w2), size(h1, h2)))
}

/// A frame: its place and size, then its picture, which must be of that size.
fn moving<R: Read + Seek>(
    source: &mut Source<'_, R>,
    len: u64,
    layout: &mut Layout,
    limits: &ImageLimits,
) -> Result<(), Error> {
    let end = source.at() + len;
    let fields: [u8; 16] = source.array()?;
    let size = (le24(&fields[6..9]) + 1, le24(&fields[9..12]) + 1);
    layout.add_frame(size.0, size.1, limits)?;
    while source.at() + 8 <= end {
        let (name, len) = chunk(source)?;
        let next = source.at() + len + len % 2;
        if matches!(&name, b"VP8 " | b"VP8L") {
            if bitstream(source, &name)? != size {
                return Err(Refused::Damaged("its sizes contradict one another").into());
            }
            return Ok(());
        }
        source.go_to(next)?;
    }
    Err(Refused::Damaged("a frame has no picture").into())
}
