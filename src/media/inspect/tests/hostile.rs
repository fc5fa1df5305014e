use std::sync::LazyLock;

use proptest::prelude::*;

use super::samples::*;
use super::*;

#[test]
fn a_bomb_is_refused_before_anything_is_decoded() {
    // A header of a picture of 16,000 × 16,000, and no pixels: had they been looked for, it would be said that they
    // are missing.
    let mut png_bomb = png(8, 8);
    png_bomb[16..24].copy_from_slice(&[0, 0, 0x3e, 0x80, 0, 0, 0x3e, 0x80]);
    let mut jpeg_bomb = jpeg(8, 8);
    let frame = memchr::memmem::find(&jpeg_bomb, b"\xff\xc0").unwrap();
    jpeg_bomb[frame + 5..frame + 9].copy_from_slice(&[0x3e, 0x80, 0x3e, 0x80]);
    let mut gif_bomb = gif(8, 8, 1);
    gif_bomb[6..10].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let webp_bomb = webp_with(16_000, 1, 0, &[]);
    let mut webp_bomb = webp_bomb;
    webp_bomb[27..30].copy_from_slice(&[0x7f, 0x3e, 0]);
    for bomb in [png_bomb, jpeg_bomb, gif_bomb, webp_bomb] {
        assert!(refused(&bomb).is_too_large(), "{:?}", refused(&bomb));
    }
}

#[test]
fn a_picture_whose_sizes_contradict_one_another_is_refused() {
    let mut webp = webp_with(80, 60, 0, &[]);
    webp[24] = 7;
    assert!(matches!(refused(&webp), Refused::Damaged(_)));
    // Two frames of different size.
    let plain = jpeg(64, 64);
    let frame = memchr::memmem::find(&plain, b"\xff\xc0").unwrap();
    let twice = [&plain[..frame], &plain[frame..frame + 19], &plain[frame..]].concat();
    assert!(matches!(refused(&twice), Refused::Damaged(_)));
    let mut outside = gif(8, 8, 1);
    outside[6] = 4;
    assert!(matches!(refused(&outside), Refused::Damaged(_)));
}

#[test]
fn many_scans_over_one_picture_are_refused() {
    let plain = jpeg(64, 64);
    let scan = memchr::memmem::find(&plain, b"\xff\xda").unwrap();
    let (head, data) = (&plain[..scan], &plain[scan..plain.len() - 2]);
    let bytes = [head, &data.repeat(100), &plain[plain.len() - 2..]].concat();
    assert!(refused(&bytes).is_too_large());
}

#[test]
fn a_picture_that_is_something_else_as_well_is_refused() {
    let archive = zip("run.js", b"alert(1)");
    let page: &[u8] = b"\n<!DOCTYPE html><script>alert(1)</script>";
    let document: &[u8] = b"%PDF-1.4\n%%EOF";
    for picture in [jpeg(40, 30), png(40, 30), gif(40, 30, 1), webp(40, 30)] {
        for second in
            [&archive[..], page, document, b"MZ\x90\0", b"\x7fELF", b"#!/bin/sh", b"<?php x();"]
        {
            let both = [&picture[..], second].concat();
            assert_eq!(refused(&both), Refused::Polyglot, "{second:?}");
        }
        let far = [&picture[..], &[0; 200_000], &archive].concat();
        assert_eq!(refused(&far), Refused::Polyglot);
    }
}

#[test]
fn a_page_in_a_pictures_metadata_is_refused() {
    let page = b"x <script>alert(document.domain)</script>";
    assert_eq!(refused(&jpeg_with(40, 30, &[(0xfe, page)])), Refused::Polyglot);
    let profile = [&b"ICC_PROFILE\0\x01\x01"[..], page].concat();
    assert_eq!(refused(&jpeg_with(40, 30, &[(0xe2, &profile)])), Refused::Polyglot);
    assert_eq!(refused(&png_with(40, 30, &[(b"tEXt", page)])), Refused::Polyglot);
    assert_eq!(refused(&webp_with(40, 30, 4, &[(b"XMP ", page)])), Refused::Polyglot);
    let mut gif = gif(40, 30, 1);
    gif.pop();
    gif.extend(b"\x21\xfe\x29x <script>alert(document.domain)</script>\0\x3b");
    assert_eq!(refused(&gif), Refused::Polyglot);
    assert_eq!(refused(b"GIF89a/*<script>*/=1;alert(1)//"), Refused::Polyglot);
}

#[test]
fn films_sounds_and_documents_that_are_archives_are_refused() {
    let archive = zip("run.js", b"alert(1)");
    let film = mp4(b"isom", 1_000, &[track(b"vide", (640, 480), false, None)]);
    let pdf = b"%PDF-1.4\n1 0 obj\n%%EOF\n".to_vec();
    for first in [film.clone(), wav(100), mp3(10), opus(100), pdf] {
        assert_eq!(refused(&[&first[..], &archive].concat()), Refused::Polyglot);
    }
    let boxed = [film, atom(b"free", &archive)].concat();
    assert_eq!(refused(&boxed), Refused::Polyglot);
}

