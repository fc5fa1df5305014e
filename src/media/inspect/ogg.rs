//! Ogg: pages, each with a number of samples up to its end. The first says what is inside.

use std::io::{Read, Seek};
use std::time::Duration;

use super::error::{Error, Refused};
use super::source::Source;

/// The sound that is accepted, by how its first packet begins.
const SOUNDS: [&[u8]; 3] = [b"OpusHead", b"\x01vorbis", b"Speex   "];

/// Something else is inside, or beside it.
pub(super) const NO_SOUND: Refused =
    Refused::Unsupported("of Ogg files only Opus, Vorbis and Speex sound is accepted");

const BROKEN: Refused = Refused::Damaged("its parts contradict one another");

/// Whether sound is inside, by the first bytes of the file.
pub(super) fn is_sound(head: &[u8]) -> bool {
    // The header of a page ends with how long its packets are, and before that how many lengths there are.
    let packet = head.get(26).and_then(|lengths| head.get(27 + usize::from(*lengths)..));
    packet.is_some_and(|packet| SOUNDS.iter().any(|mark| packet.starts_with(mark)))
}

/// A page, without its packets.
struct Page {
    begins: bool,
    position: u64,
    stream: u32,
    len: u64,
}

/// How long the sound lasts.
pub(super) fn duration<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<Duration, Error> {
    let first = page(source)?;
    let end = source.at() + first.len;
    let (rate, before) = clock(&source.take(first.len.min(64))?)?;
    source.go_to(end)?;
    let mut samples = 0;
    while source.left() > 0 {
        let page = page(source)?;
        if page.begins {
            return Err(NO_SOUND.into());
        }
        if page.stream != first.stream {
            return Err(BROKEN.into());
        }
        // All bits set: no packet ends on this page.
        if page.position != u64::MAX {
            samples = page.position;
        }
        source.skip(page.len)?;
    }
    let samples = samples.saturating_sub(before);
    if rate == 0 || samples / u64::from(rate) > super::LONGEST.as_secs() {
        return Err(BROKEN.into());
    }
    Ok(Duration::from_millis(samples * 1000 / u64::from(rate)))
}

fn page<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<Page, Error> {
    if source.array()? != *b"OggS\0" {
        return Err(BROKEN.into());
    }
    let flags = source.byte()?;
    let position = u64::from_le_bytes(source.array()?);
    let stream = u32::from_le_bytes(source.array()?);
    source.skip(8)?;
    let lengths = source.byte()?;
    let len = source.take(u64::from(lengths))?.iter().map(|len| u64::from(*len)).sum();
    Ok(Page { begins: flags & 2 != 0, position, stream, len })
}

/// Samples a second, and how many come before the first that is heard.
fn clock(packet: &[u8]) -> Result<(u32, u64), Refused> {
    let word = |at: usize| {
        let bytes = packet.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_le_bytes).ok_or(BROKEN)
    };
    match SOUNDS.iter().position(|mark| packet.starts_with(mark)) {
        // Opus counts at 48 kHz, whatever it was recorded at.
        Some(0) => Ok((48_000, u64::from(word(10)? & 0xffff))),
        Some(1) => Ok((word(12)?, 0)),
        Some(_) => Ok((word(36)?, 0)),
        None => Err(NO_SOUND),
    }
}
