//! Files made to order.

use std::io::Cursor;

use image::codecs::gif::{GifEncoder, Repeat};
use image::codecs::jpeg::JpegEncoder;
use image::{Delay, DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

/// A picture with a red corner at the top left, so that one can see how it is turned, on a gradient.
pub fn photo(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        if x < width / 4 && y < height / 4 {
            Rgb([250, 10, 10])
        } else {
            Rgb([20, (x * 200 / width) as u8, (y * 200 / height) as u8])
        }
    })
}

pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&photo(width, height)).unwrap();
    bytes
}

/// A JPEG with further segments behind its beginning.
pub fn jpeg_with(width: u32, height: u32, segments: &[(u8, &[u8])]) -> Vec<u8> {
    let plain = jpeg(width, height);
    let mut bytes = plain[..2].to_vec();
    for (marker, content) in segments {
        bytes.extend([0xff, *marker]);
        bytes.extend(u16::try_from(content.len() + 2).unwrap().to_be_bytes());
        bytes.extend(*content);
    }
    bytes.extend(&plain[2..]);
    bytes
}

/// A block of EXIF with an orientation and a place, as phones write it.
pub fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0II\x2a\0\x08\0\0\0\x02\0".to_vec();
    exif.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    exif.extend([0x0f, 0x01, 2, 0, 20, 0, 0, 0, 38, 0, 0, 0, 0, 0, 0, 0]);
    exif.extend(b"GPS 6.4541N 3.3947E\0");
    exif
}

pub fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub fn png(width: u32, height: u32) -> Vec<u8> {
    encoded(photo(width, height), ImageFormat::Png)
}

pub fn webp(width: u32, height: u32) -> Vec<u8> {
    encoded(photo(width, height), ImageFormat::WebP)
}

/// A picture that is transparent on its left side.
pub fn see_through(width: u32, height: u32) -> RgbaImage {
    RgbaImage::from_fn(width, height, |x, _| Rgba([0, 0, 200, if x < width / 2 { 0 } else { 255 }]))
}

/// A chunk as PNG has them.
pub fn png_chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut chunk = u32::try_from(content.len()).unwrap().to_be_bytes().to_vec();
    chunk.extend(name);
    chunk.extend(content);
    chunk.extend(crc32(&chunk[4..]).to_be_bytes());
    chunk
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
        crc
    })
}

/// A PNG with further chunks behind its header.
pub fn png_with(width: u32, height: u32, chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let plain = png(width, height);
    let mut bytes = plain[..33].to_vec();
    for (name, content) in chunks {
        bytes.extend(png_chunk(name, content));
    }
    bytes.extend(&plain[33..]);
    bytes
}

pub fn gif(width: u32, height: u32, frames: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    {
        let mut encoder = GifEncoder::new(&mut bytes);
        encoder.set_repeat(Repeat::Infinite).unwrap();
        for _ in 0..frames {
            let picture = DynamicImage::ImageRgb8(photo(width, height)).into_rgba8();
            let delay = Delay::from_numer_denom_ms(100, 1);
            encoder.encode_frame(Frame::from_parts(picture, 0, 0, delay)).unwrap();
        }
    }
    bytes
}

/// A WebP in its extended form, with these chunks behind the picture.
pub fn webp_with(width: u32, height: u32, flags: u8, chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let plain = webp(width, height);
    let mut body = b"WEBP".to_vec();
    let mut header = vec![flags, 0, 0, 0];
    header.extend(&(width - 1).to_le_bytes()[..3]);
    header.extend(&(height - 1).to_le_bytes()[..3]);
    body.extend(riff_chunk(b"VP8X", &header));
    body.extend(&plain[12..]);
    for (name, content) in chunks {
        body.extend(riff_chunk(name, content));
    }
    riff_chunk(b"RIFF", &body)
}

pub fn riff_chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut chunk = name.to_vec();
    chunk.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    chunk.extend(content);
    if content.len() % 2 == 1 {
        chunk.push(0);
    }
    chunk
}