#[test]
fn documents_are_whole_and_no_programs() {
    assert_eq!(look(b"%PDF-1.4\n1 0 obj\n%%EOF\n").unwrap().0.mime, "application/pdf");
    assert!(matches!(refused(b"%PDF-1.4\n1 0 obj\n"), Refused::Damaged(_)));
    let archive = zip("notes.txt", b"hello");
    assert_eq!(look(&archive).unwrap().0.mime, "application/zip");
    assert!(matches!(refused(&archive[..archive.len() - 1]), Refused::Damaged(_)));
    for name in ["AndroidManifest.xml", "META-INF/MANIFEST.MF", "word/vbaProject.bin"] {
        assert!(matches!(refused(&zip(name, b"x")), Refused::Unsupported(_)), "{name}");
    }
    let text = "Liebe Grüße\n".repeat(10_000);
    assert_eq!(look(text.as_bytes()).unwrap().0.mime, "text/plain");
    assert!(matches!(refused(format!("{text}\0").as_bytes()), Refused::Damaged(_)));
}

#[test]
fn an_older_document_is_known_by_its_program_and_has_no_macros() {
    let document = |names: &[&str]| {
        let mut bytes = vec![0; 1024];
        bytes[..8].copy_from_slice(ole::MARK);
        bytes[30] = 9;
        // The list begins in the second sector behind the header.
        bytes[48] = 1;
        for name in names {
            let mut entry: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
            entry.resize(128, 0);
            bytes.extend(entry);
        }
        bytes
    };
    for (name, mime) in [
        ("WordDocument", "application/msword"),
        ("Workbook", "application/vnd.ms-excel"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ] {
        let bytes = document(&["Root Entry", "1Table", name]);
        let (found, stored) = look(&bytes).unwrap();
        assert_eq!((found.mime, stored), (mime, bytes));
        assert!(matches!(
            refused(&document(&["Root Entry", name, "Macros"])),
            Refused::Unsupported(_)
        ));
    }
    // An installer is of the same family.
    assert_eq!(refused(&document(&["Root Entry", "SummaryInformation"])), Refused::Type);
    assert!(matches!(refused(&document(&[])[..60]), Refused::Damaged(_)));
}

#[test]
fn tables_of_samples_erase_nothing_but_data() {
    let film = |place| {
        let tracks = [
            track(b"vide", (64, 48), false, None),
            track(b"meta", (0, 0), false, Some((place, 10))),
        ];
        mp4(b"isom", 1_000, &tracks)
    };
    look(&film(40)).unwrap();
    for place in [0, 24, 60, 200, u32::MAX - 4] {
        assert!(matches!(refused(&film(place)), Refused::Damaged(_)), "{place}");
    }
}

#[test]
fn a_picture_that_is_cut_off_is_refused_wherever_that_is() {
    for whole in
        [jpeg(60, 40), png(60, 40), gif(60, 40, 2), webp(60, 40), webp_with(60, 40, 0, &[])]
    {
        for len in (16..whole.len()).step_by(7) {
            let refused = refused(&whole[..len]);
            assert!(matches!(refused, Refused::Damaged(_)), "{len} of {}: {refused}", whole.len());
        }
    }
}

/// Files of every type that is looked into, small ones.
static EVERYTHING: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let tracks =
        [track(b"vide", (64, 48), true, None), track(b"meta", (0, 0), false, Some((40, 10)))];
    vec![
        jpeg_with(48, 40, &[(0xe1, &exif(6)), (0xe2, b"ICC_PROFILE\0\x01\x01abc")]),
        png_with(48, 40, &[(b"eXIf", &exif(3)[6..]), (b"tEXt", b"Comment\0x")]),
        gif(24, 20, 2),
        webp(48, 40),
        webp_with(48, 40, 0x08, &[(b"EXIF", &exif(8)[6..])]),
        mp4(b"isom", 1_000, &tracks),
        webm(true, Some(1_000.0), 7),
        wav(20),
        mp3(4),
        opus(100),
        aac(4),
        flac(1),
        b"#!AMR\n\x3c1234567890123456789012345678901".to_vec(),
        b"%PDF-1.4\n1 0 obj\n%%EOF\n".to_vec(),
        zip("notes.txt", b"hello"),
    ]
});

/// What is stored of a file is a file of its own, and stays the same when it is sent again.
fn look_twice(bytes: &[u8]) {
    let limits = ImageLimits { max_pixels: 1 << 20, max_memory: 8 << 20, ..ImageLimits::default() };
    if let Ok((found, stored)) = look_with(bytes, &limits) {
        let again =
            look_with(&stored, &limits).map(|(again, _)| (again.mime, again.width, again.height));
        assert_eq!(again.ok(), Some((found.mime, found.width, found.height)));
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48)
}

proptest! {
    // PROPTEST_CASES=20000 and an optimised build look harder.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn no_change_of_a_few_bytes_breaks_more_than_the_file(
        which in 0..EVERYTHING.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = EVERYTHING[which].clone();
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        look_twice(&bytes);
    }

    #[test]
    fn no_cut_or_repetition_breaks_more_than_the_file(
        which in 0..EVERYTHING.len(),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
    ) {
        let bytes = &EVERYTHING[which];
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        let (from, to) = (from.min(to), from.max(to));
        let at = at.index(bytes.len());
        look_twice(&[&bytes[..at], &bytes[from..to], &bytes[at..]].concat());
        look_twice(&[&bytes[..from], &bytes[to..]].concat());
    }

    #[test]
    fn no_bytes_behind_a_mark_break_more_than_the_file(
        which in 0..EVERYTHING.len(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mark = &EVERYTHING[which];
        look_twice(&[&mark[..mark.len().min(12)], &bytes].concat());
    }
}
