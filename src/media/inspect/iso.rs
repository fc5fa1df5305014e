//! MP4, QuickTime and 3GPP: boxes with a length and a name, some of them full of further boxes.
//!
//! Phones write where a film was taken into it. Boxes that hold such things, or that nobody knows, are turned into
//! empty ones of the same length in place, so that no offset in the file has to change and the file is never
//! rewritten.

use std::io::{Read, Seek};
use std::ops::Range;
use std::time::Duration;

use super::content::Content;
use super::error::{ENDS_EARLY, Error, Refused};
use super::format::Format;
use super::source::Source;
use super::tracks::{self, Track};
use super::{Inspected, active};

/// So many boxes are looked at. A film of an hour in fragments of a second has about 15,000.
const MAX_BOXES: u32 = 100_000;

/// Looks at a file of the family.
pub(super) fn inspect<R: Read + Seek>(
    source: &mut Source<'_, R>,
    format: Format,
) -> Result<Inspected, Error> {
    let mut film = Film::default();
    let end = film.walk_file(source)?;
    film.check_erased()?;
    if !film.has_header {
        return Err(Refused::Damaged("it has no list of its tracks").into());
    }
    if film.picture.is_none() && !film.has_sound {
        return Err(Refused::Damaged("it has neither pictures nor sound").into());
    }
    let mime = if film.picture.is_some() { format.mime() } else { format.sound_mime() };
    Ok(Inspected {
        content: film.content(end)?,
        width: film.picture.map(|(width, _)| width),
        height: film.picture.map(|(_, height)| height),
        duration: film.duration(),
        ..Inspected::plain(mime, 0)
    })
}

/// A box: where it begins, how long its header is, and where it ends.
#[derive(Debug, Clone)]
pub(super) struct Atom {
    pub from: u64,
    pub header: u64,
    pub end: u64,
    pub name: [u8; 4],
}

/// What is known of the whole.
#[derive(Debug, Default)]
pub(super) struct Film {
    has_header: bool,
    has_sound: bool,
    picture: Option<(u32, u32)>,
    /// Units of a second, and how many of them it lasts: by its header, or by that of its fragments.
    timescale: u32,
    length: Option<u64>,
    fragments: Option<u64>,
    /// What becomes empty: boxes, and stretches of data.
    emptied: Vec<Atom>,
    erased: Vec<Range<u64>>,
    /// Where the data of all tracks lies, from front to back.
    data: Vec<Range<u64>>,
    boxes: u32,
}

impl Film {
    /// Goes through the file, and says where it ends.
    fn walk_file<R: Read + Seek>(&mut self, source: &mut Source<'_, R>) -> Result<u64, Error> {
        while source.left() > 0 {
            let from = source.at();
            let Some(atom) = self.next(source, source.len(), true)? else {
                source.go_to(from)?;
                active::check_trailer(source)?;
                return Ok(from);
            };
            match &atom.name {
                b"ftyp" | b"styp" | b"mfra" | b"sidx" | b"ssix" | b"prft" | b"pdin" => {}
                b"mdat" => self.data.push(atom.from + atom.header..atom.end),
                b"moov" if self.has_header => {
                    return Err(Refused::Damaged("it has more than one list of its tracks").into());
                }
                b"moov" => {
                    self.has_header = true;
                    self.walk_movie(source, atom.end)?;
                }
                b"moof" => self.walk_fragment(source, atom.end)?,
                _ => self.emptied.push(atom.clone()),
            }
            source.go_to(atom.end)?;
        }
        // It may be an archive as well, with a box of its own at the end.
        active::check_archive(source, 0)?;
        Ok(source.len())
    }

