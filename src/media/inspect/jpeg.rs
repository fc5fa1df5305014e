//! JPEG: a row of segments, each with a marker, and scans of compressed data between them.

use std::io::{Read, Seek};

use image::metadata::Orientation;

use super::active;
use super::error::{Error, Refused};
use super::exif;
use super::layout::{ImageLimits, Layout, MAX_PROFILE, drop_part, stretch};
use super::source::Source;

/// A progressive picture has about ten scans. Each goes over all pixels, so that a file of a few kilobytes with
/// thousands keeps a decoder busy for minutes.
const MAX_SCANS: u64 = 64;

/// So many pixels may be gone over in all: ten scans of the largest picture. A decoder does about 100 million a second.
const MAX_SCANNED: u64 = 500_000_000;

/// Reads the segments. What is kept: what decoding needs, the profile of the colours, and how they are coded. EXIF,
/// XMP, IPTC, comments, embedded thumbnails, further pictures and whatever cameras put behind the end are left out.
pub(super) fn layout<R: Read + Seek>(
    source: &mut Source<'_, R>,
    limits: &ImageLimits,
) -> Result<Layout, Error> {
    let mut layout = Layout::new();
    source.skip(2)?;
    layout.content.keep(0..2)?;
    let mut scans = 0u64;
    loop {
        // What stands between segments has no meaning; decoders pass it, and it is left out.
        source.pass(0xff)?;
        let mut marker = 0xff;
        while marker == 0xff {
            marker = source.byte()?;
        }
        let from = source.at() - 2;
        match marker {
            0x00 => {}
            0xd9 => {
                layout.content.keep(from..from + 2)?;
                break;
            }
            // A scan's header, and its data up to the next marker.
            0xda => {
                scans += 1;
                if layout.width == 0 {
                    return Err(Refused::Damaged("its scans are not valid").into());
                }
                if scans > MAX_SCANS || (scans > 1 && scans * layout.pixels() > MAX_SCANNED) {
                    return Err(Refused::TooLarge("the picture has too many scans").into());
                }
                let header = u64::from(source.be16()?);
                source.go_to(from + 2 + header.max(2))?;
                pass_scan(source)?;
                layout.content.keep(from..source.at())?;
            }
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                frame(source, from, marker, &mut layout, limits)?
            }
            0xc4 | 0xdb | 0xdd => {
                let len = segment(source)?;
                let kept = stretch(source, from, len + 4)?;
                layout.content.keep(kept)?;
            }
            0xe0..=0xef | 0xfe => application(source, from, marker, &mut layout)?,
            _ => return Err(Refused::Damaged("it has a segment of an unknown type").into()),
        }
    }
    if scans == 0 {
        return Err(Refused::Damaged("it has no picture").into());
    }
    active::check_trailer(source)?;
    Ok(layout)
}

/// The same picture with its orientation in a block of EXIF of its own, for one that is too large to be turned.
pub(super) fn with_orientation(orientation: Orientation) -> Vec<u8> {
    let tiff = exif::minimal(orientation);
    let mut segment = vec![0xff, 0xe1];
    // The length counts itself; the block has 32 bytes.
    segment.extend(u16::try_from(2 + 6 + tiff.len()).unwrap_or_default().to_be_bytes());
    segment.extend(b"Exif\0\0");
    segment.extend(tiff);
    segment
}

/// The length of a segment's content.
fn segment<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<u64, Error> {
    u64::from(source.be16()?)
        .checked_sub(2)
        .ok_or_else(|| Refused::Damaged("it has a segment of no length").into())
}

/// Goes to the next marker that ends a scan: not an escaped byte, nor a point of restart.
fn pass_scan<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<(), Error> {
    loop {
        source.pass(0xff)?;
        let mut next = 0xff;
        while next == 0xff {
            next = source.byte()?;
        }
        if next != 0 && !(0xd0..=0xd7).contains(&next) {
            return source.go_to(source.at() - 2);
        }
    }
}

/// The header of the frame: sizes, and what decoding will take.
fn frame<R: Read + Seek>(
    source: &mut Source<'_, R>,
    from: u64,
    marker: u8,
    layout: &mut Layout,
    limits: &ImageLimits,
) -> Result<(), Error> {
    let len = segment(source)?;
    let [precision, h1, h2, w1, w2, components] = source.array()?;
    if layout.width != 0 || len < 6 {
        return Err(Refused::Damaged("it has more than one picture").into());
    }
    if !matches!(marker, 0xc0..=0xc2) || precision != 8 {
        return Err(Refused::Unsupported("this way of coding JPEG is not accepted").into());
    }
    layout.set_size(
        u32::from(u16::from_be_bytes([w1, w2])),
        u32::from(u16::from_be_bytes([h1, h2])),
        limits,
    )?;
    if marker == 0xc2 {
        layout.per_pixel = coefficients(source, components)?;
    }
    let kept = stretch(source, from, len + 4)?;
    layout.content.keep(kept)?;
    Ok(())
}

/// With progression, coefficients of two bytes are kept for the whole picture: how many bytes that is for a pixel.
/// Colours are mostly stored at half the width and height, which makes three.
fn coefficients<R: Read + Seek>(source: &mut Source<'_, R>, components: u8) -> Result<u64, Error> {
    let (mut widest, mut highest, mut samples) = (1, 1, 0);
    for _ in 0..components {
        let [_id, factors, _table] = source.array()?;
        let (across, down) = (u64::from(factors >> 4), u64::from(factors & 0x0f));
        (widest, highest) = (across.max(widest), down.max(highest));
        samples += across * down;
    }
    Ok((2 * samples).div_ceil(widest * highest))
}

/// A segment that decoders may ignore: the profile of colours and how they are coded are kept.
fn application<R: Read + Seek>(
    source: &mut Source<'_, R>,
    from: u64,
    marker: u8,
    layout: &mut Layout,
) -> Result<(), Error> {
    let len = segment(source)?;
    let end = from + 4 + len;
    let start: Vec<u8> = source.take(len.min(14))?;
    match marker {
        // As they should be, they are kept as they are.
        0xe0 if start.starts_with(b"JFIF\0") && len == 14 && start.ends_with(&[0, 0]) => {
            layout.content.keep(from..end)?;
        }
        0xee if start.starts_with(b"Adobe") && len == 12 => layout.content.keep(from..end)?,
        0xe0 if start.starts_with(b"JFIF\0") && len >= 14 => {
            // Version, units and density, without the thumbnail that may follow.
            let mut kept = vec![0xff, 0xe0, 0, 16];
            kept.extend(&start[..12]);
            kept.extend([0, 0]);
            layout.content.put(kept)?;
        }
        0xee if start.starts_with(b"Adobe") && len >= 12 => {
            let mut kept = vec![0xff, 0xee, 0, 14];
            kept.extend(&start[..12]);
            layout.content.put(kept)?;
        }
        0xe2 if start.starts_with(b"ICC_PROFILE\0")
            && layout.profile.len() as u64 + len <= MAX_PROFILE =>
        {
            let profile = source.take(len - start.len() as u64)?;
            if active::has_markup(&profile) {
                return Err(Refused::Polyglot.into());
            }
            layout.profile.extend(profile);
            layout.content.keep(from..end)?;
        }
        _ => {
            if marker == 0xe1 && start.starts_with(b"Exif\0\0") {
                source.go_to(from + 4 + 6)?;
                let block = source.take(len - 6)?;
                layout.read_exif(&block);
            }
            source.go_to(from + 4)?;
            drop_part(source, len)?;
        }
    }
    source.go_to(end)
}
