//! The end of one's own data: nothing of it is left anywhere, others keep what is theirs, and no crash stops it.

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, eventually, id_of};
use crate::harness::node::command;
use crate::harness::upload::{Form, encoded};
use crate::harness::world::{SECRET, sign};
use crate::harness::{User, World, tools};

/// In everything of Ada's, and in nothing else.
pub(super) const NAME: &str = "Adaeze-of-this-test";
pub(super) const SECRET_WORDS: &str = "words that only she wrote";
pub(super) const PHONE: &str = "the-registration-token-of-her-phone";

pub(super) fn issued(user: &User, seconds_ago: i64) -> User {
    let now = Timestamp::now().as_second();
    let claims = json!({
        "sub": user.id, "name": user.name, "iat": now - seconds_ago, "exp": now + 3600,
    });
    User { token: sign(&claims, SECRET), ..user.clone() }
}

pub(super) struct Stage {
    pub(super) world: World,
    pub(super) settings: Vec<(&'static str, String)>,
    ada: User,
    ben: User,
    eve: User,
    direct: Uuid,
    pub(super) group: Uuid,
    folder: std::path::PathBuf,
}

impl Stage {
    /// Ada has left something everywhere.
    pub(super) async fn set() -> Self {
        let folder = tools::folder("media");
        let settings = vec![
            ("MESSAGING_MEDIA_URL", format!("file://{}", folder.display())),
            // Over before the erasure, as it would be.
            ("MESSAGING_PRESENCE_GRACE", "100ms".to_owned()),
        ];
        let mut world = World::without_nodes().await;
        add(&mut world, &settings).await;
        let (ada, ben, eve) = (world.user(NAME), world.user("Ben"), world.user("Eve"));
        let ada = issued(&ada, 3);
        let node = world.node();
        let (as_ada, as_ben) = (node.rest(&ada), node.rest(&ben));
        // None of hers: the log begins with something that stays.
        flow::open_direct(&as_ben, &eve).await;
        let direct = flow::open_direct(&as_ada, &ben).await;
        let group = flow::open_group(&as_ada, &[ben.clone(), eve.clone()]).await;
        let first = id_of(&flow::send(&as_ada, direct, SECRET_WORDS).await);
        as_ada
            .put(
                &format!("/messages/{first}"),
                json!({"content": format!("{SECRET_WORDS}, edited")}),
            )
            .await;
        flow::send(&as_ada, group, SECRET_WORDS).await;
        let quoting =
            json!({"conversationId": direct, "content": "so you say", "replyToMessageId": first});
        let answer = id_of(&as_ben.post("/messages", quoting).await.expect(201));
        as_ada.put(&format!("/messages/{answer}/reactions/👍"), json!({})).await.expect(200);
        as_ada.post("/devices", json!({"token": PHONE, "platform": "ios"})).await.expect(201);
        let later = json!({"conversationId": direct, "content": SECRET_WORDS, "sendAt": hours(1)});
        as_ada.post("/messages", later).await.expect(201);
        let png = encoded(64, 48, image::ImageFormat::Png);
        let form = Form::file(&format!("{NAME}.png"), "image/png", &png);
        node.upload(&ada, form.with("conversationId", &direct.to_string())).await.expect(201);
        as_ben.post(&format!("/conversations/{direct}/mark-read"), json!({})).await.expect(200);
        as_ada.post(&format!("/conversations/{group}/pin"), json!({})).await.expect(200);
        Self { world, settings, ada, ben, eve, direct, group, folder }
    }

    pub(super) async fn ask(&self) -> Value {
        let fresh = issued(&self.ada, 1);
        self.world.node().rest(&fresh).delete("/me").await.expect(202)
    }

    /// As if the nodes had been given their time.
    pub(super) async fn time_passes(&self) {
        let database = self.world.database.client().await;
        let sql = "UPDATE user_erasures SET requested_at = requested_at - interval '12 seconds'";
        database.execute(sql, &[]).await.expect("a row");
    }

