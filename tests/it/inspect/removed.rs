//! What the service removes on purpose is no difference, and no repair brings it back.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use uuid::Uuid;

use super::document;
use crate::harness::flow::{self, UNPACED, eventually, id_of, place_of};
use crate::harness::s3::{self, S3};
use crate::harness::upload::{Form, encoded};
use crate::harness::{World, tools};

const REPAIR: [&str; 6] = ["verify", "--repair", "--yes", "--reason", "a test", "--json"];

/// `messaging admin verify …`: whether all is well, and the report.
async fn verify(world: &World, arguments: &[&str], settings: &[(&str, &str)]) -> (bool, Value) {
    let output = world.admin_with(arguments, settings).await;
    (output.status.success(), document(&output))
}

#[tokio::test]
async fn what_retention_has_removed_is_not_missing_and_stays_away() {
    let world =
        World::start_with(&[UNPACED, &[("MESSAGING_RETENTION_GROUP", "1h")]].concat()).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&ben));
    let group = flow::open_group(&rest, std::slice::from_ref(&ben)).await;
    let mut messages = Vec::new();
    for text in ["deleted", "edited", "liked", "plain", "kept"] {
        messages.push(flow::send(&rest, group, text).await);
    }
    let path = |at: usize| format!("/messages/{}", id_of(&messages[at]));
    rest.delete(&path(0)).await.expect(200);
    rest.put(&path(1), json!({"content": "edited!"})).await.expect(200);
    other.put(&format!("{}/reactions/👍", path(2)), json!({})).await.expect(200);
    world.persisted().await;

    let old: Vec<Uuid> = messages[..4].iter().map(id_of).collect();
    let database = world.database.client().await;
    let sql = "UPDATE messages SET created_at = now() - interval '2 hours' WHERE id = ANY($1)";
    database.execute(sql, &[&old]).await.expect("rows");
    eventually("removed", async || (world.rows(group).await.len() == 1).then_some(())).await;
    for message in &messages[..4] {
        world.erased(place_of(message).0).await;
    }
    let (fine, report) = verify(&world, &["verify", "--json"], &[]).await;
    assert!(fine, "{report}");

    // As it is between a removal and the erasure of its places in the log, and after damage to what is left.
    let last = &messages[4];
    let sql = "DELETE FROM messages WHERE id = $1";
    database.execute(sql, &[&id_of(last)]).await.expect("a row");
    let sql = "UPDATE conversations SET removed_through = message_count, removed_through_seq = last_message_seq
               WHERE id = $1";
    database.execute(sql, &[&group]).await.expect("a row");
    let damage = "DELETE FROM conversation_changes; UPDATE conversations SET participant_count = 7";
    database.batch_execute(damage).await.expect("rows");
    let (fine, report) = verify(&world, &REPAIR, &[]).await;
    assert!(fine, "{report}");
    assert_eq!(report["counts"]["messageMissing"], Value::Null, "{report}");
    assert_eq!(world.rows(group).await, []);
    let rows = database.query("SELECT FROM message_changes", &[]).await.expect("rows");
    assert_eq!(rows.len(), 0, "nor what was done to them");
    let shown = rest.get(&format!("/conversations/{group}")).await.expect(200);
    assert_eq!((&shown["unreadCount"], &shown["lastMessage"]), (&json!(0), &Value::Null));
    let next = flow::send(&rest, group, "and on it goes").await;
    assert_eq!(flow::unread(&other, group).await, 1);
    assert_eq!(flow::history(&other, group, 10).await[0]["id"], next["id"]);
    let (fine, report) = verify(&world, &["verify", "--json"], &[]).await;
    assert!(fine, "{report}");
}

/// A file in the folder of the media, as old as that.
fn put(folder: &Path, name: &str, age: Duration) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(&path, "bytes").expect("written");
    let file = std::fs::File::options().write(true).open(&path).expect("open");
    file.set_modified(SystemTime::now() - age).expect("set back");
    path
}

#[tokio::test]
async fn bytes_that_no_row_knows_of_are_found_and_removed_once_no_upload_can_be_theirs() {
    let folder = tools::folder("media");
    let url = format!("file://{}", folder.display());
    let settings = [("MESSAGING_MEDIA_URL", url.as_str())];
    let world = World::start_with(&[UNPACED, &settings].concat()).await;
    let ada = world.user("Ada");
    let png = encoded(64, 64, image::ImageFormat::Png);
    world.node().upload(&ada, Form::file("p.png", "image/png", &png)).await.expect(201);
    let known = s3::files(&folder);
    let (day, hour) = (Duration::from_secs(25 * 3600), Duration::from_secs(3600));
    let strays = [
        put(&folder, "media/0a/6f2c1e9a-3a50-4a5e-9d63-5f2f0b1c770a", day),
        put(&folder, "thumbnails/0b/6f2c1e9a-3a50-4a5e-9d63-5f2f0b1c770b", day),
    ];
    let others = [
        put(&folder, "media/0c/6f2c1e9a-3a50-4a5e-9d63-5f2f0b1c770c", hour),
        put(&folder, "media/0d/somebody-elses", day),
        put(&folder, "elsewhere/6f2c1e9a-3a50-4a5e-9d63-5f2f0b1c770e", day),
    ];
    let (fine, report) = verify(&world, &["verify", "--json"], &settings).await;
    assert!(!fine && report["counts"] == json!({"objectUnknown": 2}), "{report}");
    let without = ["verify", "--json", "--no-objects"];
    assert!(verify(&world, &without, &settings).await.0, "nobody has looked");
    let dry = [&REPAIR[..], &["--dry-run"]].concat();
    let (fine, report) = verify(&world, &dry, &settings).await;
    assert!(!fine && report["differences"] == 2 && report["repaired"].is_null(), "{report}");
    assert!(strays.iter().all(|path| path.exists()), "a dry run changes nothing");
    let (fine, report) = verify(&world, &REPAIR, &settings).await;
    assert!(fine && report["repaired"]["files"] == 2, "{report}");
    assert!(!strays.iter().any(|path| path.exists()));
    assert!(others.iter().all(|path| path.exists()));
    assert_eq!(s3::files(&folder), known + others.len());
    let database = world.database.client().await;
    let sql = "SELECT target FROM audit WHERE action = 'verify --repair'";
    let noted = database.query_one(sql, &[]).await.expect("a row");
    assert_eq!(noted.get::<_, &str>(0), "2 objects");
    assert!(verify(&world, &["verify", "--json"], &settings).await.0);
}

