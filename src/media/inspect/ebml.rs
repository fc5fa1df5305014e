//! WebM: elements with a number, a length that may be unknown, and their content, which may be further elements.

use std::io::{Read, Seek};
use std::ops::Range;
use std::time::Duration;

use super::content::Content;
use super::error::{ENDS_EARLY, Error, Refused};
use super::format::Format;
use super::source::Source;
use super::{Inspected, active};

/// So many elements are looked at: an hour of film and sound has about 300,000 blocks.
const MAX_ELEMENTS: u32 = 2_000_000;

const HEADER: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
const CLUSTER: u32 = 0x1f43_b675;
const TAGS: u32 = 0x1254_c367;
const ATTACHMENTS: u32 = 0x1941_a469;

/// What is known of the whole.
#[derive(Debug, Default)]
struct Film {
    /// Nanoseconds of a unit, and the length in units.
    scale: Option<u64>,
    length: Option<f64>,
    has_sound: bool,
    has_picture: bool,
    width: Option<u64>,
    height: Option<u64>,
    /// When the cluster begins, and the latest block of all, in units.
    cluster: u64,
    last: u64,
    /// Tags and attachments: they become empty.
    emptied: Vec<Range<u64>>,
}

/// Looks at a WebM file.
pub(super) fn inspect<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<Inspected, Error> {
    check_type(source)?;
    let (id, segment) = element(source)?;
    if id != SEGMENT {
        return Err(Refused::Damaged("it has no content").into());
    }
    let mut film = Film::default();
    let end = segment.map_or(source.len(), |len| source.at().saturating_add(len));
    if end > source.len() {
        return Err(ENDS_EARLY.into());
    }
    for _ in 0..MAX_ELEMENTS {
        if source.at() >= end {
            active::check_trailer(source)?;
            return film.inspected(end);
        }
        film.next(source, end)?;
    }
    Err(Refused::TooLarge("the file has too many parts").into())
}

/// The header says which kind of the family it is.
fn check_type<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<(), Error> {
    let (id, len) = element(source)?;
    let end = source.at() + len.filter(|len| *len <= 4096).ok_or(BROKEN)?;
    if id != HEADER {
        return Err(BROKEN.into());
    }
    let mut is_webm = false;
    while source.at() < end {
        let (id, len) = element(source)?;
        let content = source.take(len.filter(|len| *len <= 4096).ok_or(BROKEN)?)?;
        if id == 0x4282 {
            is_webm = content.split(|byte| *byte == 0).next() == Some(b"webm");
        }
    }
    if is_webm {
        Ok(())
    } else {
        Err(Refused::Unsupported("of Matroska files only WebM is accepted").into())
    }
}

impl Film {
    /// Reads an element. Those that hold what is wanted are entered rather than passed, so that those of unknown
    /// length need no care.
    fn next<R: Read + Seek>(&mut self, source: &mut Source<'_, R>, end: u64) -> Result<(), Error> {
        let from = source.at();
        let (id, len) = element(source)?;
        if matches!(id, INFO | TRACKS | CLUSTER | 0xae | 0xe0 | 0xa0) {
            return Ok(());
        }
        let len = len.ok_or(BROKEN)?;
        let after = source.at().saturating_add(len);
        if after > end {
            return Err(ENDS_EARLY.into());
        }
        match id {
            0x2a_d7b1 => self.scale = Some(number(source, len)?),
            0x4489 => self.length = Some(float(source, len)?),
            0x83 => match number(source, len)? {
                1 => self.has_picture = true,
                2 => self.has_sound = true,
                _ => {}
            },
            0xb0 => self.width = self.width.or(Some(number(source, len)?)),
            0xba => self.height = self.height.or(Some(number(source, len)?)),
            0xe7 => self.cluster = number(source, len)?,
            0xa3 | 0xa1 => {
                // The track's number, then how much later than its cluster it is.
                varying(source)?;
                let later = i64::from(i16::from_be_bytes(source.array()?));
                self.last = self.last.max(self.cluster.saturating_add_signed(later));
            }
            TAGS | ATTACHMENTS => self.emptied.push(from..after),
            _ => {}
        }
        source.go_to(after)
    }

