//! Who gets a file, and how.

use reqwest::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::{Stage, link};
use crate::harness::Rest;
use crate::harness::upload::{Form, encoded, pdf};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_stored_measured_made_small_and_shown_to_participants_alone() {
    let stage = Stage::set().await;
    let node = stage.world.node();
    let uploaded = stage.picture().await;
    assert_eq!(uploaded["mimeType"], "image/png");
    assert_eq!((&uploaded["width"], &uploaded["height"]), (&json!(64), &json!(48)));
    assert!(uploaded["blurhash"].as_str().is_some_and(|hash| hash.len() > 6), "{uploaded}");
    let thumbnail = uploaded["thumbnailUrl"].as_str().expect("a thumbnail");
    for link in [link(&uploaded), thumbnail] {
        for user in [&stage.ada, &stage.ben] {
            let answer = node.fetch(Some(user), link).await;
            assert_eq!(answer.status(), StatusCode::OK);
            let headers = answer.headers();
            assert!(headers["content-type"].to_str().expect("text").starts_with("image/"));
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert_eq!(headers["content-security-policy"], "sandbox; default-src 'none'");
            assert!(headers["cache-control"].to_str().expect("text").starts_with("private"));
            assert!(headers["content-disposition"].to_str().expect("text").starts_with("inline"));
            let length = headers["content-length"].clone();
            let bytes = answer.bytes().await.expect("the file");
            assert_eq!(length, bytes.len().to_string());
            image::load_from_memory(&bytes).expect("a picture");
        }
        assert_eq!(stage.status(&stage.eve, link).await, 404);
        assert_eq!(node.fetch(None, link).await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(stage.kept(), 2, "the picture and its thumbnail");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_conversation_is_its_owners_until_a_message_names_it() {
    let stage = Stage::set().await;
    let node = stage.world.node();
    let png = encoded(8, 8, image::ImageFormat::Png);
    let form = Form::file("p.png", "image/png", &png);
    let uploaded = node.upload(&stage.ada, form).await.expect(201);
    assert_eq!(stage.status(&stage.ada, link(&uploaded)).await, 200);
    assert_eq!(stage.status(&stage.ben, link(&uploaded)).await, 404);
    let stolen = stage.send(&stage.ben, &uploaded).await;
    stolen.refused(StatusCode::BAD_REQUEST, "invalid");
    stage.send(&stage.ada, &uploaded).await.expect(201);
    assert_eq!(stage.status(&stage.ben, link(&uploaded)).await, 200);
    assert_eq!(stage.status(&stage.eve, link(&uploaded)).await, 404);
    // Now it is that conversation's: no other one may have it.
    let rest = node.rest(&stage.ada);
    let other = crate::harness::flow::open_direct(&rest, &stage.eve).await;
    let message = super::image_message(other, &uploaded);
    let problem = rest.post("/messages", message).await.refused(StatusCode::BAD_REQUEST, "invalid");
    assert_eq!(problem["errors"][0]["field"], "metadata.imageUrl");
    // The others of the conversation may show it again.
    stage.send(&stage.ben, &uploaded).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_file_are_had_as_the_standard_says() {
    let stage = Stage::set().await;
    let node = stage.world.node();
    let bytes = pdf(400_000);
    let form = Form::file("../../r\u{e9}port.pdf", "application/pdf", &bytes);
    let uploaded = node.upload(&stage.ada, form).await.expect(201);
    assert_eq!(uploaded["size"], bytes.len());
    let get = async |headers: &[(&str, &str)]| {
        node.fetch_with(Method::GET, Some(&stage.ada), link(&uploaded), headers).await
    };
    let whole = get(&[]).await;
    let named = whole.headers()["content-disposition"].to_str().expect("text").to_owned();
    assert_eq!(named, "attachment; filename*=UTF-8''r%C3%A9port%2Epdf");
    let tag = whole.headers()["etag"].to_str().expect("text").to_owned();
    assert_eq!(whole.bytes().await.expect("the file"), bytes);
    let size = bytes.len();
    for (range, part) in [
        ("bytes=0-0", 0..1),
        ("bytes=131000-262999", 131_000..263_000),
        ("bytes=399990-", 399_990..size),
        ("bytes=-7", size - 7..size),
        ("bytes=5-99999999", 5..size),
    ] {
        let answer = get(&[("range", range)]).await;
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let place = format!("bytes {}-{}/{size}", part.start, part.end - 1);
        assert_eq!(answer.headers()["content-range"], place.as_str());
        assert_eq!(answer.bytes().await.expect("a part"), bytes[part], "{range}");
    }
    for range in ["bytes=400200-", "bytes=-0", "bytes=18446744073709551615-"] {
        let answer = get(&[("range", range)]).await;
        assert_eq!(answer.status(), StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(answer.headers()["content-range"], format!("bytes */{size}").as_str());
    }
    for range in ["bytes=5-1", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes=-"] {
        assert_eq!(get(&[("range", range)]).await.status(), StatusCode::OK, "{range}");
    }
    let part = [("range", "bytes=0-9"), ("if-range", tag.as_str())];
    assert_eq!(get(&part).await.status(), StatusCode::PARTIAL_CONTENT);
    let part = [("range", "bytes=0-9"), ("if-range", "\"another\"")];
    assert_eq!(get(&part).await.status(), StatusCode::OK);
    assert_eq!(get(&[("if-none-match", &tag)]).await.status(), StatusCode::NOT_MODIFIED);
    let head = node.fetch_with(Method::HEAD, Some(&stage.ada), link(&uploaded), &[]).await;
    assert_eq!(head.headers()["content-length"], size.to_string().as_str());
    assert_eq!(head.headers()["accept-ranges"], "bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_link_serves_without_a_token_for_as_long_as_it_says() {
    let stage = Stage::set_with(&[("MESSAGING_MEDIA_LINK_LIFETIME", "2s")]).await;
    let node = stage.world.node();
    let uploaded = stage.picture().await;
    let path = link(&uploaded).strip_prefix("/messaging").expect("a path of ours").to_owned();
    let sign = format!("{path}/url");
    node.rest(&stage.eve).get(&sign).await.refused(StatusCode::NOT_FOUND, "not_found");
    Rest::new(&node.url, None)
        .get(&sign)
        .await
        .refused(StatusCode::UNAUTHORIZED, "unauthenticated");
    let signed = node.rest(&stage.ben).get(&sign).await.expect(200);
    let url = signed["url"].as_str().expect("a link").to_owned();
    let small = signed["thumbnailUrl"].as_str().expect("a link").to_owned();
    for url in [&url, &small] {
        assert_eq!(node.fetch(None, url).await.status(), StatusCode::OK);
    }
    let other = stage.picture().await;
    let query = url.split_once('?').expect("a query").1;
    let forged = [
        format!("{}?{query}", link(&other)),
        format!("{}/thumbnail?{query}", link(&uploaded)),
        url.replace("signature=", "signature=0"),
        format!("{}?expires=99999999999&signature={}", link(&uploaded), "0".repeat(64)),
        format!("{}?expires=x&signature=y", link(&uploaded)),
        url.replacen("expires=", "expires=9", 1),
    ];
    for url in &forged {
        assert_eq!(node.fetch(None, url).await.status(), StatusCode::NOT_FOUND, "{url}");
    }
    crate::harness::flow::eventually("the link is over", async || {
        (node.fetch(None, &url).await.status() == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_ids_and_nothing_else() {
    let stage = Stage::set().await;
    let node = stage.world.node();
    for key in ["..%2f..%2fetc%2fpasswd", "a", "00000000000000000000000000000000x"] {
        let answer = node.fetch(Some(&stage.ada), &format!("/messaging/media/{key}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{key}");
    }
    let unknown = format!("/messaging/media/{}", Uuid::new_v4());
    assert_eq!(stage.status(&stage.ada, &unknown).await, 404);
    assert_eq!(stage.status(&stage.ada, &format!("{unknown}/thumbnail")).await, 404);
}