#[tokio::test]
async fn a_store_that_hardly_any_row_knows_is_left_alone_unless_somebody_insists() {
    let folder = tools::folder("media");
    let url = format!("file://{}", folder.display());
    let settings = [("MESSAGING_MEDIA_URL", url.as_str())];
    let world = World::start_with(&[UNPACED, &settings].concat()).await;
    for _ in 0..101 {
        let key = Uuid::new_v4();
        let name = format!("media/{:02x}/{key}", key.as_bytes()[15]);
        put(&folder, &name, Duration::from_secs(25 * 3600));
    }
    let (fine, report) = verify(&world, &REPAIR, &settings).await;
    assert!(!fine && report["repaired"]["files"] == 0, "{report}");
    let left = report["repaired"]["left"][0]["detail"].as_str().expect("a sentence");
    assert!(left.contains("--drop-unknown"), "{left}");
    assert_eq!(s3::files(&folder), 101);
    let insisting = [&REPAIR[..], &["--drop-unknown"]].concat();
    let (fine, report) = verify(&world, &insisting, &settings).await;
    assert!(fine && report["repaired"]["files"] == 101, "{report}");
    assert_eq!(s3::files(&folder), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_are_those_in_a_bucket_under_the_prefix_that_is_ours() {
    let s3 = S3::start().await;
    let mut settings = s3.settings();
    settings.push(("MESSAGING_MEDIA_URL", "s3://files/ours".to_owned()));
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let world = World::start_with(&[UNPACED, &settings].concat()).await;
    let ada = world.user("Ada");
    let png = encoded(64, 64, image::ImageFormat::Png);
    world.node().upload(&ada, Form::file("p.png", "image/png", &png)).await.expect(201);
    let known = s3.objects();
    let day = Duration::from_secs(25 * 3600);
    let stray = put(&s3.bucket(), "ours/media/0a/6f2c1e9a-3a50-4a5e-9d63-5f2f0b1c770a", day);
    let other = put(&s3.bucket(), "theirs/media/0b/6f2c1e9a-3a50-4a5e-9d63-5f2f0b1c770b", day);
    let (fine, report) = verify(&world, &REPAIR, &settings).await;
    assert!(fine && report["counts"] == json!({"objectUnknown": 1}), "{report}");
    assert!(!stray.exists() && other.exists());
    assert_eq!(s3.objects(), known + 1);
}

#[tokio::test]
async fn what_is_repaired_is_found_by_its_words_and_by_no_others() {
    let world = World::start_with(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.node().rest(&ada);
    let group = flow::open_group(&rest, &[ben]).await;
    let mut seqs = Vec::new();
    for text in ["yam porridge", "okra soup", "egusi soup", "only in the table"] {
        seqs.push(place_of(&flow::send(&rest, group, text).await).0);
    }
    world.persisted().await;
    crate::search::indexed(&world).await;
    let database = world.database.client().await;
    let index = async || {
        let sql = "SELECT seq || ' ' || words::text FROM message_search UNION ALL
                   SELECT word || ' ' || messages FROM search_words WHERE messages > 0 ORDER BY 1";
        let rows = database.query(sql, &[]).await.expect("rows");
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
    };
    let before = index().await;
    let damage = format!(
        "UPDATE messages SET content = 'cassava' WHERE seq = {};
         UPDATE messages SET content = '', deleted_at = now() WHERE seq = {};
         DELETE FROM messages WHERE seq = {}",
        seqs[0], seqs[1], seqs[2]
    );
    database.batch_execute(&damage).await.expect("damaged");
    let output = world.admin(&["search", "rebuild", "--json"]).await;
    assert!(output.status.success());
    assert_ne!(index().await, before);
    let (fine, report) = verify(&world, &REPAIR, &[]).await;
    assert!(fine, "{report}");
    assert_eq!(index().await, before);

    world.log().await.delete_message(seqs[3]).await.expect("erased");
    let (fine, report) = verify(&world, &[&REPAIR[..], &["--drop-unknown"]].concat(), &[]).await;
    assert!(fine, "{report}");
    let after = index().await;
    assert!(!after.iter().any(|entry| entry.contains("table")), "{after:?}");
}
