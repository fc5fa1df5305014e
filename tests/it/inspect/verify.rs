//! Damage to Postgres is found, and repaired from the log.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{document, said};
use crate::harness::flow::{self, UNPACED, place_of};
use crate::harness::upload::{Form, encoded};
use crate::harness::{User, World, tools};

const REPAIR: [&str; 6] = ["verify", "--repair", "--yes", "--reason", "a test", "--json"];

/// A group with messages, an edited one, a deleted one and one with a reaction; and a file.
struct Scene {
    world: World,
    media: String,
    ben: User,
    group: Uuid,
    messages: Vec<Value>,
}

impl Scene {
    async fn set() -> Self {
        let media = format!("file://{}", tools::folder("media").display());
        let settings = [UNPACED, &[("MESSAGING_MEDIA_URL", media.as_str())]].concat();
        let world = World::start_with(&settings).await;
        let (ada, ben) = (world.user("Ada"), world.user("Ben"));
        let rest = world.node().rest(&ada);
        let group = flow::open_group(&rest, std::slice::from_ref(&ben)).await;
        let mut messages = Vec::new();
        for number in 0..8 {
            messages.push(flow::send(&rest, group, &number.to_string()).await);
        }
        let path = |at: usize| format!("/messages/{}", flow::id_of(&messages[at]));
        rest.put(&path(1), json!({"content": "edited"})).await.expect(200);
        rest.put(&path(1), json!({"content": "edited again"})).await.expect(200);
        rest.delete(&path(2)).await.expect(200);
        let reaction = format!("{}/reactions/👍", path(3));
        world.node().rest(&ben).put(&reaction, json!({})).await.expect(200);
        let png = encoded(8, 8, image::ImageFormat::Png);
        let form =
            Form::file("p.png", "image/png", &png).with("conversationId", &group.to_string());
        let file = world.node().upload(&ada, form).await.expect(201);
        let picture = json!({"conversationId": group, "content": "", "type": "image",
            "metadata": {"imageUrl": file["url"], "imageWidth": 8, "imageHeight": 8}});
        messages.push(rest.post("/messages", picture).await.expect(201));
        world.persisted().await;
        world.erased(place_of(&messages[2]).0).await;
        Self { world, media, ben, group, messages }
    }

    async fn sql(&self, statement: &str) {
        let database = self.world.database.client().await;
        database.batch_execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }

    fn seq(&self, at: usize) -> u64 {
        place_of(&self.messages[at]).0
    }

    async fn verify(&self, arguments: &[&str]) -> (bool, Value) {
        let settings = [("MESSAGING_MEDIA_URL", self.media.as_str())];
        let output = self.world.admin_with(arguments, &settings).await;
        (output.status.success(), document(&output))
    }

    /// The numbers of each kind of difference.
    async fn wrong(&self) -> BTreeMap<String, u64> {
        let (fine, report) = self.verify(&["verify", "--json"]).await;
        let counts: BTreeMap<String, u64> =
            serde_json::from_value(report["counts"].clone()).expect("numbers");
        assert_eq!(fine, counts.is_empty(), "{report}");
        counts
    }

    async fn history(&self) -> Vec<Value> {
        flow::history(&self.world.node().rest(&self.ben), self.group, 50).await
    }
}

fn counts(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

#[tokio::test]
async fn what_is_right_has_no_differences_and_what_is_damaged_is_found_and_rebuilt_from_the_log() {
    let scene = Scene::set().await;
    assert_eq!(scene.wrong().await, counts(&[]));
    let before = scene.history().await;
    let unread = flow::unread(&scene.world.node().rest(&scene.ben), scene.group).await;

    let [lost, edited, reacted, changed, buried] = [0, 1, 3, 4, 5].map(|at| scene.seq(at));
    scene.sql(&format!("DELETE FROM messages WHERE seq = {lost}")).await;
    // Back to before its second edit.
    scene
        .sql(&format!(
            "UPDATE messages SET content = 'edited', changed_seq = changed_seq - 1 WHERE seq = {edited}"
        ))
        .await;
    scene
        .sql(&format!(
            "UPDATE messages SET content = 'x', sender_id = gen_random_uuid() WHERE seq = {changed}"
        ))
        .await;
    scene
        .sql(&format!("UPDATE messages SET content = '', deleted_at = now() WHERE seq = {buried}"))
        .await;
    scene.sql("UPDATE reactions SET added = false").await;
    scene.sql(&format!("INSERT INTO reactions SELECT id, sender_id, 'x', conversation_id, seq, {reacted}, true FROM messages WHERE seq = {reacted}")).await;
    scene.sql("DELETE FROM message_changes WHERE kind = 'delete'").await;
    scene.sql("UPDATE conversation_changes SET payload = '{}'").await;
    scene.sql("DELETE FROM membership_changes").await;
    scene.sql("DELETE FROM media_uses").await;
    let found = scene.wrong().await;
    let expected = counts(&[
        ("changeMissing", 4),
        ("countersWrong", 0),
        ("editMissing", 1),
        ("mediaUnnamed", 1),
        ("mediaUseMissing", 1),
        ("messageDiffers", 1),
        ("messageMissing", 1),
        ("reactionDiffers", 1),
        ("reactionUnknown", 1),
        ("tombstoneUnfounded", 1),
    ]);
    let expected: BTreeMap<_, _> = expected.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(found, expected);

    let (fine, dry) = scene.verify(&[&REPAIR[..], &["--dry-run"]].concat()).await;
    assert!(!fine && dry["repaired"].is_null(), "{dry}");
    assert_eq!(scene.wrong().await, found, "nothing was changed");
    let (fine, report) = scene.verify(&REPAIR).await;
    assert!(fine, "{report}");
    assert_eq!(scene.wrong().await, counts(&[]));
    assert_eq!(scene.history().await, before);
    assert_eq!(flow::unread(&scene.world.node().rest(&scene.ben), scene.group).await, unread);
    let sql = "SELECT DISTINCT reason FROM audit WHERE action = 'verify --repair' AND target = $1";
    let database = scene.world.database.client().await;
    let noted = database.query(sql, &[&scene.group.to_string()]).await.expect("rows");
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].get::<_, &str>(0), "a test");

    // The persister goes on where it was.
    let rest = scene.world.node().rest(&scene.ben);
    flow::send(&rest, scene.group, "after").await;
    scene.world.persisted().await;
    assert_eq!(scene.wrong().await, counts(&[]));
}

