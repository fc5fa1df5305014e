//! Files of every type, whole and broken, real and made to do harm.

mod films;
mod hostile;
mod pictures;
mod real;
mod samples;
mod sounds;

use std::io::{Cursor, Read};

use super::*;

/// Everything is allowed that can be.
fn all() -> Allowed {
    Allowed::new(["image/*", "video/*", "audio/*", "text/*", "application/*"].map(String::from))
}

/// Looks at a file as an upload does: by its head first, then as a whole.
fn look(bytes: &[u8]) -> Result<(Inspected, Vec<u8>), Error> {
    look_with(bytes, &ImageLimits::default())
}

fn look_with(bytes: &[u8], limits: &ImageLimits) -> Result<(Inspected, Vec<u8>), Error> {
    let format = recognise(&bytes[..bytes.len().min(HEAD)], None, &all())?;
    let mut file = Cursor::new(bytes);
    let inspected = inspect(&mut file, format, &all(), limits)?;
    let mut stored = Vec::new();
    inspected.content.reader(&mut file).read_to_end(&mut stored)?;
    assert_eq!(stored.len() as u64, inspected.content.len());
    Ok((inspected, stored))
}

/// Why it is refused.
fn refused(bytes: &[u8]) -> Refused {
    match look(bytes) {
        Err(Error::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}
