//! How long files stay: as long as a message names them, and no longer.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

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

/// Where the bytes of a file and of its thumbnail are.
fn places(folder: &Path, key: &str) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let (folders, files): (Vec<_>, Vec<_>) =
        entries.map(|entry| entry.path()).partition(|path| path.is_dir());
    let within = folders.iter().flat_map(|folder| places(folder, key));
    within.chain(files.into_iter().filter(|path| path.ends_with(key))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_erased_does_not_keep_the_others() {
    let stage = Stage::set().await;
    let mut keys = Vec::new();
    for _ in 0..3 {
        let uploaded = stage.picture().await;
        keys.push(link(&uploaded).rsplit('/').next().expect("a key").to_owned());
    }
    // No file system erases a folder like a file.
    for place in places(&stage.folder, &keys[0]) {
        std::fs::remove_file(&place).expect("a file");
        std::fs::create_dir(&place).expect("a folder in its place");
    }
    let ids: Vec<Uuid> = keys.iter().map(|key| key.parse().expect("an id")).collect();
    let database = stage.world.database.client().await;
    let sql = "UPDATE media SET state = 'erasing',
                   keep_until = now() - CASE WHEN key = $1 THEN interval '1 hour' ELSE interval '0' END
               WHERE key = ANY($2)";
    database.execute(sql, &[&ids[0], &ids]).await.expect("three rows");
    eventually("the others are gone", async || (stage.kept() == 0).then_some(())).await;
    let left = database.query("SELECT key FROM media", &[]).await.expect("rows");
    assert!(left.iter().any(|row| row.get::<_, Uuid>(0) == ids[0]), "it is tried again");
}
