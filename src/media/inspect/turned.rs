//! Pictures that are turned to stand upright.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, GenericImageView, ImageEncoder, Rgb, RgbImage};

use super::content::Content;
use super::error::Error;
use super::exif;
use super::format::Format;
use super::picture::{BROKEN, damaged};

/// What phones use themselves; a second compression at this quality is not seen.
const QUALITY: u8 = 90;

/// A picture as it looks turned, without a second copy of its pixels: the encoder asks for them in squares of eight.
struct Turned {
    picture: RgbImage,
    orientation: Orientation,
}

impl GenericImageView for Turned {
    type Pixel = Rgb<u8>;

    fn dimensions(&self) -> (u32, u32) {
        let (width, height) = self.picture.dimensions();
        if exif::swaps(self.orientation) { (height, width) } else { (width, height) }
    }

    fn get_pixel(&self, x: u32, y: u32) -> Rgb<u8> {
        let (width, height) = self.picture.dimensions();
        let (x, y) = match self.orientation {
            Orientation::NoTransforms => (x, y),
            Orientation::FlipHorizontal => (width - 1 - x, y),
            Orientation::Rotate180 => (width - 1 - x, height - 1 - y),
            Orientation::FlipVertical => (x, height - 1 - y),
            Orientation::Rotate90FlipH => (y, x),
            Orientation::Rotate90 => (y, height - 1 - x),
            Orientation::Rotate270FlipH => (width - 1 - y, height - 1 - x),
            Orientation::Rotate270 => (width - 1 - y, x),
        };
        *self.picture.get_pixel(x, y)
    }
}

/// The turned picture as a JPEG, with its colour profile.
pub(super) fn jpeg(
    picture: RgbImage,
    orientation: Orientation,
    profile: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    if !profile.is_empty() {
        encoder.set_icc_profile(profile.to_vec()).map_err(|_| BROKEN)?;
    }
    encoder.encode_image(&Turned { picture, orientation }).map_err(damaged)?;
    Ok(bytes)
}

/// A turned picture of another type: an opaque WebP becomes a JPEG, everything else a PNG.
pub(super) fn other(
    mut picture: DynamicImage,
    orientation: Orientation,
    format: Format,
) -> Result<(Content, &'static str), Error> {
    if format == Format::Webp && !picture.color().has_alpha() {
        let bytes = jpeg(picture.into_rgb8(), orientation, &[])?;
        return Ok((Content::made(bytes), "image/jpeg"));
    }
    picture.apply_orientation(orientation);
    let picture = picture.into_rgba8();
    let (width, height) = picture.dimensions();
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive)
        .write_image(picture.as_raw(), width, height, ExtendedColorType::Rgba8)
        .map_err(damaged)?;
    Ok((Content::made(bytes), "image/png"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_view_is_the_same_as_a_turned_picture() {
        let picture = RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8, y as u8, 7]));
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let mut wanted = DynamicImage::ImageRgb8(picture.clone());
            wanted.apply_orientation(orientation);
            let view = Turned { picture: picture.clone(), orientation };
            assert_eq!(view.dimensions(), wanted.dimensions());
            let wanted = wanted.into_rgb8();
            for (x, y, pixel) in wanted.enumerate_pixels() {
                assert_eq!(view.get_pixel(x, y), *pixel, "{exif} {x} {y}");
            }
        }
    }
}
