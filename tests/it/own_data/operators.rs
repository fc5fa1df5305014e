//! A user's own data by operators: the same copy, the same end, noted.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::export::{Unpacked, with_files};
use crate::harness::flow::{self, UNPACED, eventually};
use crate::harness::upload::{Form, encoded};
use crate::harness::{World, tools};

async fn actions(world: &World) -> Vec<(String, Value)> {
    let rows = world.run_admin_json(&["audit"]).await;
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| (row["action"].as_str().expect("a word").to_owned(), row["reason"].clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_hands_out_the_copy_that_the_user_would_get() {
    let url = format!("file://{}", tools::folder("media").display());
    let place = [("MESSAGING_MEDIA_URL", url.as_str())];
    let world = World::start_with(&[UNPACED, &place].concat()).await;
    let node = world.node();
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = node.rest(&ada);
    let direct = flow::open_direct(&rest, &ben).await;
    flow::send(&rest, direct, "mine").await;
    flow::send(&node.rest(&ben), direct, "to me").await;
    let png = encoded(64, 48, image::ImageFormat::Png);
    node.upload(&ada, Form::file("me.png", "image/png", &png)).await.expect(201);
    world.persisted().await;

    let (folder, id) = (tools::folder("copy"), ada.id.to_string());
    let path = folder.join("ada.zip");
    let out = path.to_str().expect("text");
    let export = ["user", "export", &id, "--out", out, "--reason", "she wrote to us"];
    world.run_admin_json(&[&export[..], &["--dry-run"]].concat()).await;
    assert!(!path.exists(), "a dry run makes nothing");
    let refused = world.run_admin(&export).await;
    refused.refused(&["MESSAGING_MEDIA_URL"]);
    assert!(!path.exists(), "rather nothing than a part of it");
    let database = world.database.client().await;
    database.batch_execute("ALTER TABLE audit RENAME TO nowhere").await.expect("no audit");
    assert_eq!(world.run_admin_with(&place, &export).await.code, Some(1));
    assert!(!path.exists(), "what cannot be noted is not made");
    database.batch_execute("ALTER TABLE nowhere RENAME TO audit").await.expect("an audit");
    let as_json = [&["--json"], &export[..]].concat();
    let made = world.run_admin_with(&place, &as_json).await.json();
    assert_eq!((&made["messages"], &made["files"]), (&json!(2), &json!(1)));
    let archive = std::fs::read(&path).expect("a file");
    let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may read it");
    assert_eq!(made["bytes"], json!(archive.len()));
    let copy = Unpacked::of(&archive);
    assert_eq!(copy.contents(), ["mine", "to me"]);
    assert_eq!(copy.files.len(), 2, "the picture and what explains the rest");
    world.run_admin_with(&place, &export).await.refused(&["cannot be made"]);
    assert_eq!(std::fs::read(&path).expect("a file"), archive, "what is there stays");

    let nobody = "00000000-0000-4000-8000-000000000001";
    let other = folder.join("nobody.zip");
    let strange = ["user", "export", nobody, "--out", other.to_str().expect("text")];
    world.run_admin(&strange).await.refused(&["no user"]);
    assert!(!other.exists());
    assert_eq!(actions(&world).await, [("user export".to_owned(), json!("she wrote to us"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_a_users_data_and_proves_it() {
    let world = with_files().await;
    let node = world.node();
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = node.rest(&ada);
    let direct = flow::open_direct(&rest, &ben).await;
    flow::send(&rest, direct, "what only she wrote").await;
    flow::send(&node.rest(&ben), direct, "his").await;
    world.persisted().await;
    let mut ws = node.ws(&ada).await;
    let id = ada.id.to_string();
    let proof = ["--json", "user", "verify-erased", &id];
    let before = world.run_admin(&proof).await;
    assert_eq!(before.code, Some(1));
    assert!(before.stdout.contains("nobody has asked"), "{}", before.stdout);

    let erase = ["user", "erase", &id];
    world.run_admin(&erase).await.refused(&["--reason", "nothing was changed"]);
    let erase = [&erase[..], &["--reason", "a court says so"]].concat();
    world.run_admin(&erase).await.refused(&["--yes"]);
    let tried = world.run_admin_json(&[&erase[..], &["--dry-run"]].concat()).await;
    assert_eq!(tried["conversations"], 1);
    assert_eq!(rest.get("/conversations").await.status, 200, "nothing was changed");
    let erase = [&erase[..], &["--yes"]].concat();
    let begun = world.run_admin_json(&erase).await;
    assert_eq!((&begun["user"], &begun["finishedAt"]), (&json!(ada.id), &Value::Null));
    assert_eq!(ws.closed().await, 4403);
    let again = world.run_admin_json(&erase).await;
    assert_eq!(again["requestedAt"], begun["requestedAt"], "it is under way");

    let database = world.database.client().await;
    let sql = "UPDATE user_erasures SET requested_at = requested_at - interval '12 seconds'";
    database.execute(sql, &[]).await.expect("as if the nodes had been given their time");
    let after = eventually("it is proven", async || {
        let said = world.run_admin(&proof).await;
        (said.code == Some(0)).then_some(said)
    });
    let after = after.await.json();
    assert_eq!((&after["erased"], &after["traces"]), (&json!(true), &json!(0)));
    let said = flow::history(&node.rest(&ben), direct, 50).await;
    let said: Vec<&str> = said.iter().filter_map(|message| message["content"].as_str()).collect();
    assert_eq!(said, ["", "his"]);
    let done = actions(&world).await;
    assert_eq!(done, [("user erase".to_owned(), json!("a court says so"))]);
}
