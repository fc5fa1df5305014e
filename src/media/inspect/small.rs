//! How a picture looks in small: the thumbnail, and the blur that stands in for it while it loads.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, RgbImage, RgbaImage};

use super::Thumbnail;
use super::error::Error;
use super::layout::ImageLimits;
use super::picture::{BROKEN, damaged};

/// At this quality a thumbnail of 320 × 240 has about 12 KB.
const THUMBNAIL_QUALITY: u8 = 80;

/// A colour profile up to here goes into the thumbnail as well: those of phones have about 500 bytes.
const THUMBNAIL_PROFILE: usize = 4 << 10;

/// Blurhashes are made of so many pixels a side at most; more of them change nothing that it shows.
const BLUR_SIDE: u32 = 32;

/// A picture's pixels, at whatever size.
#[derive(Debug)]
pub(super) enum Small {
    /// Without transparency.
    Opaque(RgbImage),
    /// With transparent pixels.
    Transparent(RgbaImage),
}

impl From<RgbaImage> for Small {
    fn from(picture: RgbaImage) -> Self {
        if picture.pixels().all(|pixel| pixel.0[3] == 255) {
            Self::Opaque(DynamicImage::ImageRgba8(picture).into_rgb8())
        } else {
            Self::Transparent(picture)
        }
    }
}

impl From<DynamicImage> for Small {
    fn from(picture: DynamicImage) -> Self {
        if picture.color().has_alpha() {
            picture.into_rgba8().into()
        } else {
            Self::Opaque(picture.into_rgb8())
        }
    }
}

impl Small {
    fn size(&self) -> (u32, u32) {
        match self {
            Self::Opaque(picture) => picture.dimensions(),
            Self::Transparent(picture) => picture.dimensions(),
        }
    }

    fn resized(&self, width: u32, height: u32) -> Result<Self, Error> {
        if self.size() == (width, height) {
            return Ok(match self {
                Self::Opaque(picture) => Self::Opaque(picture.clone()),
                Self::Transparent(picture) => Self::Transparent(picture.clone()),
            });
        }
        match self {
            Self::Opaque(picture) => {
                let bytes = resize(
                    picture.as_raw(),
                    picture.dimensions(),
                    (width, height),
                    PixelType::U8x3,
                )?;
                Ok(Self::Opaque(RgbImage::from_raw(width, height, bytes).ok_or(BROKEN)?))
            }
            Self::Transparent(picture) => {
                let bytes = resize(
                    picture.as_raw(),
                    picture.dimensions(),
                    (width, height),
                    PixelType::U8x4,
                )?;
                Ok(Self::Transparent(RgbaImage::from_raw(width, height, bytes).ok_or(BROKEN)?))
            }
        }
    }

    fn turned(self, orientation: Orientation) -> Self {
        let turn = |mut picture: DynamicImage| {
            picture.apply_orientation(orientation);
            picture
        };
        match self {
            Self::Opaque(picture) => {
                Self::Opaque(turn(DynamicImage::ImageRgb8(picture)).into_rgb8())
            }
            Self::Transparent(picture) => {
                Self::Transparent(turn(DynamicImage::ImageRgba8(picture)).into_rgba8())
            }
        }
    }
}

fn resize(
    pixels: &[u8],
    from: (u32, u32),
    to: (u32, u32),
    pixel: PixelType,
) -> Result<Vec<u8>, Error> {
    let source = ImageRef::new(from.0, from.1, pixels, pixel).map_err(|_| BROKEN)?;
    let mut target = Image::new(to.0, to.1, pixel);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new().resize(&source, &mut target, &options).map_err(|_| BROKEN)?;
    Ok(target.into_vec())
}

/// The thumbnail's pixels, upright. `size` is the whole picture's, upright; nothing is made larger than it was.
pub(super) fn thumbnail(
    small: Small,
    orientation: Orientation,
    size: (u32, u32),
    limits: &ImageLimits,
) -> Result<Small, Error> {
    let (width, height) = fit(size, limits.thumbnail_side);
    let (width, height) =
        if super::exif::swaps(orientation) { (height, width) } else { (width, height) };
    Ok(small.resized(width, height)?.turned(orientation))
}

/// The largest size of the same shape whose longer side is at most `side`.
fn fit((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let longer = width.max(height);
    if longer <= side {
        return (width, height);
    }
    let scaled = |value: u32| {
        let rounded =
            (u64::from(value) * u64::from(side) + u64::from(longer) / 2) / u64::from(longer);
        u32::try_from(rounded).unwrap_or(side).max(1)
    };
    (scaled(width), scaled(height))
}

/// Encodes it: as JPEG, or as PNG if there is transparency to keep.
pub(super) fn encode(small: &Small, profile: &[u8]) -> Result<Thumbnail, Error> {
    let (width, height) = small.size();
    let mut bytes = Vec::new();
    let mime = match small {
        Small::Opaque(picture) => {
            let mut encoder = JpegEncoder::new_with_quality(&mut bytes, THUMBNAIL_QUALITY);
            if (1..=THUMBNAIL_PROFILE).contains(&profile.len()) {
                encoder.set_icc_profile(profile.to_vec()).map_err(|_| BROKEN)?;
            }
            encoder
                .write_image(picture.as_raw(), width, height, ExtendedColorType::Rgb8)
                .map_err(damaged)?;
            "image/jpeg"
        }
        Small::Transparent(picture) => {
            PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, PngFilter::Adaptive)
                .write_image(picture.as_raw(), width, height, ExtendedColorType::Rgba8)
                .map_err(damaged)?;
            "image/png"
        }
    };
    Ok(Thumbnail { bytes, mime, width, height })
}

/// The blur, of four by three waves; what is transparent counts as white.
pub(super) fn blurhash(small: &Small) -> Result<String, Error> {
    let (width, height) = fit(small.size(), BLUR_SIDE);
    let rgba: Vec<u8> = match small.resized(width, height)? {
        Small::Opaque(picture) => {
            picture.pixels().flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect()
        }
        Small::Transparent(picture) => {
            picture.pixels().flat_map(|pixel| on_white(pixel.0)).collect()
        }
    };
    Ok(blurhash::encode(4, 3, width, height, &rgba).map_err(|_| BROKEN)?)
}

fn on_white([r, g, b, alpha]: [u8; 4]) -> [u8; 4] {
    let mixed = |colour: u8| {
        let sum = u16::from(colour) * u16::from(alpha) + 255 * u16::from(255 - alpha);
        u8::try_from(sum / 255).unwrap_or(u8::MAX)
    };
    [mixed(r), mixed(g), mixed(b), 255]
}
