//! Files as real programs write them; `tests/media/README.md` says how they were made.

use super::*;

macro_rules! real {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/media/", $name)).as_slice()
    };
}

#[test]
fn real_films_and_sounds_have_their_length_and_size() {
    let files = [
        (real!("film.mov"), "video/quicktime", Some(48), 1_000),
        (real!("film.webm"), "video/webm", Some(48), 1_008),
        (real!("voice.opus"), "audio/ogg", None, 1_000),
        (real!("voice.m4a"), "audio/mp4", None, 1_000),
        // 30 frames of 576 samples: the encoder fills up at both ends.
        (real!("voice.mp3"), "audio/mpeg", None, 1_080),
    ];
    for (bytes, mime, width, millis) in files {
        let (found, stored) = look(bytes).unwrap();
        assert_eq!((found.mime, found.width), (mime, width));
        assert_eq!(found.duration.map(|length| length.as_millis()), Some(millis), "{mime}");
        assert_eq!(stored.len(), bytes.len());
        let (again, same) = look(&stored).unwrap();
        assert_eq!((again.duration, same), (found.duration, stored));
    }
}

#[test]
fn a_real_film_does_not_tell_where_it_was_taken() {
    let bytes = real!("film.mov");
    assert!(contains(bytes, b"+06.4541+003.3947"));
    let (_, stored) = look(bytes).unwrap();
    assert!(!contains(&stored, b"+06.45") && !contains(&stored, b"location"));
}

#[test]
fn a_real_photo_stands_upright_and_does_not_tell_where_it_was_taken() {
    let bytes = real!("photo.jpg");
    assert!(contains(bytes, b"Exif") && contains(bytes, b"A phone"));
    let (found, stored) = look(bytes).unwrap();
    assert_eq!((found.width, found.height), (Some(64), Some(96)));
    assert!(!contains(&stored, b"Exif") && !contains(&stored, b"A phone"));
}

#[test]
fn a_real_moving_picture_is_stored_as_it_is() {
    let bytes = real!("moving.webp");
    let (found, stored) = look(bytes).unwrap();
    assert_eq!((found.mime, found.width, found.height), ("image/webp", Some(48), Some(32)));
    assert_eq!(stored, bytes);
    assert!(found.content.is_unchanged(bytes.len() as u64));
}
