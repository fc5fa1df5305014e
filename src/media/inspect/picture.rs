//! Pictures: what they are stored as, how large they are, and how they look in small.
//!
//! A picture's file is read twice. First its parts are gone through, which tells its size before any pixel is decoded,
//! and which parts are left out. Then it is decoded from what is kept, so whatever is stored is known to be whole. The
//! pixels themselves stay as they were sent, unless the picture has to be turned to stand upright.
//!
//! Decoding takes little memory: a JPEG is decoded at an eighth, a quarter or half of its size, where that is enough
//! for a thumbnail, and a PNG row by row. Only what must be turned, what is interlaced, and WebP and GIF are decoded
//! in full.

use std::io::{BufReader, Read, Seek};

use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError};

use super::content::Content;
use super::error::{ENDS_EARLY, Error, Refused};
use super::exif;
use super::format::Format;
use super::layout::{ImageLimits, Layout};
use super::small::{self, Small};
use super::source::Source;
use super::{Inspected, gif, jpeg, png, rows, turned, webp};

/// Looks at a picture of a known type.
pub(super) fn inspect<R: Read + Seek>(
    file: &mut R,
    format: Format,
    limits: &ImageLimits,
) -> Result<Inspected, Error> {
    let mut layout = read_layout(file, format, limits)?;
    let (mut width, mut height) = (layout.width, layout.height);
    let orientation = layout.orientation;
    let small = decode_small(file, format, &layout, limits)?;
    let mut mime = format.mime();
    if orientation != Orientation::NoTransforms {
        if exif::swaps(orientation) {
            (width, height) = (height, width);
        }
        (layout.content, mime) = turn(file, format, &layout, limits)?;
    }
    let thumbnail = small::thumbnail(small, orientation, (width, height), limits)?;
    let blurhash = small::blurhash(&thumbnail)?;
    Ok(Inspected {
        mime,
        content: layout.content,
        width: Some(width),
        height: Some(height),
        duration: None,
        thumbnail: Some(small::encode(&thumbnail, &layout.profile)?),
        blurhash: Some(blurhash),
    })
}

fn read_layout<R: Read + Seek>(
    file: &mut R,
    format: Format,
    limits: &ImageLimits,
) -> Result<Layout, Error> {
    let mut source = Source::new(file)?;
    match format {
        Format::Jpeg => jpeg::layout(&mut source, limits),
        Format::Png => png::layout(&mut source, limits),
        Format::Gif => gif::layout(&mut source, limits),
        Format::Webp => webp::layout(&mut source, limits),
        _ => Err(Refused::Type.into()),
    }
}

/// Decodes what is kept, at a size that is a little larger than a thumbnail, or in full.
fn decode_small<R: Read + Seek>(
    file: &mut R,
    format: Format,
    layout: &Layout,
    limits: &ImageLimits,
) -> Result<Small, Error> {
    layout.check_memory(layout.per_pixel, limits)?;
    let reader = BufReader::with_capacity(32 << 10, layout.content.reader(file));
    match format {
        Format::Jpeg => rows::jpeg(reader, layout, limits),
        Format::Png => rows::png(reader, limits),
        Format::Gif => decode(GifDecoder::new(reader).map_err(damaged)?, limits).map(Small::from),
        _ => decode(WebPDecoder::new(reader).map_err(damaged)?, limits).map(Small::from),
    }
}

/// What is stored of a picture that has to be turned, and its type.
///
/// A JPEG becomes one at quality 90. One of more pixels than may be decoded keeps its orientation in a block of EXIF,
/// which all that show JPEG heed. Others are rare, and become a PNG, or a JPEG if they were compressed with loss.
fn turn<R: Read + Seek>(
    file: &mut R,
    format: Format,
    layout: &Layout,
    limits: &ImageLimits,
) -> Result<(Content, &'static str), Error> {
    if format == Format::Jpeg {
        // The result at three bytes a pixel; the turned picture is encoded out of it without a copy.
        if layout.check_memory(3 + layout.per_pixel, limits).is_err() {
            let mut content = Content::default();
            content
                .put([&[0xff, 0xd8][..], &jpeg::with_orientation(layout.orientation)].concat())?;
            content.append_from(2, &layout.content)?;
            return Ok((content, format.mime()));
        }
        let picture = decode(
            JpegDecoder::new(BufReader::new(layout.content.reader(file))).map_err(damaged)?,
            limits,
        )?;
        let bytes = turned::jpeg(picture.into_rgb8(), layout.orientation, &layout.profile)?;
        return Ok((Content::made(bytes), format.mime()));
    }
    if layout.frames() > 1 {
        // Nothing turns moving pictures by EXIF.
        return Ok((layout.content.clone(), format.mime()));
    }
    // The result, and a copy that is turned, at four bytes a pixel each.
    layout.check_memory(8, limits)?;
    let reader = BufReader::new(layout.content.reader(file));
    let picture = match format {
        Format::Png => {
            let picture =
                image::codecs::png::PngDecoder::with_limits(reader, decoder_limits(limits))
                    .map_err(damaged)?;
            decode(picture, limits)?
        }
        _ => decode(WebPDecoder::new(reader).map_err(damaged)?, limits)?,
    };
    turned::other(picture, layout.orientation, format)
}

/// Decodes all of a picture's pixels, or those of its first frame.
fn decode<D: ImageDecoder>(mut decoder: D, limits: &ImageLimits) -> Result<DynamicImage, Error> {
    decoder.set_limits(decoder_limits(limits)).map_err(damaged)?;
    DynamicImage::from_decoder(decoder).map_err(damaged)
}

/// The decoders' own limits, behind those that were checked before.
fn decoder_limits(limits: &ImageLimits) -> image::Limits {
    let mut own = image::Limits::default();
    own.max_image_width = Some(limits.max_side);
    own.max_image_height = Some(limits.max_side);
    // Most decoders count the result towards it, and some a working copy.
    own.max_alloc = Some(2 * limits.max_memory);
    own
}

/// What a decoder did not like is the picture's fault, unless the file could not be read.
pub(super) fn damaged(error: ImageError) -> Error {
    match error {
        ImageError::IoError(error) => read_failed(error),
        ImageError::Limits(_) => {
            Refused::TooLarge("the picture has too many pixels for its type").into()
        }
        ImageError::Unsupported(_) => {
            Refused::Unsupported("this way of coding the picture is not accepted").into()
        }
        _ => BROKEN.into(),
    }
}

/// Decoders use the errors of reading for their own purposes as well.
pub(super) fn read_failed(error: std::io::Error) -> Error {
    use std::io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match error.kind() {
        UnexpectedEof => ENDS_EARLY.into(),
        InvalidData | InvalidInput | Other => BROKEN.into(),
        _ => Error::Io(error),
    }
}

/// Its pixels cannot be decoded.
pub(super) const BROKEN: Refused = Refused::Damaged("its pixels cannot be decoded");