    pub(super) async fn stage(&self) -> String {
        let database = self.world.database.client().await;
        database.query_one("SELECT stage FROM user_erasures", &[]).await.expect("a row").get(0)
    }

    pub(super) async fn is_done(&self) {
        eventually("all is erased", async || (self.stage().await == "done").then_some(())).await;
    }

    /// Rows of any table that hold one of these words in any column.
    pub(super) async fn rows_with(&self, words: &[&str]) -> Vec<String> {
        let database = self.world.database.client().await;
        let sql = "SELECT table_name::text FROM information_schema.tables
                   WHERE table_schema = 'public' AND table_type = 'BASE TABLE'";
        let mut found = Vec::new();
        for table in database.query(sql, &[]).await.expect("tables") {
            let table: String = table.get(0);
            for word in words {
                let sql =
                    format!("SELECT t::text FROM {table} t WHERE t::text LIKE '%' || $1 || '%'");
                let rows = database.query(&sql, &[word]).await.expect("rows");
                found
                    .extend(rows.iter().map(|row| format!("{table}: {}", row.get::<_, String>(0))));
            }
        }
        found
    }

    pub(super) async fn verified(&self) -> (bool, Value) {
        let id = self.ada.id.to_string();
        let settings = self.world.settings(&[]);
        let run = tokio::task::spawn_blocking(move || {
            command(&["admin", "--json", "user", "verify-erased", &id], &settings).output()
        });
        let output = run.await.expect("run").expect("run");
        let text = String::from_utf8_lossy(&output.stdout);
        let value = serde_json::from_str(&text);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), value.unwrap_or_else(|_| panic!("{text}{said}")))
    }
}

