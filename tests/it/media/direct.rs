//! Uploads straight into the store.

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::{Stage, link};
use crate::harness::flow::{UNPACED, eventually};
use crate::harness::s3::S3;
use crate::harness::upload::encoded;
use crate::harness::{World, tools};

async fn on_s3() -> (S3, Stage) {
    let s3 = S3::start().await;
    let own = s3.settings();
    let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let world = World::start_with(&[UNPACED, &own].concat()).await;
    let stage = Stage::on(world, tools::folder("unused")).await;
    (s3, stage)
}

async fn put(ticket: &Value, bytes: Vec<u8>) -> StatusCode {
    let url = ticket["url"].as_str().expect("a URL");
    Client::new().put(url).body(bytes).send().await.expect("an answer").status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_client_puts_itself_is_looked_at_and_stored_anew() {
    let (s3, stage) = on_s3().await;
    let rest = stage.world.node().rest(&stage.ada);
    let png = encoded(40, 30, image::ImageFormat::Png);
    let ask = json!({
        "fileName": "p.png", "mimeType": "image/png", "size": png.len(), "conversationId": stage.chat,
    });
    let ticket = rest.post("/media/uploads", ask).await.expect(201);
    assert_eq!(ticket["method"], "PUT");
    let complete = format!("/media/uploads/{}/complete", ticket["id"].as_str().expect("an id"));
    rest.post(&complete, json!({})).await.refused(StatusCode::CONFLICT, "conflict");
    // Not what was announced; the whole of it may follow.
    assert_eq!(put(&ticket, png[..png.len() - 1].to_vec()).await, StatusCode::OK);
    rest.post(&complete, json!({})).await.refused(StatusCode::CONFLICT, "conflict");
    assert_eq!(put(&ticket, png.clone()).await, StatusCode::OK);
    let others = stage.world.node().rest(&stage.ben).post(&complete, json!({})).await;
    others.refused(StatusCode::NOT_FOUND, "not_found");
    let uploaded = rest.post(&complete, json!({})).await.expect(201);
    assert_eq!((&uploaded["width"], &uploaded["height"]), (&json!(40), &json!(30)));
    assert_eq!(rest.post(&complete, json!({})).await.expect(201), uploaded, "asked again");
    assert_eq!(stage.status(&stage.ben, link(&uploaded)).await, 200);
    stage.send(&stage.ada, &uploaded).await.expect(201);
    // Whatever is put there later changes nothing.
    put(&ticket, vec![0; png.len()]).await;
    let there = stage.world.node().fetch(Some(&stage.ben), link(&uploaded)).await;
    image::load_from_memory(&there.bytes().await.expect("the file")).expect("the picture");
    drop(s3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_puts_is_not_believed() {
    let (s3, stage) = on_s3().await;
    let rest = stage.world.node().rest(&stage.ada);
    let html = b"<!doctype html><script>alert(1)</script>".to_vec();
    let ask = json!({ "mimeType": "image/png", "size": html.len() });
    let ticket = rest.post("/media/uploads", ask).await.expect(201);
    assert_eq!(put(&ticket, html).await, StatusCode::OK);
    let complete = format!("/media/uploads/{}/complete", ticket["id"].as_str().expect("an id"));
    let refused = rest.post(&complete, json!({})).await;
    refused.refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media");
    rest.post(&complete, json!({})).await.refused(StatusCode::NOT_FOUND, "not_found");
    eventually("nothing is left", async || (s3.objects() == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_takes_no_uploads_from_clients_and_says_so() {
    let stage = Stage::set().await;
    let rest = stage.world.node().rest(&stage.ada);
    let ask = json!({ "mimeType": "image/png", "size": 10 });
    rest.post("/media/uploads", ask).await.refused(StatusCode::CONFLICT, "conflict");
    let huge = json!({ "mimeType": "image/png", "size": 1_u64 << 40 });
    let huge = rest.post("/media/uploads", huge).await;
    huge.refused(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");
    for wrong in [
        json!({ "mimeType": "png", "size": 10 }),
        json!({ "mimeType": "image/png", "size": 0 }),
        json!({ "mimeType": "image/png", "size": -1 }),
        json!({ "mimeType": "image/png" }),
    ] {
        rest.post("/media/uploads", wrong).await.refused(StatusCode::BAD_REQUEST, "invalid");
    }
}
