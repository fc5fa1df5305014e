//! What is taken, and what becomes of it before it is stored.

use std::io::{self, BufReader, Read as _};

use crate::domain::media::{Class, Facts};

use super::inspect::{self, Allowed, Error, Format, ImageLimits, Inspected, Refused};
use super::spool::{Spool, Spooled};

/// What an operator may set; sizes in bytes.
#[derive(Debug, Clone)]
pub struct Rules {
    pub allowed: Allowed,
    pub image: ImageLimits,
    pub max_image_bytes: u64,
    pub max_video_bytes: u64,
    pub max_audio_bytes: u64,
    pub max_file_bytes: u64,
}

impl Rules {
    /// What may arrive of a file of this class.
    pub fn limit(&self, class: Class) -> u64 {
        match class {
            Class::Image => self.max_image_bytes,
            Class::Video => self.max_video_bytes,
            Class::Audio => self.max_audio_bytes,
            Class::File => self.max_file_bytes,
        }
    }

    /// What may arrive of a file of this format; of a container, whose tracks say what it is, the larger of both.
    pub fn limit_of(&self, format: Format) -> u64 {
        let as_sound = self.limit(Class::of(format.sound_mime()));
        self.limit(Class::of(format.mime())).max(as_sound)
    }

    /// What may arrive of any file.
    pub fn largest(&self) -> u64 {
        let classes = [Class::Image, Class::Video, Class::Audio, Class::File];
        classes.map(|class| self.limit(class)).into_iter().max().unwrap_or(0)
    }
}

/// What is stored of a file.
#[derive(Debug)]
pub struct Accepted {
    pub facts: Facts,
    pub original: Spooled,
    pub thumbnail: Option<Spooled>,
}

/// Why it is not.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("a {class:?} has at most {limit} bytes")]
    TooLarge { class: Class, limit: u64 },
    /// The disk is at fault.
    #[error("the spooled file cannot be read or written: {0}")]
    Disk(#[from] io::Error),
}

impl From<Error> for NotAccepted {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(why) => Self::Refused(why),
            Error::Io(cause) => Self::Disk(cause),
        }
    }
}

/// Looks at a whole file and writes what is to be stored. Blocks for up to seconds, and needs memory for one image: it
/// belongs into the workshop.
///
/// # Errors
/// [`NotAccepted`].
pub fn accept(
    file: &Spooled,
    format: Format,
    rules: &Rules,
    spool: &Spool,
) -> Result<Accepted, NotAccepted> {
    let mut reader = BufReader::new(file.reader());
    let Inspected { mime, content, width, height, duration, thumbnail, blurhash } =
        inspect::inspect(&mut reader, format, &rules.allowed, &rules.image)?;
    let (class, size) = (Class::of(mime), content.len());
    let limit = rules.limit(class);
    if size > limit || file.size() > limit {
        return Err(NotAccepted::TooLarge { class, limit });
    }
    let original = if content.is_unchanged(file.size()) {
        file.clone()
    } else {
        spool.copy(&mut BufReader::new(content.reader(&mut reader)).take(size))?
    };
    drop(content);
    let thumbnail_type = thumbnail.as_ref().map(|small| small.mime.to_owned());
    let thumbnail = thumbnail.map(|small| spool.copy(&mut &small.bytes[..])).transpose()?;
    let facts = Facts {
        mime_type: mime.to_owned(),
        size: original.size(),
        width,
        height,
        // To the millisecond, as times are.
        duration: duration.map(|time| (time.as_secs_f64() * 1000.0).round() / 1000.0),
        blurhash,
        thumbnail_type,
    };
    Ok(Accepted { facts, original, thumbnail })
}
