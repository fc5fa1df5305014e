//! Decoding for a thumbnail without having all pixels in memory.

use std::io::{BufRead, Seek};

use image::RgbImage;
use jpeg_decoder::{Decoder, PixelFormat};
use png::{ColorType, Transformations};

use super::error::{Error, Refused};
use super::layout::{ImageLimits, Layout};
use super::picture::{BROKEN, read_failed};
use super::small::Small;

/// Decodes a JPEG at the smallest of its possible scales that has two pixels for each of the thumbnail's.
pub(super) fn jpeg<R: BufRead>(
    reader: R,
    layout: &Layout,
    limits: &ImageLimits,
) -> Result<Small, Error> {
    let mut decoder = Decoder::new(reader);
    let wanted = |side: u32| u16::try_from(side.min(2 * limits.thumbnail_side)).unwrap_or(u16::MAX);
    let (width, height) =
        decoder.scale(wanted(layout.width), wanted(layout.height)).map_err(not_jpeg)?;
    decoder.set_max_decoding_buffer_size(usize::try_from(limits.max_memory).unwrap_or(usize::MAX));
    // A long, narrow picture is not scaled down; at worst it is decoded at 6 bytes a pixel.
    if u64::from(width) * u64::from(height) * 6 > limits.max_memory {
        return Err(Refused::TooLarge("the picture has too many pixels for its type").into());
    }
    let pixels = decoder.decode().map_err(not_jpeg)?;
    let format = decoder.info().map(|info| info.pixel_format);
    let rgb = match format {
        Some(PixelFormat::RGB24) => pixels,
        Some(PixelFormat::L8) => pixels.iter().flat_map(|grey| [*grey; 3]).collect(),
        // Decoded as it is used: the share of light that each ink lets through.
        Some(PixelFormat::CMYK32) => pixels.chunks_exact(4).flat_map(ink).collect(),
        _ => return Err(Refused::Unsupported("this way of coding JPEG is not accepted").into()),
    };
    let picture = RgbImage::from_raw(u32::from(width), u32::from(height), rgb).ok_or(BROKEN)?;
    Ok(Small::Opaque(picture))
}

fn ink(cmyk: &[u8]) -> [u8; 3] {
    let black = u16::from(255 - cmyk[3]);
    [0, 1, 2].map(|at| u8::try_from(u16::from(255 - cmyk[at]) * black / 255).unwrap_or(u8::MAX))
}

fn not_jpeg(error: jpeg_decoder::Error) -> Error {
    match error {
        jpeg_decoder::Error::Io(error) => read_failed(error),
        jpeg_decoder::Error::Unsupported(_) => {
            Refused::Unsupported("this way of coding JPEG is not accepted").into()
        }
        _ => BROKEN.into(),
    }
}

/// Decodes a PNG row by row and gathers squares of pixels into one each. An interlaced one is decoded in full first.
pub(super) fn png<R: BufRead + Seek>(reader: R, limits: &ImageLimits) -> Result<Small, Error> {
    // The longest row has 16,384 pixels of 8 bytes, and a few of them are kept.
    let mut decoder = png::Decoder::new_with_limits(reader, png::Limits { bytes: 8 << 20 });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(not_png)?;
    let (width, height) = reader.info().size();
    let (color, _) = reader.output_color_type();
    let mut gathered = Gathered::new(width, height, limits);
    if reader.info().interlaced {
        let mut pixels = vec![0; reader.output_buffer_size().ok_or(BROKEN)?];
        reader.next_frame(&mut pixels).map_err(not_png)?;
        let row = reader.output_line_size(width).ok_or(BROKEN)?;
        for row in pixels.chunks_exact(row) {
            gathered.add(row, color);
        }
    } else {
        while let Some(row) = reader.next_row().map_err(not_png)? {
            gathered.add(row.data(), color);
        }
    }
    gathered.finish()
}

fn not_png(error: png::DecodingError) -> Error {
    match error {
        png::DecodingError::IoError(error) => read_failed(error),
        png::DecodingError::LimitsExceeded => {
            Refused::TooLarge("the picture has too many pixels for its type").into()
        }
        _ => BROKEN.into(),
    }
}

/// A picture in which each pixel stands for a square of the original's.
struct Gathered {
    /// The side of such a square.
    square: u32,
    width: u32,
    original_width: u32,
    /// Sums of a row of squares: colours times opacity, opacity, and how many pixels there were. A square has at most
    /// (16,384 / 640 + 1)² = 729 pixels of up to 255 × 255 each, which is 47 million.
    sums: Vec<[u32; 5]>,
    rows: u32,
    pixels: Vec<u8>,
}

impl Gathered {
    fn new(width: u32, height: u32, limits: &ImageLimits) -> Self {
        // At least two pixels for each of the thumbnail's, and less than four: at most 1,280 × 1,280 of 4 bytes, 6.5
        // MB.
        let square = (width.max(height) / (2 * limits.thumbnail_side).max(1)).max(1);
        let small_width = width.div_ceil(square);
        Self {
            square,
            width: small_width,
            original_width: width,
            sums: vec![[0; 5]; small_width as usize],
            rows: 0,
            pixels: Vec::with_capacity(small_width as usize * height.div_ceil(square) as usize * 4),
        }
    }

    fn add(&mut self, row: &[u8], color: ColorType) {
        let samples = color.samples();
        let mut pixels = row.chunks_exact(samples).take(self.original_width as usize);
        for sum in &mut self.sums {
            for pixel in pixels.by_ref().take(self.square as usize) {
                let (rgb, alpha) = match *pixel {
                    [grey] => ([grey; 3], 255),
                    [grey, alpha] => ([grey; 3], alpha),
                    [r, g, b] => ([r, g, b], 255),
                    [r, g, b, alpha] => ([r, g, b], alpha),
                    _ => continue,
                };
                for (sum, colour) in sum.iter_mut().zip(rgb) {
                    *sum += u32::from(colour) * u32::from(alpha);
                }
                sum[3] += u32::from(alpha);
                sum[4] += 1;
            }
        }
        self.rows += 1;
        if self.rows.is_multiple_of(self.square) {
            self.end_row();
        }
    }

    fn end_row(&mut self) {
        for sum in &mut self.sums {
            let [r, g, b, alpha, count] = std::mem::take(sum);
            let share = |value: u32, of: u32| {
                u8::try_from((value + of / 2).checked_div(of).unwrap_or(0)).unwrap_or(u8::MAX)
            };
            self.pixels.extend([
                share(r, alpha),
                share(g, alpha),
                share(b, alpha),
                share(alpha, count),
            ]);
        }
    }

    fn finish(mut self) -> Result<Small, Error> {
        if !self.rows.is_multiple_of(self.square) {
            self.end_row();
        }
        let height = self.rows.div_ceil(self.square);
        Ok(image::RgbaImage::from_raw(self.width, height, self.pixels).ok_or(BROKEN)?.into())
    }
}
