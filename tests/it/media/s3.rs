//! Files in an S3 server, and without it.

use reqwest::{Method, StatusCode};

use super::{Stage, link};
use crate::harness::flow::{self, UNPACED, eventually, id_of};
use crate::harness::s3::S3;
use crate::harness::upload::{Form, encoded, pdf};
use crate::harness::{Rest, World, tools};

async fn set(s3: &S3) -> Stage {
    let own = s3.settings();
    let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let world = World::start_with(&[UNPACED, &own].concat()).await;
    Stage::on(world, tools::folder("unused")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_one_part_and_of_many_come_back_as_they_went_and_go_with_their_message() {
    let s3 = S3::start().await;
    let stage = set(&s3).await;
    let node = stage.world.node();
    let uploaded = stage.picture().await;
    let message = id_of(&stage.send(&stage.ada, &uploaded).await.expect(201));
    assert_eq!(stage.status(&stage.ben, link(&uploaded)).await, 200);
    // Three parts.
    let bytes = pdf(11 << 20);
    let large = node.upload(&stage.ada, Form::file("l.pdf", "application/pdf", &bytes)).await;
    let large = large.expect(201);
    let whole = node.fetch(Some(&stage.ada), link(&large)).await;
    assert!(whole.bytes().await.expect("the file") == bytes);
    let part = [("range", "bytes=5242870-5242890")];
    let part = node.fetch_with(Method::GET, Some(&stage.ada), link(&large), &part).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.expect("a part"), bytes[5_242_870..=5_242_890]);
    let before = s3.objects();
    node.rest(&stage.ada).delete(&format!("/messages/{message}")).await.expect(200);
    eventually("its objects are gone", async || (s3.objects() <= before - 2).then_some(())).await;
    assert_eq!(stage.status(&stage.ben, link(&uploaded)).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_files_are_unavailable_and_chat_goes_on() {
    let mut s3 = S3::start().await;
    let stage = set(&s3).await;
    let node = stage.world.node();
    let uploaded = stage.picture().await;
    let message = id_of(&stage.send(&stage.ada, &uploaded).await.expect(201));
    s3.stop().await;
    let png = encoded(16, 16, image::ImageFormat::Png);
    let answer = node.upload(&stage.ada, Form::file("p.png", "image/png", &png)).await;
    assert!(answer.headers.contains_key("retry-after"));
    answer.refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    assert_eq!(stage.status(&stage.ben, link(&uploaded)).await, 503);
    Rest::new(&node.url, None).get("//readyz").await.expect(200);
    let rest = node.rest(&stage.ada);
    flow::send(&rest, stage.chat, "still here").await;
    rest.delete(&format!("/messages/{message}")).await.expect(200);
    stage.world.persisted().await;
    s3.start_again().await;
    eventually("uploads are taken again", async || {
        let answer = node.upload(&stage.ada, Form::file("p.png", "image/png", &png)).await;
        (answer.status == 201).then_some(())
    })
    .await;
}
