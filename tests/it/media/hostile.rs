//! Files that are made to do harm: each is refused with a code that says which kind of wrong it is, and others do not
//! notice.

use image::ImageFormat;
use reqwest::StatusCode;
use serde_json::json;

use super::{Stage, link};
use crate::harness::upload::{Form, encoded};

/// A picture that says it has 16,000 × 16,000 pixels.
fn bomb() -> Vec<u8> {
    let mut png = encoded(8, 8, ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0x3e, 0x80, 0, 0, 0x3e, 0x80]);
    png
}

/// A JPEG with a comment behind its beginning.
fn commented(comment: &[u8]) -> Vec<u8> {
    let jpeg = encoded(64, 48, ImageFormat::Jpeg);
    let len = u16::try_from(comment.len() + 2).expect("a short comment").to_be_bytes();
    [&jpeg[..2], b"\xff\xfe", &len, comment, &jpeg[2..]].concat()
}

/// An empty archive: what matters is its end.
const ARCHIVE: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread")]
async fn files_made_to_do_harm_are_refused_and_chat_goes_on() {
    let stage = Stage::set().await;
    let node = stage.world.node();
    let (png, jpeg) = (encoded(32, 32, ImageFormat::Png), encoded(32, 32, ImageFormat::Jpeg));
    let unsupported = [
        ("archive.jpg", "image/jpeg", [&jpeg[..], ARCHIVE].concat()),
        ("page.png", "image/png", [&png[..], b"<!doctype html><script>alert(1)</script>"].concat()),
        ("comment.jpg", "image/jpeg", commented(b"<script>alert(document.domain)</script>")),
        ("program.jpg", "image/jpeg", [&jpeg[..], b"\x7fELF\x02\x01\x01"].concat()),
        ("cut.png", "image/png", png[..png.len() - 20].to_vec()),
        ("cut.jpg", "image/jpeg", jpeg[..jpeg.len() / 2].to_vec()),
        ("fake.gif", "image/gif", b"GIF89a/*<script>*/=1;alert(1)//".to_vec()),
        (
            "fake.mp4",
            "video/mp4",
            b"\0\0\0\x18ftypisom\0\0\0\0isomiso2\xff\xff\xff\xffmoov".to_vec(),
        ),
        ("macro.zip", "application/zip", b"PK\x03\x04 and no end".to_vec()),
    ];
    for (name, mime_type, bytes) in unsupported {
        let answer = node.upload(&stage.ada, Form::file(name, mime_type, &bytes)).await;
        let body = answer.refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media");
        assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{name}: {body}");
    }
    let answer = node.upload(&stage.ada, Form::file("bomb.png", "image/png", &bomb())).await;
    answer.refused(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");
    assert_eq!(stage.kept(), 0);

    let words = json!({ "conversationId": stage.chat, "content": "still here" });
    node.rest(&stage.ben).post("/messages", words).await.expect(201);
    stage.send(&stage.ada, &stage.picture().await).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_photo_tells_besides_its_picture_is_not_handed_out() {
    let stage = Stage::set().await;
    let node = stage.world.node();
    let trailer = b"\0\0\0\x18ftypmp42 a film of the moment";
    let jpeg = [&commented(b"taken at 6.4541 N, 3.3947 E"), &trailer[..]].concat();
    let uploaded = node.upload(&stage.ada, Form::file("p.jpg", "image/jpeg", &jpeg)).await;
    let uploaded = uploaded.expect(201);
    let stored = node.fetch(Some(&stage.ada), link(&uploaded)).await.bytes().await.expect("bytes");
    assert_eq!(stored, encoded(64, 48, ImageFormat::Jpeg));
    assert_eq!(uploaded["size"], stored.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_file_is_a_name_and_no_path() {
    let stage = Stage::set().await;
    let node = stage.world.node();
    let png = encoded(8, 8, ImageFormat::Png);
    let long = format!("{}.png", "n".repeat(3_000));
    for name in
        ["../../../etc/passwd", "..\\..\\boot.ini", "a/b.png", "/", "..", "\u{202e}gnp.exe", &long]
    {
        let answer = node.upload(&stage.ada, Form::file(name, "image/png", &png)).await;
        // A name may be too long; none leads anywhere.
        if answer.status != 201 {
            assert_eq!(answer.status, 400, "{name}: {}", answer.body);
            continue;
        }
        let answer = node.fetch(Some(&stage.ada), link(&answer.body)).await;
        let named = answer.headers()["content-disposition"].to_str().expect("text").to_owned();
        assert!(!named.contains(['/', '\\', '"', '\r', '\n']), "{named}");
        assert!(!named.contains("%2F") && !named.contains("%5C"), "{named}");
    }
}
