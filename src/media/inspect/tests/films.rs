use super::samples::*;
use super::*;

#[test]
fn a_film_has_a_size_and_a_length() {
    let tracks = [track(b"vide", (1280, 720), false, None), track(b"soun", (0, 0), false, None)];
    for (brand, mime) in
        [(b"isom", "video/mp4"), (b"qt  ", "video/quicktime"), (b"3gp4", "video/3gpp")]
    {
        let bytes = mp4(brand, 12_345, &tracks);
        let (found, stored) = look(&bytes).unwrap();
        assert_eq!((found.mime, found.kind()), (mime, Kind::Video));
        assert_eq!((found.width, found.height), (Some(1280), Some(720)));
        assert_eq!(found.duration, Some(Duration::from_millis(12_345)));
        assert_eq!(stored, bytes);
    }
    let upright = mp4(b"mp42", 1, &[track(b"vide", (1280, 720), true, None)]);
    let (found, _) = look(&upright).unwrap();
    assert_eq!((found.width, found.height), (Some(720), Some(1280)));
}

#[test]
fn a_film_without_pictures_is_sound() {
    let sound = [track(b"soun", (0, 0), false, None)];
    for (brand, mime) in [(b"isom", "audio/mp4"), (b"M4A ", "audio/mp4"), (b"3gp4", "audio/3gpp")] {
        let (found, _) = look(&mp4(brand, 2_000, &sound)).unwrap();
        assert_eq!((found.mime, found.kind(), found.width), (mime, Kind::Audio, None));
        assert_eq!(found.duration, Some(Duration::from_secs(2)));
    }
}

#[test]
fn where_a_film_was_taken_is_not_stored_and_nothing_moves() {
    let place = b"+06.4541+003.3947/";
    let user = atom(b"udta", &atom(b"\xa9xyz", place));
    let apple = atom(b"meta", &[&b"com.apple.quicktime.location.ISO6709"[..], place].concat());
    let camera = atom(b"gps ", place);
    let inside = [track(b"vide", (640, 480), false, None), user, apple.clone(), camera];
    let mut bytes = mp4(b"qt  ", 5_000, &inside);
    bytes.extend(&apple);
    bytes.extend(atom(b"uuid", place));
    bytes.extend(atom(b"free", place));
    assert!(contains(&bytes, place));
    let (found, stored) = look(&bytes).unwrap();
    assert!(!contains(&stored, place) && !contains(&stored, b"location"));
    assert_eq!(stored.len(), bytes.len());
    assert_eq!(found.duration, Some(Duration::from_secs(5)));
    // It is still the same film.
    let (again, same) = look(&stored).unwrap();
    assert_eq!(same, stored);
    assert_eq!((again.width, again.duration), (found.width, found.duration));
}

#[test]
fn a_track_of_places_is_not_stored_nor_is_its_data() {
    let place = b"of a place";
    let at = u32::try_from(24 + "samples of pictures and ".len()).unwrap() + 8;
    let data = track(b"meta", (0, 0), false, Some((at, 10)));
    let bytes = mp4(b"isom", 5_000, &[track(b"vide", (640, 480), false, None), data]);
    assert_eq!(&bytes[at as usize..][..10], place);
    let (found, stored) = look(&bytes).unwrap();
    assert!(!contains(&stored, place) && contains(&stored, b"samples of pictures and "));
    assert!(contains(&bytes, b"hdlr\0\0\0\0\0\0\0\0meta") && !contains(&stored, b"\0meta"));
    assert_eq!((stored.len(), found.width), (bytes.len(), Some(640)));
}

#[test]
fn a_recording_of_a_browser_has_a_length_whether_it_says_it_or_not() {
    let (found, _) = look(&webm(true, Some(2_500.0), 0)).unwrap();
    assert_eq!((found.mime, found.width, found.height), ("video/webm", Some(320), Some(240)));
    assert_eq!(found.duration, Some(Duration::from_millis(2_500)));
    let (found, stored) = look(&webm(false, None, 7_654)).unwrap();
    assert_eq!((found.mime, found.kind(), found.width), ("audio/webm", Kind::Audio, None));
    assert_eq!(found.duration, Some(Duration::from_millis(7_654)));
    assert!(!contains(&stored, b"place"));
    assert_eq!(stored.len(), webm(false, None, 7_654).len());
    assert_eq!(look(&stored).unwrap().0.duration, found.duration);
}

#[test]
fn a_broken_film_is_refused() {
    let whole = mp4(b"isom", 1_000, &[track(b"vide", (640, 480), false, None)]);
    for len in [20, 40, whole.len() - 1] {
        assert!(matches!(refused(&whole[..len]), Refused::Damaged(_)), "{len}");
    }
    assert!(matches!(refused(&mp4(b"isom", 1_000, &[])), Refused::Damaged(_)));
    let webm = webm(true, None, 1);
    assert!(matches!(refused(&webm[..webm.len() - 1]), Refused::Damaged(_)));
}