    /// Shows `look` each box up to `end`. The walk goes on behind a box, however much of it was read.
    fn each<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        end: u64,
        mut look: impl FnMut(&mut Self, &mut Source<'_, R>, &Atom) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(atom) = self.next(source, end, false)? {
            look(self, source, &atom)?;
            source.go_to(atom.end)?;
        }
        Ok(())
    }

    fn walk_movie<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        end: u64,
    ) -> Result<(), Error> {
        self.each(source, end, |film, source, atom| {
            match &atom.name {
                b"mvhd" => (film.timescale, film.length) = movie_header(source)?,
                b"trak" => film.walk_track(source, atom)?,
                b"mvex" => film.walk_extension(source, atom.end)?,
                b"iods" | b"ctab" | b"clip" => {}
                _ => film.emptied.push(atom.clone()),
            }
            Ok(())
        })
    }

    fn walk_extension<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        end: u64,
    ) -> Result<(), Error> {
        self.each(source, end, |film, source, atom| {
            if &atom.name == b"mehd" {
                let [version, ..] = source.array::<4>()?;
                film.fragments =
                    Some(if version == 1 { source.be64()? } else { u64::from(source.be32()?) });
            }
            Ok(())
        })
    }

    fn walk_fragment<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        end: u64,
    ) -> Result<(), Error> {
        self.each(source, end, |film, source, atom| {
            match &atom.name {
                b"traf" => film.walk_fragment_of_track(source, atom.end)?,
                b"mfhd" | b"pssh" => {}
                _ => film.emptied.push(atom.clone()),
            }
            Ok(())
        })
    }

    fn walk_fragment_of_track<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        end: u64,
    ) -> Result<(), Error> {
        self.each(source, end, |film, _, atom| {
            if matches!(&atom.name, b"udta" | b"meta" | b"uuid" | b"free" | b"skip") {
                film.emptied.push(atom.clone());
            }
            Ok(())
        })
    }

    /// A track of pictures, sound or subtitles is kept; of one of anything else, places above all, nothing is.
    fn walk_track<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        atom: &Atom,
    ) -> Result<(), Error> {
        let before = self.emptied.len();
        let mut track = Track::default();
        self.each(source, atom.end, |film, source, inner| {
            match &inner.name {
                b"tkhd" => track.size = tracks::header(source)?,
                b"mdia" => film.walk_media(source, inner.end, &mut track)?,
                b"edts" | b"tref" | b"tapt" | b"clip" | b"matt" | b"load" | b"imap" | b"trgr" => {}
                _ => film.emptied.push(inner.clone()),
            }
            Ok(())
        })?;
        match &track.handler {
            b"vide" if self.picture.is_none() => self.picture = track.size,
            b"soun" => self.has_sound = true,
            b"vide" | b"subt" | b"text" | b"sbtl" | b"clcp" | b"tmcd" | b"auxv" | b"hint" => {}
            _ => {
                self.emptied.truncate(before);
                self.emptied.push(atom.clone());
                tracks::erase(source, &track, &mut self.erased)?;
            }
        }
        Ok(())
    }

    fn walk_media<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        end: u64,
        track: &mut Track,
    ) -> Result<(), Error> {
        self.each(source, end, |film, source, atom| {
            match &atom.name {
                b"hdlr" => {
                    source.skip(8)?;
                    track.handler = source.array()?;
                }
                b"minf" => film.walk_samples(source, atom.end, track)?,
                b"mdhd" | b"elng" => {}
                _ => film.emptied.push(atom.clone()),
            }
            Ok(())
        })
    }

    /// Notes where the tables of a track's samples are.
    fn walk_samples<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        end: u64,
        track: &mut Track,
    ) -> Result<(), Error> {
        while let Some(atom) = self.next(source, end, false)? {
            match &atom.name {
                // Its content is further boxes, so the walk goes on inside.
                b"stbl" => continue,
                b"stsc" => track.chunks = Some(atom.clone()),
                b"stsz" => track.sizes = Some(atom.clone()),
                b"stco" | b"co64" => track.places = Some(atom.clone()),
                b"udta" | b"meta" | b"uuid" | b"free" | b"skip" => self.emptied.push(atom.clone()),
                _ => {}
            }
            source.go_to(atom.end)?;
        }
        Ok(())
    }

    /// The next box before `end`; `None` at the end. In the file itself also where something else follows, which no
    /// box is.
    fn next<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        end: u64,
        outermost: bool,
    ) -> Result<Option<Atom>, Error> {
        let from = source.at();
        let left = end.saturating_sub(from);
        // Some writers end a list with four zeros.
        if left < 8 {
            return if outermost || left == 0 || left == 4 { Ok(None) } else { Err(BROKEN.into()) };
        }
        self.boxes += 1;
        if self.boxes > MAX_BOXES {
            return Err(Refused::TooLarge("the file has too many parts").into());
        }
        let short = u64::from(source.be32()?);
        let name = source.array()?;
        let (len, header) = match short {
            0 if outermost => (left, 8),
            1 => (source.be64()?, 16),
            len => (len, 8),
        };
        if len < header || len > left {
            let known = matches!(&name, b"mdat" | b"moov" | b"moof" | b"free" | b"ftyp");
            return match outermost {
                true if known && len > left => Err(ENDS_EARLY.into()),
                true => Ok(None),
                false => Err(BROKEN.into()),
            };
        }
        Ok(Some(Atom { from, header, end: from + len, name }))
    }

    /// Tables may name any place of the file. What is erased is data, never what says how the file is built.
    fn check_erased(&self) -> Result<(), Refused> {
        let is_data = |range: &Range<u64>| {
            let index = self.data.partition_point(|data| data.start <= range.start);
            index.checked_sub(1).is_some_and(|index| range.end <= self.data[index].end)
        };
        if self.erased.iter().all(is_data) { Ok(()) } else { Err(BROKEN) }
    }

    fn duration(&self) -> Option<Duration> {
        let length = self.length.filter(|length| *length > 0).or(self.fragments)?;
        let millis = u128::from(length) * 1000 / u128::from(self.timescale).max(1);
        let millis =
            u64::try_from(millis).ok().filter(|millis| (1..31_536_000_000).contains(millis))?;
        (self.timescale > 0).then(|| Duration::from_millis(millis))
    }

    /// The file up to `end`, without what becomes empty.
    fn content(&mut self, end: u64) -> Result<Content, Error> {
        let mut content = Content::default();
        let mut at = 0;
        let mut holes: Vec<(Range<u64>, bool)> =
            self.erased.drain(..).map(|range| (range, false)).collect();
        for atom in &self.emptied {
            // Its length stays, its name changes, and so does what it holds.
            holes.push((atom.from + 4..atom.from + 8, true));
            holes.push((atom.from + atom.header..atom.end, false));
        }
        holes.sort_by_key(|(range, _)| (range.start, range.end));
        for (range, is_name) in holes {
            // Tables of samples may say anything: what overlaps is erased once.
            let range = range.start.max(at)..range.end.min(end);
            if range.start >= range.end {
                continue;
            }
            content.keep(at..range.start)?;
            if is_name {
                content.put(b"free".to_vec())?;
            } else {
                content.zeros(range.end - range.start)?;
            }
            at = range.end;
        }
        content.keep(at..end)?;
        Ok(content)
    }
}

/// A box inside of another is longer than that.
pub(super) const BROKEN: Refused = Refused::Damaged("its parts contradict one another");

/// Units of a second, and the length in them. All bits set means that it is not known.
fn movie_header<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<(u32, Option<u64>), Error> {
    let [version, ..] = source.array::<4>()?;
    if version == 1 {
        source.skip(16)?;
        let timescale = source.be32()?;
        let length = source.be64()?;
        return Ok((timescale, Some(length).filter(|length| *length != u64::MAX)));
    }
    source.skip(8)?;
    let timescale = source.be32()?;
    let length = source.be32()?;
    Ok((timescale, Some(u64::from(length)).filter(|_| length != u32::MAX)))
}