/// A box as MP4 has them.
pub fn atom(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut atom = u32::try_from(content.len() + 8).unwrap().to_be_bytes().to_vec();
    atom.extend(name);
    atom.extend(content);
    atom
}

/// A track with a handler, a size, and its data: one sample in one chunk.
pub fn track(
    handler: &[u8; 4],
    size: (u32, u32),
    upright: bool,
    data: Option<(u32, u32)>,
) -> Vec<u8> {
    let mut header = vec![0; 40];
    let matrix: [i32; 9] = if upright {
        [0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x4000_0000]
    } else {
        [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000]
    };
    header.extend(matrix.iter().flat_map(|value| value.to_be_bytes()));
    header.extend((size.0 << 16).to_be_bytes());
    header.extend((size.1 << 16).to_be_bytes());
    let mut kind = vec![0; 8];
    kind.extend(handler);
    kind.extend([0; 13]);
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
    let tables = data.map_or(Vec::new(), |(place, len)| {
        [
            atom(b"stsc", &words(&[0, 1, 1, 1, 1])),
            atom(b"stsz", &words(&[0, 0, 1, len])),
            atom(b"stco", &words(&[0, 1, place])),
        ]
        .concat()
    });
    let media =
        [atom(b"mdhd", &[0; 24]), atom(b"hdlr", &kind), atom(b"minf", &atom(b"stbl", &tables))]
            .concat();
    atom(b"trak", &[atom(b"tkhd", &header), atom(b"mdia", &media)].concat())
}

/// A film that lasts `millis`, with these boxes inside of its header, before the data.
pub fn mp4(brand: &[u8; 4], millis: u32, inside: &[Vec<u8>]) -> Vec<u8> {
    let mut movie = vec![0; 12];
    movie.extend(1000u32.to_be_bytes());
    movie.extend(millis.to_be_bytes());
    movie.extend([0; 80]);
    let mut kind = brand.to_vec();
    kind.extend(b"\0\0\x02\0isomiso2");
    [
        atom(b"ftyp", &kind),
        atom(b"mdat", b"samples of pictures and of a place"),
        atom(b"moov", &[atom(b"mvhd", &movie), inside.concat()].concat()),
    ]
    .concat()
}

/// An element as WebM has them.
pub fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    let mut element = id.to_vec();
    element.extend((content.len() as u64 | 1 << 56).to_be_bytes());
    element.extend(content);
    element
}