pub(super) async fn add(world: &mut World, settings: &[(&'static str, String)]) {
    let own: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    world.add_node(&[UNPACED, &own].concat()).await;
}

fn hours(hours: i64) -> String {
    (Timestamp::now() + jiff::SignedDuration::from_hours(hours)).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_needs_a_fresh_token_and_says_what_it_does_when_asked_again() {
    let world = World::start_with(UNPACED).await;
    let ada = world.user("Ada");
    for stale in [ada.clone(), issued(&ada, 301), issued(&ada, -120)] {
        let refused = world.node().rest(&stale).delete("/me").await;
        refused.refused(StatusCode::UNAUTHORIZED, "unauthenticated");
    }
    assert_eq!(world.node().rest(&ada).get("/conversations").await.status, 200);
    let fresh = issued(&ada, 2);
    let rest = world.node().rest(&fresh);
    let first = rest.delete("/me").await.expect(202);
    assert_eq!((first["status"].as_str(), &first["finishedAt"]), (Some("erasing"), &Value::Null));
    assert_eq!(rest.delete("/me").await.expect(202), first, "the same again");
    rest.get("/conversations").await.refused(StatusCode::FORBIDDEN, "forbidden");
    rest.get("/me/export").await.refused(StatusCode::FORBIDDEN, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_user_is_left_and_others_keep_what_is_theirs() {
    let stage = Stage::set().await;
    let world = &stage.world;
    let (mut her, mut his) = (world.node().ws(&stage.ada).await, world.node().ws(&stage.ben).await);
    stage.ask().await;
    assert_eq!(her.closed().await, 4403);
    stage.time_passes().await;
    his.event("messageDeleted").await;
    stage.is_done().await;

    let words = [NAME, SECRET_WORDS, PHONE];
    assert_eq!(stage.rows_with(&words).await, Vec::<String>::new());
    for event in world.logged().await {
        let text = event.data.to_string();
        assert!(words.iter().all(|word| !text.contains(word)), "{}: {text}", event.seq);
    }
    assert_eq!(crate::harness::s3::files(&stage.folder), 0, "no files");
    let (clean, report) = stage.verified().await;
    assert!(clean, "{report:#}");

    // Others have what they wrote, her places are tombstones, and the group goes on without her.
    let as_ben = world.node().rest(&stage.ben);
    let said = flow::history(&as_ben, stage.direct, 50).await;
    let shown = said.iter().map(|m| (m["content"].as_str().expect("text"), m["isDeleted"] == true));
    assert_eq!(shown.collect::<Vec<_>>(), [("", true), ("so you say", false)]);
    assert_eq!(said[1]["replyTo"]["content"], "");
    assert_eq!(said[1]["reactions"], json!({}));
    let direct = as_ben.get(&format!("/conversations/{}", stage.direct)).await.expect(200);
    let people = direct["participants"].as_array().expect("people").iter();
    let gone = people.clone().find(|p| p["userId"] == json!(stage.ada.id)).expect("a place");
    assert_eq!(gone["displayName"], "Deleted user");
    let group = as_ben.get(&format!("/conversations/{}", stage.group)).await.expect(200);
    assert_eq!(group["participantCount"], 2);
    let admins = group["participants"].as_array().expect("people").iter();
    assert_eq!(admins.filter(|p| p["role"] == "admin").count(), 1, "somebody is in charge");
    assert_eq!(world.node().rest(&stage.eve).get("/conversations").await.status, 200);

    // A token from before is worthless, a later one begins anew.
    let before = world.node().rest(&issued(&stage.ada, 60));
    eventually("known to the node", async || {
        let answer = before.get("/conversations").await;
        assert!(matches!(answer.status, 401 | 403), "{answer:?}");
        (answer.status == 401).then_some(())
    })
    .await;
    let anew = issued(&stage.ada, 0);
    let rest = world.node().rest(&anew);
    let list = eventually("a new beginning", async || {
        let list = rest.get("/conversations").await;
        (list.status == 200).then_some(list.body)
    });
    assert_eq!(list.await["total"], 1, "the direct one has two people for good");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_found() {
    let stage = Stage::set().await;
    let (clean, report) = stage.verified().await;
    assert!(!clean);
    let found = report["places"].as_array().expect("places").iter();
    let found: Vec<&str> = found
        .filter(|place| place["traces"].as_u64().is_some_and(|traces| traces > 0))
        .filter_map(|place| place["place"].as_str())
        .collect();
    for place in [
        "messages.sender_id",
        "users.id",
        "devices.user_id",
        "media.owner_id",
        "log",
        "reactions.user_id",
        "scheduled_messages.sender_id",
        "conversation_changes.payload",
        "conversation_participants.user_id",
    ] {
        assert!(found.contains(&place), "{place} in {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legal_hold_keeps_its_conversation_and_the_end_waits_for_it() {
    let stage = Stage::set().await;
    let database = stage.world.database.client().await;
    let hold = "UPDATE conversations SET held_at = CASE WHEN $2 THEN now() END WHERE id = $1";
    database.execute(hold, &[&stage.direct, &true]).await.expect("a row");
    stage.ask().await;
    stage.time_passes().await;
    let sql = "SELECT stage, held FROM user_erasures";
    eventually("it waits", async || {
        let row = database.query_one(sql, &[]).await.expect("a row");
        (row.get::<_, &str>(0) == "closing" && row.get::<_, i64>(1) == 1).then_some(())
    })
    .await;
    let kept = stage.world.rows(stage.direct).await;
    assert!(kept[0].content.contains(SECRET_WORDS), "{kept:?}");
    let elsewhere = stage.world.rows(stage.group).await;
    assert!(elsewhere[0].deleted && elsewhere[0].content.is_empty(), "{elsewhere:?}");
    assert!(!stage.verified().await.0);
    database.execute(hold, &[&stage.direct, &false]).await.expect("a row");
    let sql = "UPDATE user_erasures SET changed_at = changed_at - interval '1 minute'";
    database.execute(sql, &[]).await.expect("a row");
    stage.is_done().await;
    assert_eq!(stage.rows_with(&[NAME, SECRET_WORDS, PHONE]).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_begins_later_replays_what_others_said_although_the_log_has_it_no_more() {
    let mut stage = Stage::set().await;
    let as_ben = stage.world.node().rest(&stage.ben);
    let before =
        as_ben.get("/sync").await.expect(200)["cursor"].as_str().expect("a cursor").to_owned();
    let said = flow::history(&as_ben, stage.direct, 50).await;
    let quoting = json!({
        "conversationId": stage.direct, "content": "quoted once more", "replyToMessageId": id_of(&said[0]),
    });
    let seq = as_ben.post("/messages", quoting).await.expect(201)["seq"].as_u64().expect("a place");
    stage.ask().await;
    stage.time_passes().await;
    stage.is_done().await;
    stage.world.erased(seq).await;
    add(&mut stage.world, &stage.settings).await;
    let later = stage.world.nodes()[1].rest(&stage.ben);
    let missed = later.get(&format!("/sync?cursor={before}")).await.expect(200);
    let events = missed["events"].as_array().expect("events").iter();
    let mut texts = events.filter_map(|event| event["data"]["content"].as_str());
    assert!(texts.any(|text| text == "quoted once more"), "{missed:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn afterwards_the_log_and_postgres_agree_and_no_repair_brings_anything_back() {
    let stage = Stage::set().await;
    let world = &stage.world;
    stage.ask().await;
    stage.time_passes().await;
    stage.is_done().await;
    world.persisted().await;
    let settings: Vec<_> =
        stage.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let agree = async |arguments: &[&str]| {
        let arguments = [&["admin", "verify", "--json"], arguments].concat();
        let mut run = command(&arguments, &world.settings(&settings));
        let output = tokio::task::spawn_blocking(move || run.output()).await.expect("run");
        let output = output.expect("run");
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    };
    agree(&[]).await;
    let rows = async || {
        let database = world.database.client().await;
        let sql = "SELECT (SELECT json_agg(m ORDER BY seq)::text FROM messages m),
                          (SELECT json_agg(c ORDER BY seq)::text FROM conversation_changes c),
                          (SELECT json_agg(c ORDER BY user_id, seq)::text FROM membership_changes c),
                          (SELECT json_agg(c ORDER BY seq)::text FROM message_changes c)";
        let row = database.query_one(sql, &[]).await.expect("a row");
        [0, 1, 2, 3].map(|at| row.get::<_, Option<String>>(at))
    };
    let before = rows().await;
    let database = world.database.client().await;
    // So that all of the log is applied again.
    let damage =
        "UPDATE conversations SET message_count = message_count + 1, participant_count = 9;
                  DELETE FROM message_changes WHERE kind = 'delete'";
    database.batch_execute(damage).await.expect("rows");
    agree(&["--repair", "--yes", "--reason", "a test"]).await;
    assert_eq!(rows().await, before);
    assert_eq!(stage.rows_with(&[NAME, SECRET_WORDS, PHONE]).await, Vec::<String>::new());
    assert!(stage.verified().await.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_they_have_blocked_is_told_by_every_node_that_it_is_over() {
    let stage = Stage::set().await;
    let (as_ada, as_ben) =
        (stage.world.node().rest(&stage.ada), stage.world.node().rest(&stage.ben));
    let block = format!("/blocks/{}", stage.ben.id);
    as_ada.call(Method::PUT, &block, None).await.expect(204);
    let said = json!({"conversationId": stage.direct, "content": "are you there?"});
    as_ben.post("/messages", said.clone()).await.refused(StatusCode::FORBIDDEN, "forbidden");
    // Longer ago than any node looks back.
    let database = stage.world.database.client().await;
    let sql = "UPDATE block_pairs SET changed_at = changed_at - interval '1 hour'";
    database.execute(sql, &[]).await.expect("a row");
    stage.ask().await;
    stage.time_passes().await;
    stage.is_done().await;
    eventually("the node knows", async || {
        (as_ben.post("/messages", said.clone()).await.status == 201).then_some(())
    })
    .await;
}
