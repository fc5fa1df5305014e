//! The tracks of an MP4: how large a picture is, and where the data of a track lies that is not kept.

use std::io::{Read, Seek};
use std::ops::Range;

use super::error::{Error, Refused};
use super::iso::{Atom, BROKEN};
use super::source::Source;

/// A track of data has a sample or two a second: an hour has 7,200. A file with more is refused rather than stored
/// with what it may tell.
const MAX_SAMPLES: u32 = 65_536;

/// What is known of a track.
#[derive(Debug, Default)]
pub(super) struct Track {
    pub handler: [u8; 4],
    /// Width and height as shown.
    pub size: Option<(u32, u32)>,
    /// The tables that say how many samples each chunk has, how long each sample is, and where each chunk begins.
    pub chunks: Option<Atom>,
    pub sizes: Option<Atom>,
    pub places: Option<Atom>,
}

/// The size of the picture as it is shown: a film taken upright is stored lying, with a matrix that turns it by a
/// quarter.
pub(super) fn header<R: Read + Seek>(
    source: &mut Source<'_, R>,
) -> Result<Option<(u32, u32)>, Error> {
    let [version, ..] = source.array::<4>()?;
    // Times, number and length; then layer, group and volume.
    source.skip(if version == 1 { 32 } else { 20 } + 16)?;
    let mut matrix = [0; 9];
    for value in &mut matrix {
        *value = source.be32()?;
    }
    // In 65,536ths of a pixel.
    let (width, height) = (source.be32()? >> 16, source.be32()? >> 16);
    if width == 0 || height == 0 {
        return Ok(None);
    }
    let turned = matrix[0] == 0 && matrix[4] == 0 && matrix[1] != 0 && matrix[3] != 0;
    Ok(Some(if turned { (height, width) } else { (width, height) }))
}

/// Adds the stretches of the file that hold this track's data.
pub(super) fn erase<R: Read + Seek>(
    source: &mut Source<'_, R>,
    track: &Track,
    erased: &mut Vec<Range<u64>>,
) -> Result<(), Error> {
    let (Some(chunks), Some(sizes), Some(places)) = (&track.chunks, &track.sizes, &track.places)
    else {
        // In a file of fragments, the tables are empty or missing.
        return Ok(());
    };
    let sizes = sample_sizes(source, sizes)?;
    let mut sizes = sizes.into_iter();
    let runs = chunk_runs(source, chunks)?;
    let (_, count) = table(source, places)?;
    let long = &places.name == b"co64";
    let mut run = 0;
    for chunk in 1..=count {
        let place = if long { source.be64()? } else { u64::from(source.be32()?) };
        while runs.get(run + 1).is_some_and(|next| next.0 <= chunk) {
            run += 1;
        }
        let samples = runs.get(run).map_or(0, |run| run.1);
        let len: u64 = sizes.by_ref().take(samples as usize).map(u64::from).sum();
        if len > 0 {
            erased.push(place..place.saturating_add(len));
        }
    }
    Ok(())
}

/// Goes to a table's rows, and says what stands before their number and how many there are.
fn table<R: Read + Seek>(source: &mut Source<'_, R>, atom: &Atom) -> Result<(u32, u32), Error> {
    source.go_to(atom.from + atom.header)?;
    let fixed = if &atom.name == b"stsz" {
        source.skip(4)?;
        source.be32()?
    } else {
        source.skip(4)?;
        0
    };
    let count = source.be32()?;
    if count > MAX_SAMPLES {
        return Err(Refused::TooLarge("the file has too many parts").into());
    }
    Ok((fixed, count))
}

fn sample_sizes<R: Read + Seek>(
    source: &mut Source<'_, R>,
    atom: &Atom,
) -> Result<Vec<u32>, Error> {
    let (fixed, count) = table(source, atom)?;
    if fixed > 0 {
        return Ok(vec![fixed; count as usize]);
    }
    (0..count).map(|_| source.be32()).collect()
}

/// From which chunk on each has how many samples.
fn chunk_runs<R: Read + Seek>(
    source: &mut Source<'_, R>,
    atom: &Atom,
) -> Result<Vec<(u32, u32)>, Error> {
    let (_, count) = table(source, atom)?;
    let mut runs = Vec::new();
    for _ in 0..count {
        let (first, samples, _description) = (source.be32()?, source.be32()?, source.be32()?);
        if runs.last().is_some_and(|last: &(u32, u32)| last.0 >= first) {
            return Err(BROKEN.into());
        }
        runs.push((first, samples));
    }
    Ok(runs)
}
