//! Sound alone: how long it lasts. Of the formats whose frames have to be known for that, a library knows them; those
//! of Ogg, AAC and AMR are counted here, which is exact and bears any content.

use std::io::{BufReader, Read, Seek};
use std::time::Duration;

use lofty::config::{ParseOptions, ParsingMode};
use lofty::file::{AudioFile, FileType};
use lofty::probe::Probe;

use super::error::{Error, Refused};
use super::format::Format;
use super::source::Source;
use super::{Inspected, LONGEST, active, ogg};

/// A frame of AMR lasts 20 ms.
const AMR_FRAME: Duration = Duration::from_millis(20);

/// Looks at a file of sound.
pub(super) fn inspect<R: Read + Seek>(file: &mut R, format: Format) -> Result<Inspected, Error> {
    let mut source = Source::new(file)?;
    active::check_archive(&mut source, 0)?;
    let len = source.len();
    source.go_to(0)?;
    let duration = match format {
        Format::Amr => amr(&mut source)?,
        Format::Aac => aac(&mut source)?,
        Format::Ogg => ogg::duration(&mut source)?,
        _ => {
            file.rewind()?;
            measured(file, format)?
        }
    };
    if duration.is_zero() || duration > LONGEST {
        return Err(Refused::Damaged("it has no sound").into());
    }
    Ok(Inspected { duration: Some(duration), ..Inspected::plain(format.mime(), len) })
}

/// Tags are not read: covers and texts are of no use here, and would take memory.
fn measured<R: Read + Seek>(file: &mut R, format: Format) -> Result<Duration, Error> {
    let options = ParseOptions::new()
        .read_tags(false)
        .read_cover_art(false)
        .parsing_mode(ParsingMode::Relaxed);
    let kind = match format {
        Format::Mp3 => FileType::Mpeg,
        Format::Wav => FileType::Wav,
        _ => FileType::Flac,
    };
    let probe = Probe::with_file_type(BufReader::new(file), kind).options(options);
    let measured = probe.read().map_err(|_| BROKEN)?;
    Ok(measured.properties().duration())
}

const BROKEN: Refused = Refused::Damaged("its sound cannot be read");

/// Counts the frames: each says how long it is. What follows the last may be a tag of 128 bytes.
fn aac<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<Duration, Error> {
    const RATES: [u32; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
        8_000, 7_350,
    ];
    let (mut samples, mut rate) = (0u64, 0);
    while source.left() > 0 {
        let [first, second, third, fourth, fifth, sixth, seventh] = source.array()?;
        if [first, second, third] == *b"TAG" && source.left() == 121 {
            break;
        }
        let index = usize::from(third >> 2 & 0x0f);
        let len = u64::from(fourth & 3) << 11 | u64::from(fifth) << 3 | u64::from(sixth >> 5);
        if first != 0xff || second & 0xf6 != 0xf0 || len < 7 {
            return Err(BROKEN.into());
        }
        rate = *RATES.get(index).ok_or(BROKEN)?;
        samples += 1024 * u64::from((seventh & 3) + 1);
        source.skip(len - 7)?;
    }
    // At most 15 million frames of four blocks fit into the largest file that is taken, far from an overflow.
    Ok(Duration::from_millis(samples * 1000 / u64::from(rate.max(1))))
}

/// Counts the frames.
fn amr<R: Read + Seek>(source: &mut Source<'_, R>) -> Result<Duration, Error> {
    /// How long the frames of each mode are, without the byte that names the mode.
    const NARROW: [u8; 16] = [12, 13, 15, 17, 19, 20, 26, 31, 5, 6, 5, 5, 0, 0, 0, 0];
    const WIDE: [u8; 16] = [17, 23, 32, 36, 40, 46, 50, 58, 60, 5, 0, 0, 0, 0, 0, 0];
    source.skip(5)?;
    let lengths = if source.byte()? == b'\n' {
        NARROW
    } else {
        source.skip(3)?;
        WIDE
    };
    let mut frames = 0u32;
    while source.left() > 0 {
        let mode = usize::from(source.byte()? >> 3 & 0x0f);
        source.skip(u64::from(lengths[mode]))?;
        frames += 1;
    }
    Ok(AMR_FRAME * frames)
}