    fn inspected(self, end: u64) -> Result<Inspected, Error> {
        if !self.has_picture && !self.has_sound {
            return Err(Refused::Damaged("it has neither pictures nor sound").into());
        }
        let side = |side: Option<u64>| {
            side.filter(|_| self.has_picture)
                .and_then(|side| u32::try_from(side).ok())
                .filter(|side| (1..=65_535).contains(side))
        };
        let mime = if self.has_picture { Format::Webm.mime() } else { Format::Webm.sound_mime() };
        Ok(Inspected {
            width: side(self.width).filter(|_| side(self.height).is_some()),
            height: side(self.height).filter(|_| side(self.width).is_some()),
            duration: self.duration(),
            content: self.content(end)?,
            ..Inspected::plain(mime, 0)
        })
    }

    /// By its header, or, where a recording was written as it was made, by its last block.
    #[expect(clippy::cast_precision_loss, reason = "a length is not told to the nanosecond")]
    fn duration(&self) -> Option<Duration> {
        let units = self.length.filter(|length| *length > 0.0).unwrap_or(self.last as f64);
        let seconds = units * self.scale.unwrap_or(1_000_000) as f64 / 1e9;
        (seconds > 0.0 && seconds < 31_536_000.0).then(|| Duration::from_secs_f64(seconds))
    }

    /// The file up to `end`, with tags and attachments made empty elements of the same length.
    fn content(&self, end: u64) -> Result<Content, Error> {
        let mut content = Content::default();
        let mut at = 0;
        for range in &self.emptied {
            content.keep(at..range.start)?;
            let len = range.end - range.start;
            let mut header = vec![0xec];
            // A length of eight bytes, or of one; the element itself has at least five.
            match len.checked_sub(9) {
                Some(inner) => header.extend((inner | 1 << 56).to_be_bytes()),
                None => header.push(0x80 | u8::try_from(len.saturating_sub(2)).unwrap_or(0)),
            }
            let rest = len - header.len() as u64;
            content.put(header)?;
            content.zeros(rest)?;
            at = range.end;
        }
        content.keep(at..end)?;
        Ok(content)
    }
}

const BROKEN: Refused = Refused::Damaged("its parts contradict one another");

/// The number of an element, and its length, if it is known.
fn element<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<(u32, Option<u64>), Error> {
    let first = source.byte()?;
    let more = first.leading_zeros();
    if more > 3 {
        return Err(BROKEN.into());
    }
    let mut id = u32::from(first);
    for _ in 0..more {
        id = id << 8 | u32::from(source.byte()?);
    }
    Ok((id, varying(source)?))
}

/// A number that says by its first bits how long it is; `None` when all others are set, which stands for unknown.
fn varying<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<Option<u64>, Error> {
    let first = source.byte()?;
    let more = first.leading_zeros();
    if more > 7 {
        return Err(BROKEN.into());
    }
    let mut value = u64::from(first) & (0x7f >> more);
    for _ in 0..more {
        value = value << 8 | u64::from(source.byte()?);
    }
    Ok((value != (1 << (7 * (more + 1))) - 1).then_some(value))
}

fn number<R: Read + Seek>(source: &mut Source<'_, R>, len: u64) -> Result<u64, Error> {
    if len > 8 {
        return Err(BROKEN.into());
    }
    Ok(source.take(len)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn float<R: Read + Seek>(source: &mut Source<'_, R>, len: u64) -> Result<f64, Error> {
    match len {
        4 => Ok(f64::from(f32::from_bits(source.be32()?))),
        8 => Ok(f64::from_bits(source.be64()?)),
        _ => Err(BROKEN.into()),
    }
}
