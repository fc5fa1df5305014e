//! What a picture's file says of it before a pixel is decoded, and which of its parts are kept.

use std::io::{Read, Seek};
use std::ops::Range;

use image::metadata::Orientation;

use super::active;
use super::content::Content;
use super::error::{Error, Refused};
use super::source::Source;

/// A colour profile up to here is kept. Those of phones have 500 bytes, those of printers 500 KiB.
pub(super) const MAX_PROFILE: u64 = 1 << 20;

/// What a picture may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLimits {
    /// Pixels in all; of a moving picture in one frame.
    pub max_pixels: u64,
    /// The longer side in pixels.
    pub max_side: u32,
    /// Memory for decoding in bytes. What it bounds is said at each use. Only one picture at a time should be looked
    /// at.
    pub max_memory: u64,
    /// Frames of a moving picture.
    pub max_frames: u32,
    /// The longer side of a thumbnail in pixels.
    pub thumbnail_side: u32,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self {
            // The largest that phones take by default; a bomb of a few hundred bytes would be 268 MP at the longest
            // sides.
            max_pixels: 50_000_000,
            max_side: 16_384,
            // Turning a photo of 33 MP at 3 bytes a pixel, a WebP of 12 MP at 8. One at a time is looked at.
            max_memory: 96 << 20,
            // Half a minute at 30 a second.
            max_frames: 1_000,
            thumbnail_side: 320,
        }
    }
}

/// So many pixels may all frames of a moving picture have together, whatever a frame's limit is: 1,000 frames of a
/// megapixel.
const MAX_MOVING_PIXELS: u64 = 1_000_000_000;

/// What is known of a picture, and what of it is stored.
#[derive(Debug)]
pub(super) struct Layout {
    /// What is stored if nothing has to be turned.
    pub content: Content,
    /// As stored, in pixels.
    pub width: u32,
    /// As stored, in pixels.
    pub height: u32,
    /// How it has to be turned to stand upright.
    pub orientation: Orientation,
    /// A JPEG's colour profile.
    pub profile: Vec<u8>,
    /// Bytes that decoding needs for a pixel; of a JPEG on top of the result, for its progression.
    pub per_pixel: u64,
    /// How many frames were seen, and their pixels together.
    frames: u32,
    moving_pixels: u64,
}

impl Layout {
    pub fn new() -> Self {
        Self {
            content: Content::default(),
            width: 0,
            height: 0,
            orientation: Orientation::NoTransforms,
            profile: Vec::new(),
            per_pixel: 0,
            frames: 0,
            moving_pixels: 0,
        }
    }

    /// Sets the size, if a picture of this size is taken.
    pub fn set_size(
        &mut self,
        width: u32,
        height: u32,
        limits: &ImageLimits,
    ) -> Result<(), Refused> {
        check_size(width, height, limits)?;
        (self.width, self.height) = (width, height);
        Ok(())
    }

    /// Counts a frame of a moving picture.
    pub fn add_frame(
        &mut self,
        width: u32,
        height: u32,
        limits: &ImageLimits,
    ) -> Result<(), Refused> {
        check_size(width, height, limits)?;
        self.frames += 1;
        self.moving_pixels += u64::from(width) * u64::from(height);
        if self.frames > limits.max_frames
            || (self.frames > 1 && self.moving_pixels > MAX_MOVING_PIXELS)
        {
            return Err(Refused::TooLarge("the picture has too many frames"));
        }
        Ok(())
    }

    /// How many frames were counted.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// How many pixels it has.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Refuses the picture if decoding it takes more than `per_pixel` bytes allow.
    pub fn check_memory(&self, per_pixel: u64, limits: &ImageLimits) -> Result<(), Refused> {
        if self.pixels() * per_pixel > limits.max_memory {
            return Err(Refused::TooLarge("the picture has too many pixels for its type"));
        }
        Ok(())
    }

    /// Takes the orientation from the first block of EXIF that has one.
    pub fn read_exif(&mut self, exif: &[u8]) {
        if self.orientation == Orientation::NoTransforms
            && let Some(orientation) = super::exif::orientation(exif)
        {
            self.orientation = orientation;
        }
    }
}

fn check_size(width: u32, height: u32, limits: &ImageLimits) -> Result<(), Refused> {
    if width == 0 || height == 0 {
        return Err(Refused::Damaged("it has no size"));
    }
    if width.max(height) > limits.max_side
        || u64::from(width) * u64::from(height) > limits.max_pixels
    {
        return Err(Refused::TooLarge("the picture has too many pixels"));
    }
    Ok(())
}

/// Leaves `len` bytes out, and refuses the file if they hold a page or a script: then it is meant to be one.
pub(super) fn drop_part<R: Read + Seek>(source: &mut Source<'_, R>, len: u64) -> Result<(), Error> {
    if len > source.left() {
        return Err(super::error::ENDS_EARLY.into());
    }
    let end = source.at() + len;
    let head = source.take(len.min(active::SEARCHED))?;
    if active::has_markup(&head) {
        return Err(Refused::Polyglot.into());
    }
    source.go_to(end)
}

/// The stretch of `len` bytes from `from`, after the source was taken to its end.
pub(super) fn stretch<R: Read + Seek>(
    source: &mut Source<'_, R>,
    from: u64,
    len: u64,
) -> Result<Range<u64>, Error> {
    source.go_to(from.saturating_add(len))?;
    Ok(from..from + len)
}
