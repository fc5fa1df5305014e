//! What is not taken: each refusal has its code, and leaves nothing behind.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::{Stage, link};
use crate::harness::flow::{UNPACED, eventually};
use crate::harness::upload::{BOUNDARY, Form, encoded, form_type, pdf};
use crate::harness::{Rest, World};

#[tokio::test(flavor = "multi_thread")]
async fn types_and_sizes_that_are_not_taken_are_refused_with_their_code() {
    let stage = Stage::set_with(&[
        ("MAX_IMAGE_BYTES", "20000"),
        ("MAX_FILE_BYTES", "300000"),
        ("MESSAGING_MEDIA_TYPES", "image/*,application/pdf"),
    ])
    .await;
    let node = stage.world.node();
    let png = encoded(32, 32, image::ImageFormat::Png);
    let html = b"<!doctype html><script>alert(1)</script>".as_slice();
    for (name, mime_type, bytes) in [
        ("x.png", "image/png", html),
        ("x.html", "text/html", html),
        ("x.txt", "text/plain", b"words".as_slice()),
        ("x.pdf", "application/pdf", &png),
        ("x.exe", "application/octet-stream", b"MZ\x90\x00\x03\x00\x00\x00\x04\x00".as_slice()),
        ("x.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>".as_slice()),
    ] {
        let answer = node.upload(&stage.ada, Form::file(name, mime_type, bytes)).await;
        answer.refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media");
    }
    let noise: Vec<u8> =
        (0..200_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let large = [png.clone(), noise.repeat(40)].concat();
    for (name, mime_type, bytes) in [
        ("x.png", "image/png", large),
        ("x.pdf", "application/pdf", pdf(300_001)),
        // The client sends far more than is taken, and still sees the refusal.
        ("x.pdf", "application/pdf", pdf(8 << 20)),
    ] {
        let answer = node.upload(&stage.ada, Form::file(name, mime_type, &bytes)).await;
        answer.refused(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");
    }
    assert_eq!(stage.kept(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_make_no_sense_are_invalid() {
    let stage = Stage::set().await;
    let node = stage.world.node();
    let png = encoded(8, 8, image::ImageFormat::Png);
    let file = || Form::file("p.png", "image/png", &png);
    for form in [
        Form::default().with("other", "x"),
        Form::file("p.png", "image/png", b""),
        file().with_file("q.png", "image/png", &png),
        file().with("conversationId", "x"),
        (0..20).fold(file(), |form, n| form.with(&format!("field{n}"), "x")),
    ] {
        node.upload(&stage.ada, form).await.refused(StatusCode::BAD_REQUEST, "invalid");
    }
    let chat = stage.chat.to_string();
    for conversation in [chat.as_str(), &Uuid::new_v4().to_string()] {
        // Before the file, or behind it.
        for form in [
            Form::default().with("conversationId", conversation).with_file(
                "p.png",
                "image/png",
                &png,
            ),
            file().with("conversationId", conversation),
        ] {
            let answer = node.upload(&stage.eve, form).await;
            answer.refused(StatusCode::FORBIDDEN, "not_a_participant");
        }
    }
    for (content_type, body) in [
        ("application/json", "{}".to_owned()),
        ("multipart/form-data", "x".to_owned()),
        (form_type().as_str(), "no form at all".to_owned()),
        (
            form_type().as_str(),
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\""),
        ),
    ] {
        let request = Client::new()
            .post(format!("{}/messaging/media/upload", node.url))
            .bearer_auth(&stage.ada.token)
            .header("content-type", content_type)
            .body(body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{content_type}");
    }
    let nobody = reqwest::Client::new().post(format!("{}/messaging/media/upload", node.url));
    let answer = nobody.header("content-type", form_type()).body(file().body()).send().await;
    assert_eq!(answer.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    assert_eq!(stage.kept(), 0);
}

/// Begins an upload, of a file that never ends unless it is ended.
async fn begin(stage: &Stage) -> TcpStream {
    let address = stage.world.node().url.strip_prefix("http://").expect("a URL");
    let head = format!(
        "POST /messaging/media/upload HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: {}\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n",
        stage.ada.token,
        form_type()
    );
    let form = Form::file("x.pdf", "application/pdf", &pdf(10_000)).body();
    let mut socket = TcpStream::connect(address).await.expect("connected");
    socket.write_all(head.as_bytes()).await.expect("written");
    // Without its last boundary.
    socket.write_all(&chunk(&form[..form.len() - 40])).await.expect("written");
    socket
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// Waits until so many uploads are under way.
async fn uploading(stage: &Stage, count: u32) {
    let metrics = Rest::new(&stage.world.node().url, None);
    let line = format!("messaging_media_uploading {count}\n");
    eventually("uploads are under way", async || {
        let text = metrics.get("//metrics").await.expect(200);
        text.as_str().expect("text").contains(&line).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_stream_ends_at_the_limit_and_who_leaves_leaves_nothing() {
    let stage = Stage::set_with(&[("MAX_FILE_BYTES", "100000")]).await;
    let (mut reading, mut writing) = begin(&stage).await.into_split();
    let sending = tokio::spawn(async move {
        // Until the node has had enough.
        while writing.write_all(&chunk(&[b'%'; 8192])).await.is_ok() {}
    });
    let mut answer = Vec::new();
    let refused = async {
        while !String::from_utf8_lossy(&answer).contains("payload_too_large") {
            let mut bytes = [0; 4096];
            let count = reading.read(&mut bytes).await.expect("an answer");
            assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&bytes[..count]);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused).await.expect("a refusal");
    drop(reading);
    sending.abort();

    let leaving = begin(&stage).await;
    uploading(&stage, 1).await;
    drop(leaving);
    uploading(&stage, 0).await;
    assert_eq!(stage.kept(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_uploads_much_waits_for_a_turn_and_a_node_that_leaves_waits_for_no_upload() {
    let mut stage = Stage::set_with(&[("MAX_UPLOADS_PER_USER", "1"), ("MAX_UPLOADS", "2")]).await;
    let endless = begin(&stage).await;
    uploading(&stage, 1).await;
    let png = encoded(8, 8, image::ImageFormat::Png);
    let others = (0..4).map(|_| {
        let stage = &stage;
        let form = Form::file("p.png", "image/png", &png);
        async move { stage.world.node().upload(&stage.ben, form).await.expect(201) }
    });
    futures_util::future::join_all(others).await;
    let waiting = stage.world.node().upload(&stage.ada, Form::file("p.png", "image/png", &png));
    let waiting = tokio::time::timeout(Duration::from_millis(300), waiting).await;
    assert!(waiting.is_err(), "the turn is taken");
    assert!(stage.world.node_mut(0).terminate().await.success(), "it leaves in order");
    drop(endless);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_name_files_of_their_conversation_and_hosts_that_are_allowed() {
    let stage = Stage::set_with(&[("MESSAGING_MEDIA_ALLOWED_HOSTS", "cdn.example.com")]).await;
    let rest = stage.world.node().rest(&stage.ada);
    let send = async |url: String| {
        let body = json!({
            "conversationId": stage.chat, "content": "", "type": "file",
            "metadata": { "fileUrl": url, "fileName": "f", "fileSize": 1, "mimeType": "a/b" },
        });
        rest.post("/messages", body).await
    };
    let uploaded = stage.picture().await;
    send(link(&uploaded).to_owned()).await.expect(201);
    send("https://cdn.example.com/a/b.pdf".to_owned()).await.expect(201);
    for url in [
        "https://evil.example/a.pdf".to_owned(),
        "https://cdn.example.com@evil.example/a.pdf".to_owned(),
        format!("https://evil.example{}", link(&uploaded)),
        format!("/messaging/media/{}", Uuid::new_v4()),
        "/messaging/media/../../etc/passwd".to_owned(),
        "/etc/passwd".to_owned(),
    ] {
        let problem = send(url.clone()).await.refused(StatusCode::BAD_REQUEST, "invalid");
        assert_eq!(problem["errors"][0]["field"], "metadata.fileUrl", "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_for_files_there_are_none_and_chat_goes_on() {
    let world = World::start_with(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let node = world.node();
    let png = encoded(8, 8, image::ImageFormat::Png);
    let answer = node.upload(&ada, Form::file("p.png", "image/png", &png)).await;
    answer.refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    let unknown = format!("/messaging/media/{}", Uuid::new_v4());
    assert_eq!(node.fetch(Some(&ada), &unknown).await.status(), 503);
    let rest = node.rest(&ada);
    let chat = crate::harness::flow::open_direct(&rest, &ben).await;
    let mut body = super::image_message(chat, &json!({ "width": 1, "height": 1 }));
    body["metadata"] =
        json!({ "imageUrl": "https://elsewhere.example/i.png", "imageWidth": 1, "imageHeight": 1 });
    rest.post("/messages", body).await.expect(201);
}
