//! How long files stay: as long as a message names them, and no longer.

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use serde_json::json;

use super::{Stage, image_message, link};
use crate::harness::flow::{eventually, id_of};
use crate::harness::upload::{Form, encoded};

#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_message_erases_its_files_unless_another_message_names_them() {
    let stage = Stage::set().await;
    let rest = stage.world.node().rest(&stage.ada);
    let uploaded = stage.picture().await;
    let first = id_of(&stage.send(&stage.ada, &uploaded).await.expect(201));
    let again = id_of(&stage.send(&stage.ada, &uploaded).await.expect(201));
    let other = stage.picture().await;
    let alone = id_of(&stage.send(&stage.ada, &other).await.expect(201));
    assert_eq!(stage.kept(), 4);
    for id in [first, alone] {
        rest.delete(&format!("/messages/{id}")).await.expect(200);
    }
    eventually("the other one is gone", async || (stage.kept() == 2).then_some(())).await;
    assert_eq!(stage.status(&stage.ben, link(&other)).await, 404);
    assert_eq!(stage.status(&stage.ben, link(&uploaded)).await, 200);
    let late = rest.post("/messages", image_message(stage.chat, &other)).await;
    late.refused(StatusCode::BAD_REQUEST, "invalid");
    rest.delete(&format!("/messages/{again}")).await.expect(200);
    eventually("all are gone", async || (stage.kept() == 0).then_some(())).await;
    assert_eq!(stage.status(&stage.ben, link(&uploaded)).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_messages_that_vanish_vanish_with_them() {
    let stage = Stage::set().await;
    let uploaded = stage.picture().await;
    let mut message = image_message(stage.chat, &uploaded);
    message["ttlSeconds"] = json!(1);
    stage.world.node().rest(&stage.ada).post("/messages", message).await.expect(201);
    eventually("it is gone", async || (stage.kept() == 0).then_some(())).await;
    assert_eq!(stage.status(&stage.ada, link(&uploaded)).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_no_message_names_are_collected_and_others_stay() {
    let stage = Stage::set_with(&[("MESSAGING_MEDIA_ORPHANS_AFTER", "1s")]).await;
    let node = stage.world.node();
    let rest = node.rest(&stage.ada);
    // Both are named before their time is over: by a message, and by one that is sent later.
    let named = stage.picture().await;
    stage.send(&stage.ada, &named).await.expect(201);
    let png = encoded(20, 20, image::ImageFormat::Png);
    let scheduled =
        node.upload(&stage.ada, Form::file("s.png", "image/png", &png)).await.expect(201);
    let mut message = image_message(stage.chat, &scheduled);
    message["sendAt"] = json!((Timestamp::now() + SignedDuration::from_hours(48)).to_string());
    rest.post("/messages", message).await.expect(201);
    let lonely = node.upload(&stage.ada, Form::file("l.png", "image/png", &png)).await.expect(201);
    eventually("the lonely one is gone", async || {
        (stage.status(&stage.ada, link(&lonely)).await == 404).then_some(())
    })
    .await;
    eventually("its bytes too", async || (stage.kept() == 4).then_some(())).await;
    assert_eq!(stage.status(&stage.ben, link(&named)).await, 200);
    assert_eq!(stage.status(&stage.ada, link(&scheduled)).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_interrupts_is_erased_by_the_next_process() {
    let mut stage = Stage::set().await;
    let uploaded = stage.picture().await;
    let id = id_of(&stage.send(&stage.ada, &uploaded).await.expect(201));
    stage.world.persisted().await;
    // An edge alone erases nothing: the deletion is in the log when everything stops.
    let folder = format!("file://{}", stage.folder.display());
    let settings =
        [crate::harness::flow::UNPACED, &[("MESSAGING_MEDIA_URL", folder.as_str())]].concat();
    stage.world.node_mut(0).kill9().await;
    let edge = stage.world.add_node_with(&["--role", "edge"], &settings).await;
    let rest = stage.world.nodes()[edge].rest(&stage.ada);
    rest.delete(&format!("/messages/{id}")).await.expect(200);
    stage.world.node_mut(edge).kill9().await;
    assert_eq!(stage.kept(), 2);
    stage.world.add_node_with(&["--role", "persister"], &settings).await;
    eventually("it is erased", async || (stage.kept() == 0).then_some(())).await;
}
