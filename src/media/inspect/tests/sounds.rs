use super::samples::*;
use super::*;

fn length(bytes: &[u8], mime: &str) -> u128 {
    let (found, stored) = look(bytes).unwrap();
    assert_eq!((found.mime, found.kind()), (mime, Kind::Audio));
    assert_eq!(stored, bytes);
    found.duration.unwrap().as_millis()
}

#[test]
fn sound_has_a_length() {
    assert_eq!(length(&wav(1_500), "audio/wav"), 1_500);
    assert_eq!(length(&opus(4_200), "audio/ogg"), 4_200);
    // 100 frames of 1,152 samples at 44.1 kHz.
    assert!((2_600..2_625).contains(&length(&mp3(100), "audio/mpeg")));
    // Frames of 1,024 samples at 44.1 kHz.
    assert!((460..470).contains(&length(&aac(20), "audio/aac")));
    assert_eq!(length(&flac(3), "audio/flac"), 3_000);
    let amr = [&b"#!AMR\n"[..], &[[0x3c].as_slice(), &[0; 31]].concat().repeat(50)].concat();
    assert_eq!(length(&amr, "audio/amr"), 1_000);
    let wide = [&b"#!AMR-WB\n"[..], &[[0x04].as_slice(), &[0; 17]].concat().repeat(25)].concat();
    assert_eq!(length(&wide, "audio/amr"), 500);
}

#[test]
fn a_film_in_ogg_is_refused() {
    let theora = ogg_page(2, 0, 0, b"\x80theora");
    assert!(matches!(refused(&[theora.clone(), opus(100)].concat()), Refused::Unsupported(_)));
    let opus = opus(100);
    let first = ogg_page(2, 0, 0, b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0").len();
    let both = [&opus[..first], &theora, &opus[first..]].concat();
    assert!(matches!(refused(&both), Refused::Unsupported(_)));
}

#[test]
fn broken_sound_is_refused() {
    for bytes in [
        &wav(100)[..30],
        b"ID3\x04\0\0\0\0\0\0 and nothing more",
        b"#!AMR\n",
        b"#!AMR\n\x3cshort",
        &opus(100)[..60],
        // A position that no sound has.
        &opus(u64::MAX / 100),
        b"fLaC and nothing more",
        &[&b"RIFF\x04\0\0\0WAVE"[..], &[0; 64]].concat(),
    ] {
        assert!(matches!(refused(bytes), Refused::Damaged(_)), "{bytes:?}");
    }
}