#[tokio::test]
async fn counters_and_markers_are_recounted() {
    let scene = Scene::set().await;
    let last = scene.seq(8);
    scene.sql(&format!("UPDATE messages SET counter = 42 WHERE seq = {last}")).await;
    scene.sql("UPDATE conversations SET message_count = 77, participant_count = 5, last_message_seq = 1").await;
    scene
        .sql("UPDATE conversation_participants SET last_read_counter = 99, delivered_seq = 1000000")
        .await;
    let expected = counts(&[
        ("countersWrong", 1),
        ("lastMessageWrong", 1),
        ("markerWrong", 1),
        ("participantsWrong", 1),
    ]);
    assert_eq!(scene.wrong().await, expected);
    let (fine, report) = scene.verify(&REPAIR).await;
    assert!(fine, "{report}");
    scene.world.counters_are_dense(scene.group).await;
    assert_eq!(scene.wrong().await, counts(&[]));
}

#[tokio::test]
async fn a_message_that_only_postgres_has_stays_unless_it_is_told_to_go() {
    let scene = Scene::set().await;
    let lost = scene.seq(6);
    scene.world.log().await.delete_message(lost).await.expect("erased");
    assert_eq!(scene.wrong().await, counts(&[("messageUnknown", 1)]));
    let (fine, report) = scene.verify(&REPAIR).await;
    assert!(!fine, "{report}");
    assert_eq!(report["repaired"]["left"][0]["kind"], "messageUnknown");
    assert_eq!(scene.world.rows(scene.group).await.len(), 9);
    let drop = [&REPAIR[..], &["--drop-unknown"]].concat();
    scene.sql("UPDATE conversations SET held_at = now()").await;
    let (fine, report) = scene.verify(&drop).await;
    assert!(!fine, "under a legal hold nothing goes: {report}");
    assert_eq!(scene.world.rows(scene.group).await.len(), 9);
    scene.sql("UPDATE conversations SET held_at = NULL").await;
    let (fine, report) = scene.verify(&drop).await;
    assert!(fine, "{report}");
    assert_eq!(scene.world.rows(scene.group).await.len(), 8);
    scene.world.counters_are_dense(scene.group).await;
}

#[tokio::test]
async fn it_begins_where_it_is_told_to_and_parked_events_are_no_differences() {
    let scene = Scene::set().await;
    let place =
        scene.world.put_into_log(scene.group, "newMessage", &json!({"not": "a message"})).await;
    scene.world.put_into_log(Uuid::new_v4(), "messageDeleted", &json!([])).await;
    scene.world.persisted().await;
    let (fine, report) = scene.verify(&["verify", "--json"]).await;
    assert!(fine, "{report}");
    assert_eq!(report["parked"], 2);
    let since = place.to_string();
    let (fine, report) = scene.verify(&["verify", "--json", "--since", &since]).await;
    assert!(fine && report["from"] == place && report["events"] == 2, "{report}");
    let only = scene.group.to_string();
    let arguments = ["verify", "--json", "--since", "1h", "--conversation", &only];
    let (fine, report) = scene.verify(&arguments).await;
    assert!(fine && report["conversations"] == 1, "{report}");
    assert_eq!(report["from"], 1, "all of it is younger");

    for (arguments, sentence) in [
        (
            vec!["verify", "--conversation", "00000000-0000-4000-8000-000000000001"],
            "There is no conversation",
        ),
        (vec!["verify", "--since", "yesterday"], "expected a sequence"),
        (vec!["verify", "--drop-unknown"], "--repair"),
    ] {
        let output = scene.world.admin(&arguments).await;
        assert!(!output.status.success() && said(&output).contains(sentence), "{}", said(&output));
    }
}
