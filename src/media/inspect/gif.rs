//! GIF: a canvas, then frames and extensions, each a row of small blocks that ends with an empty one.

use std::io::{Read, Seek};

use super::active;
use super::error::{Error, Refused};
use super::layout::{ImageLimits, Layout, drop_part};
use super::source::Source;

/// Reads the frames and extensions. What is kept: the frames, how long each is shown, and how often all are. Comments,
/// texts and what programs add are left out.
pub(super) fn layout<R: Read + Seek>(
    source: &mut Source<'_, R>,
    limits: &ImageLimits,
) -> Result<Layout, Error> {
    let mut layout = Layout::new();
    source.skip(6)?;
    let [w1, w2, h1, h2, flags, _background, _aspect] = source.array()?;
    let (width, height) =
        (u32::from(u16::from_le_bytes([w1, w2])), u32::from(u16::from_le_bytes([h1, h2])));
    layout.set_size(width, height, limits)?;
    // The canvas, and a frame as large, at 4 bytes a pixel each.
    layout.per_pixel = 8;
    source.skip(palette(flags))?;
    layout.content.keep(0..source.at())?;
    loop {
        let from = source.at();
        match source.byte()? {
            0x2c => {
                let [x1, x2, y1, y2, w1, w2, h1, h2, flags] = source.array()?;
                let frame = |low, high| u32::from(u16::from_le_bytes([low, high]));
                layout.add_frame(frame(w1, w2), frame(h1, h2), limits)?;
                if frame(x1, x2) + frame(w1, w2) > width || frame(y1, y2) + frame(h1, h2) > height {
                    return Err(Refused::Damaged("a frame is outside of the picture").into());
                }
                source.skip(palette(flags))?;
                // How many bits the codes begin with.
                source.skip(1)?;
                pass_blocks(source)?;
                layout.content.keep(from..source.at())?;
            }
            0x21 => {
                let label = source.byte()?;
                pass_blocks(source)?;
                let end = source.at();
                if keeps_extension(source, label, from, end)? {
                    layout.content.keep(from..end)?;
                } else {
                    source.go_to(from)?;
                    drop_part(source, end - from)?;
                }
            }
            0x3b => {
                layout.content.keep(from..from + 1)?;
                break;
            }
            _ => return Err(Refused::Damaged("it has a part of an unknown type").into()),
        }
    }
    if layout.frames() == 0 {
        return Err(Refused::Damaged("it has no picture").into());
    }
    active::check_trailer(source)?;
    Ok(layout)
}

/// How long the palette is that these flags announce.
fn palette(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

fn pass_blocks<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<(), Error> {
    loop {
        match source.byte()? {
            0 => return Ok(()),
            len => source.skip(u64::from(len))?,
        }
    }
}

/// Control of a frame, and the number of repetitions: 3 and 14 bytes of header, 5 to a few of content.
fn keeps_extension<R: Read + Seek>(
    source: &mut Source<'_, R>,
    label: u8,
    from: u64,
    end: u64,
) -> Result<bool, Error> {
    match label {
        0xf9 => Ok(end - from == 8),
        0xff if end - from == 19 => {
            source.go_to(from + 3)?;
            let name: [u8; 11] = source.array()?;
            source.go_to(end)?;
            Ok(&name == b"NETSCAPE2.0" || &name == b"ANIMEXTS1.0")
        }
        _ => Ok(false),
    }
}
