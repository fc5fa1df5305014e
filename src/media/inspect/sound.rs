//! Sound alone: how long it lasts. What the container does not tell, a library that knows the formats' frames does.

use std::io::{BufReader, Read, Seek};
use std::time::Duration;

use lofty::config::{ParseOptions, ParsingMode};
use lofty::file::{AudioFile, FileType};
use lofty::probe::Probe;

use super::error::{Error, Refused};
use super::format::Format;
use super::source::Source;
use super::{Inspected, active};

/// A frame of AMR lasts 20 ms.
const AMR_FRAME: Duration = Duration::from_millis(20);

/// Looks at a file of sound.
pub(super) fn inspect<R: Read + Seek>(file: &mut R, format: Format) -> Result<Inspected, Error> {
    let mut source = Source::new(file)?;
    active::check_archive(&mut source, 0)?;
    let len = source.len();
    source.go_to(0)?;
    let duration = if format == Format::Amr {
        amr(&mut source)?
    } else {
        file.rewind()?;
        measured(file, format)?
    };
    if duration.is_zero() {
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
    let mut probe = Probe::new(BufReader::new(file)).options(options);
    probe = match format {
        Format::Mp3 => probe.set_file_type(FileType::Mpeg),
        Format::Aac => probe.set_file_type(FileType::Aac),
        Format::Wav => probe.set_file_type(FileType::Wav),
        Format::Flac => probe.set_file_type(FileType::Flac),
        _ => {
            let probe = probe.guess_file_type()?;
            if !matches!(
                probe.file_type(),
                Some(FileType::Opus | FileType::Vorbis | FileType::Speex)
            ) {
                return Err(BROKEN.into());
            }
            probe
        }
    };
    let measured = probe.read().map_err(|_| BROKEN)?;
    Ok(measured.properties().duration())
}

const BROKEN: Refused = Refused::Damaged("its sound cannot be read");

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
