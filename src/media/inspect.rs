//! Looks into files that people send: what they are, whether they are whole, what they show and how long they last,
//! and what of them is stored.
//!
//! Pure and synchronous: it reads a file and answers. It keeps a processor busy for up to seconds and takes memory
//! ([`ImageLimits::max_memory`]), so it belongs on a thread of its own, one file at a time.
//!
//! A file is trusted in nothing. It is what its content says ([`sniff`]), lengths in it are compared with the file's,
//! sizes are checked before anything is decoded, and metadata that could tell where somebody was goes. What is decoded
//! is what is stored.

use std::io::{Read, Seek};
use std::time::Duration;

mod active;
mod content;
mod ebml;
mod error;
mod exif;
mod format;
mod gif;
mod iso;
mod jpeg;
mod layout;
mod ogg;
mod ole;
mod picture;
mod png;
mod rows;
mod small;
mod sniff;
mod sound;
mod source;
#[cfg(test)]
mod tests;
mod text;
mod tracks;
mod turned;
mod webp;

pub use content::Content;
pub use error::{Error, Refused};
pub use format::{Allowed, Format};
#[cfg(test)]
pub use format::{Kind, kind_of};
pub use layout::ImageLimits;
pub use sniff::HEAD;

use source::Source;

/// A file that claims to last longer than a year is wrong.
const LONGEST: Duration = Duration::from_secs(31_536_000);

/// What was found in a file.
#[derive(Debug)]
pub struct Inspected {
    /// Its MIME type as stored.
    pub mime: &'static str,
    /// What of it is stored.
    pub content: Content,
    /// Of a picture or a film, in pixels, as it is shown.
    pub width: Option<u32>,
    /// Of a picture or a film, in pixels, as it is shown.
    pub height: Option<u32>,
    /// Of a film or sound, where the container tells it.
    pub duration: Option<Duration>,
    /// Of a picture.
    pub thumbnail: Option<Thumbnail>,
    /// Of a picture.
    pub blurhash: Option<String>,
}

impl Inspected {
    /// Of a file that is stored as it is, with nothing more to say of it.
    fn plain(mime: &'static str, len: u64) -> Self {
        Self {
            mime,
            content: Content::whole(len),
            width: None,
            height: None,
            duration: None,
            thumbnail: None,
            blurhash: None,
        }
    }

    /// What it is used as.
    #[cfg(test)]
    pub fn kind(&self) -> Kind {
        kind_of(self.mime)
    }
}

/// A picture in small.
#[derive(Debug)]
pub struct Thumbnail {
    /// The encoded picture.
    pub bytes: Vec<u8>,
    /// Its MIME type, JPEG or PNG.
    pub mime: &'static str,
    /// In pixels.
    #[cfg_attr(not(test), expect(dead_code, reason = "no answer tells it"))]
    pub width: u32,
    /// In pixels.
    #[cfg_attr(not(test), expect(dead_code, reason = "no answer tells it"))]
    pub height: u32,
}

/// What the file is that begins with `head`, its first [`HEAD`] bytes (or all of it), if it may be taken and is what
/// its sender says.
///
/// This is for refusing early, while the rest is still to come: it needs no more than the head.
pub fn recognise(head: &[u8], claimed: Option<&str>, allowed: &Allowed) -> Result<Format, Refused> {
    let format = sniff::sniff(head, claimed)?;
    format::compare(claimed, format)?;
    allowed.check_format(format)?;
    Ok(format)
}

/// Looks at a whole file that was recognised as `format`.
pub fn inspect<R: Read + Seek>(
    file: &mut R,
    format: Format,
    allowed: &Allowed,
    limits: &ImageLimits,
) -> Result<Inspected, Error> {
    let inspected = match format {
        Format::Jpeg | Format::Png | Format::Gif | Format::Webp => {
            picture::inspect(file, format, limits)?
        }
        Format::Iso(_) => iso::inspect(&mut Source::new(file)?, format)?,
        Format::Webm => ebml::inspect(&mut Source::new(file)?)?,
        Format::Mp3 | Format::Aac | Format::Ogg | Format::Wav | Format::Flac | Format::Amr => {
            sound::inspect(file, format)?
        }
        Format::Ole => {
            let mut source = Source::new(file)?;
            let mime = ole::mime(&mut source)?;
            active::check_archive(&mut source, 0)?;
            Inspected::plain(mime, source.len())
        }
        Format::Pdf | Format::Zip(_) | Format::Text(_) | Format::Other(_) => {
            let mut source = Source::new(file)?;
            match format {
                Format::Pdf => text::check_pdf(&mut source)?,
                Format::Zip(_) => text::check_zip(&mut source)?,
                Format::Text(_) => text::check_text(&mut source)?,
                _ => active::check_archive(&mut source, 0)?,
            }
            Inspected::plain(format.mime(), source.len())
        }
    };
    allowed.check(inspected.mime)?;
    Ok(inspected)
}