/// A recording as browsers make it: its length is nowhere but in its blocks.
pub fn webm(pictures: bool, length: Option<f64>, last: u16) -> Vec<u8> {
    let mut info = element(&[0x2a, 0xd7, 0xb1], &1_000_000u32.to_be_bytes());
    if let Some(length) = length {
        info.extend(element(&[0x44, 0x89], &length.to_be_bytes()));
    }
    let mut track = element(&[0x83], &[if pictures { 1 } else { 2 }]);
    if pictures {
        let size = [element(&[0xb0], &[1, 0x40]), element(&[0xba], &[0xf0])].concat();
        track.extend(element(&[0xe0], &size));
    }
    let mut block = vec![0x81];
    block.extend(last.to_be_bytes());
    block.extend(b"\x80sound");
    let cluster = [element(&[0xe7], &[0]), element(&[0xa3], &block)].concat();
    let segment = [
        element(&[0x15, 0x49, 0xa9, 0x66], &info),
        element(&[0x16, 0x54, 0xae, 0x6b], &element(&[0xae], &track)),
        element(&[0x12, 0x54, 0xc3, 0x67], b"a tag with a place"),
        element(&[0x1f, 0x43, 0xb6, 0x75], &cluster),
    ]
    .concat();
    let mut bytes = element(&[0x1a, 0x45, 0xdf, 0xa3], &element(&[0x42, 0x82], b"webm"));
    // Of unknown length, as a recorder leaves it.
    bytes.extend([0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    bytes.extend(segment);
    bytes
}

/// So many milliseconds of silence at 8 kHz, 16 bits.
pub fn wav(millis: u32) -> Vec<u8> {
    let mut format = vec![1, 0, 1, 0];
    format.extend(8_000u32.to_le_bytes());
    format.extend(16_000u32.to_le_bytes());
    format.extend([2, 0, 16, 0]);
    let mut body = b"WAVE".to_vec();
    body.extend(riff_chunk(b"fmt ", &format));
    body.extend(riff_chunk(b"data", &vec![0; millis as usize * 16]));
    riff_chunk(b"RIFF", &body)
}

/// The frames of an MP3 of 128 kbit/s at 44.1 kHz: each has 417 bytes and lasts 26.12 ms.
pub fn mp3(frames: usize) -> Vec<u8> {
    let mut frame = vec![0xff, 0xfb, 0x90, 0x64];
    frame.resize(417, 0);
    let mut bytes = b"ID3\x04\0\0\0\0\0\x0aTXXX\0\0\0\0\0\0".to_vec();
    bytes.extend(frame.repeat(frames));
    bytes
}

/// Frames of AAC at 44.1 kHz, mono, of 32 bytes each.
pub fn aac(frames: usize) -> Vec<u8> {
    let mut frame = vec![0xff, 0xf1, 0x50, 0x40, 0x04, 0x1f, 0xfc];
    frame.resize(32, 0);
    frame.repeat(frames)
}

/// The header of so many seconds of FLAC at 8 kHz, and a few bytes of frames.
pub fn flac(seconds: u32) -> Vec<u8> {
    let mut bytes = b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0".to_vec();
    // Rate in 20 bits, channels less one in 3, bits less one in 5, samples in 36.
    let fields = 8_000u64 << 44 | 15 << 36 | u64::from(seconds * 8_000);
    bytes.extend(fields.to_be_bytes());
    bytes.extend([0; 16]);
    bytes.extend(b"\xff\xf8frames");
    bytes
}

/// A page of Ogg.
pub fn ogg_page(flags: u8, granule: u64, sequence: u32, packet: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend(granule.to_le_bytes());
    page.extend(7u32.to_le_bytes());
    page.extend(sequence.to_le_bytes());
    page.extend([0; 4]);
    page.extend([1, u8::try_from(packet.len()).unwrap()]);
    page.extend(packet);
    let crc = page.iter().fold(0u32, |mut crc, byte| {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
        }
        crc
    });
    page[22..26].copy_from_slice(&crc.to_le_bytes());
    page
}

/// A voice message of so many milliseconds, without sound.
pub fn opus(millis: u64) -> Vec<u8> {
    [
        ogg_page(2, 0, 0, b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0"),
        ogg_page(0, 0, 1, b"OpusTags\x04\0\0\0test\0\0\0\0"),
        ogg_page(4, millis * 48, 2, &[0xf8; 40]),
    ]
    .concat()
}

/// An archive of one file that is stored as it is.
pub fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let (name_len, len) =
        (u16::try_from(name.len()).unwrap(), u32::try_from(content.len()).unwrap());
    let mut fields = vec![10, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    fields.extend(crc32(content).to_le_bytes());
    fields.extend(len.to_le_bytes());
    fields.extend(len.to_le_bytes());
    fields.extend(name_len.to_le_bytes());
    fields.extend([0, 0]);
    let mut bytes = b"PK\x03\x04".to_vec();
    bytes.extend(&fields);
    bytes.extend(name.as_bytes());
    bytes.extend(content);
    let list = bytes.len();
    bytes.extend(b"PK\x01\x02\x0a\0");
    bytes.extend(&fields);
    bytes.extend([0; 14]);
    bytes.extend(name.as_bytes());
    let size = bytes.len() - list;
    bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    bytes.extend(u32::try_from(size).unwrap().to_le_bytes());
    bytes.extend(u32::try_from(list).unwrap().to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}
