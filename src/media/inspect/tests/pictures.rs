use image::metadata::Orientation;
use image::{DynamicImage, GenericImageView, ImageFormat};

use super::samples::*;
use super::*;

fn decoded(bytes: &[u8]) -> DynamicImage {
    image::load_from_memory(bytes).unwrap()
}

/// Where the red corner is: at the top left, the top right, …
fn red_corner(picture: &DynamicImage) -> (bool, bool) {
    let (width, height) = picture.dimensions();
    let is_red = |x: u32, y: u32| {
        let pixel = picture.get_pixel(x, y).0;
        pixel[0] > 180 && pixel[1] < 80
    };
    let found: Vec<_> = [(false, false), (true, false), (false, true), (true, true)]
        .into_iter()
        .filter(|(right, low)| {
            let x = if *right { width - 1 - width / 10 } else { width / 10 };
            let y = if *low { height - 1 - height / 10 } else { height / 10 };
            is_red(x, y)
        })
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

#[test]
fn a_picture_has_a_size_a_thumbnail_and_a_blur_and_stays_as_it_is() {
    for (bytes, mime) in [
        (jpeg(500, 300), "image/jpeg"),
        (png(500, 300), "image/png"),
        (gif(500, 300, 1), "image/gif"),
        (webp(500, 300), "image/webp"),
    ] {
        let (found, stored) = look(&bytes).unwrap();
        assert_eq!((found.mime, found.kind()), (mime, Kind::Image));
        assert_eq!((found.width, found.height, found.duration), (Some(500), Some(300), None));
        assert_eq!(decoded(&stored).into_rgb8(), decoded(&bytes).into_rgb8(), "{mime}");
        let thumbnail = found.thumbnail.unwrap();
        assert_eq!((thumbnail.width, thumbnail.height, thumbnail.mime), (320, 192, "image/jpeg"));
        let small = decoded(&thumbnail.bytes);
        assert_eq!(small.dimensions(), (320, 192));
        assert_eq!(red_corner(&small), (false, false), "{mime}");
        // Four by three waves are 6 + 2 × 11 characters.
        let blurhash = found.blurhash.unwrap();
        assert_eq!(blurhash.len(), 28);
        blurhash::decode(&blurhash, 8, 8, 1.0).unwrap();
    }
}

#[test]
fn a_jpeg_and_its_pixels_are_stored_as_they_are_when_there_is_nothing_to_leave_out() {
    let bytes = jpeg(300, 200);
    let (found, stored) = look(&bytes).unwrap();
    assert_eq!(stored, bytes);
    assert!(found.content.is_unchanged(bytes.len() as u64));
    // Nothing is made larger than it was.
    assert_eq!(found.thumbnail.map(|small| (small.width, small.height)), Some((300, 200)));
}

#[test]
fn where_a_photo_was_taken_is_not_stored() {
    let photo_shop = b"Photoshop 3.0\08BIM GPS";
    let xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>GPS</x:xmpmeta>";
    let segments: &[(u8, &[u8])] = &[
        (0xe1, &exif(1)),
        (0xe1, xmp),
        (0xed, photo_shop),
        (0xfe, b"GPS comment"),
        (0xe2, b"MPF\0GPS"),
    ];
    let (found, stored) = look(&jpeg_with(400, 300, segments)).unwrap();
    assert!(!contains(&stored, b"GPS"));
    assert_eq!(stored, jpeg(400, 300));
    assert_eq!(found.width, Some(400));

    let exif = exif(1);
    let chunks: &[(&[u8; 4], &[u8])] = &[
        (b"eXIf", &exif[6..]),
        (b"tEXt", b"Comment\0GPS"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0GPS"),
        (b"pHYs", &[0, 0, 1, 0, 0, 0, 1, 0, 1]),
    ];
    let (_, stored) = look(&png_with(400, 300, chunks)).unwrap();
    assert_eq!(stored, png_with(400, 300, &chunks[3..]));

    let (_, stored) =
        look(&webp_with(400, 300, 0x0c, &[(b"EXIF", &exif), (b"XMP ", b"<x>GPS</x>")])).unwrap();
    assert_eq!(stored, webp_with(400, 300, 0, &[]));

    let plain = gif(40, 30, 1);
    let mut commented = plain[..plain.len() - 1].to_vec();
    commented.extend(b"\x21\xfe\x0bGPS comment\0\x21\xff\x0bXMP DataXMP\x05<GPS>\0\x3b");
    let (_, stored) = look(&commented).unwrap();
    assert_eq!(stored, plain);
}

#[test]
fn what_a_camera_puts_behind_a_photo_is_not_stored() {
    let mut bytes = jpeg(400, 300);
    bytes.extend(mp4(b"mp42", 1000, &[track(b"vide", (640, 480), false, None)]));
    assert_eq!(look(&bytes).unwrap().1, jpeg(400, 300));
    // A second picture, for those who can see more colours.
    let bytes = [jpeg(400, 300), jpeg(100, 75)].concat();
    assert_eq!(look(&bytes).unwrap().1, jpeg(400, 300));
    let bytes = [png(40, 30), vec![0; 1000]].concat();
    assert_eq!(look(&bytes).unwrap().1, png(40, 30));
}

#[test]
fn the_profile_of_colours_and_the_density_stay() {
    let profile = [&b"ICC_PROFILE\0\x01\x01"[..], &[7; 500]].concat();
    let (found, stored) =
        look(&jpeg_with(400, 300, &[(0xe2, &profile), (0xfe, b"comment")])).unwrap();
    assert_eq!(stored, jpeg_with(400, 300, &[(0xe2, &profile)]));
    // The thumbnail has the same colours, so it has the same profile.
    assert!(contains(&found.thumbnail.unwrap().bytes, &[7; 500]));
    let (_, turned) = look(&jpeg_with(400, 300, &[(0xe1, &exif(6)), (0xe2, &profile)])).unwrap();
    assert!(contains(&turned, &[7; 500]));
    assert_eq!(decoded(&turned).dimensions(), (300, 400));
}

#[test]
fn a_picture_is_turned_to_stand_upright() {
    // Where the corner that was stored at the top left belongs, for each orientation.
    let corners = [
        (false, false),
        (true, false),
        (true, true),
        (false, true),
        (false, false),
        (true, false),
        (true, true),
        (false, true),
    ];
    for (orientation, corner) in (1..=8).zip(corners) {
        let (width, height) = if orientation < 5 { (160, 96) } else { (96, 160) };
        let block = exif(orientation);
        for bytes in [
            jpeg_with(160, 96, &[(0xe1, &block)]),
            png_with(160, 96, &[(b"eXIf", &block[6..])]),
            webp_with(160, 96, 0x08, &[(b"EXIF", &block[6..])]),
        ] {
            let (found, stored) = look(&bytes).unwrap();
            assert!(!contains(&stored, b"GPS"));
            assert_eq!((found.width, found.height), (Some(width), Some(height)));
            let picture = decoded(&stored);
            assert_eq!(picture.dimensions(), (width, height));
            assert_eq!(red_corner(&picture), corner, "{orientation} {}", found.mime);
            let small = decoded(&found.thumbnail.unwrap().bytes);
            assert_eq!(red_corner(&small), corner, "{orientation} {}", found.mime);
        }
    }
}

#[test]
fn a_photo_too_large_to_be_turned_keeps_its_orientation_and_nothing_else() {
    let limits =
        ImageLimits { max_memory: 128 << 10, thumbnail_side: 64, ..ImageLimits::default() };
    let bytes = jpeg_with(320, 192, &[(0xe1, &exif(6)), (0xfe, b"GPS")]);
    let (found, stored) = look_with(&bytes, &limits).unwrap();
    assert!(!contains(&stored, b"GPS"));
    assert_eq!((found.width, found.height), (Some(192), Some(320)));
    let start = &stored[12..12 + 32];
    assert_eq!(exif::orientation(start), Some(Orientation::Rotate90));
    assert_eq!(decoded(&stored).into_rgb8(), decoded(&jpeg(320, 192)).into_rgb8());
    let small = decoded(&found.thumbnail.unwrap().bytes);
    assert_eq!(small.dimensions(), (38, 64));
    assert_eq!(red_corner(&small), (true, false));
}

#[test]
fn transparency_stays_in_the_thumbnail_and_is_white_in_the_blur() {
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let (found, _) = look(&encoded(see_through(360, 360), format)).unwrap();
        let thumbnail = found.thumbnail.unwrap();
        assert_eq!((thumbnail.mime, thumbnail.width), ("image/png", 320));
        let small = decoded(&thumbnail.bytes).into_rgba8();
        assert_eq!(
            (small.get_pixel(10, 160).0[3], small.get_pixel(310, 160).0),
            (0, [0, 0, 200, 255])
        );
        let blur = blurhash::decode(&found.blurhash.unwrap(), 32, 32, 1.0).unwrap();
        let left = &blur[32 * 4 * 16..][..4];
        assert!(left.iter().all(|value| *value > 200), "{left:?}");
    }
}

#[test]
fn a_moving_picture_keeps_moving_and_shows_its_first_frame() {
    let bytes = gif(64, 48, 5);
    let (found, stored) = look(&bytes).unwrap();
    assert_eq!(stored, bytes);
    assert_eq!(found.thumbnail.map(|small| (small.width, small.height)), Some((64, 48)));
    let limits = ImageLimits { max_frames: 4, ..ImageLimits::default() };
    assert!(matches!(look_with(&bytes, &limits), Err(Error::Refused(Refused::TooLarge(_)))));
}

#[test]
fn pictures_of_every_colour_type_are_shown() {
    let rgba = DynamicImage::ImageRgb8(photo(350, 250));
    for picture in [
        DynamicImage::ImageLuma8(rgba.to_luma8()),
        DynamicImage::ImageLumaA8(rgba.to_luma_alpha8()),
        DynamicImage::ImageRgba8(rgba.to_rgba8()),
        DynamicImage::ImageLuma16(rgba.to_luma16()),
        DynamicImage::ImageRgba16(rgba.to_rgba16()),
    ] {
        let (found, _) = look(&encoded(picture, ImageFormat::Png)).unwrap();
        assert_eq!(found.thumbnail.unwrap().mime, "image/jpeg");
    }
    let mut grey = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut grey).encode_image(&rgba.to_luma8()).unwrap();
    assert_eq!(look(&grey).unwrap().0.width, Some(350));
}

#[test]
fn a_long_narrow_picture_has_a_thumbnail_of_at_least_a_pixel() {
    for bytes in [png(4000, 1), jpeg(4000, 2), webp(1, 3000)] {
        let (found, _) = look(&bytes).unwrap();
        let small = found.thumbnail.unwrap();
        assert_eq!((small.width.max(small.height), small.width.min(small.height)), (320, 1));
    }
}
