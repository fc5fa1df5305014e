//! A copy of one's own data: whole, resumable, and nobody else's.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;
use zip::ZipArchive;

use crate::harness::flow::{self, UNPACED, eventually, id_of};
use crate::harness::upload::{Form, encoded};
use crate::harness::{Node, User, World, tools};

const EXPORT: &str = "/messaging/me/export";

/// What is in an archive: lines of text by name, and the bytes of other files.
pub(super) struct Unpacked {
    pub(super) lines: BTreeMap<String, Vec<Value>>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

impl Unpacked {
    pub(super) fn of(archive: &[u8]) -> Self {
        let mut zip = ZipArchive::new(Cursor::new(archive)).expect("a whole archive");
        let (mut lines, mut files) = (BTreeMap::new(), BTreeMap::new());
        for at in 0..zip.len() {
            let mut entry = zip.by_index(at).expect("an entry");
            let name = entry.name().expect("a name").into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("its bytes, with the right sum");
            match name.strip_suffix(".ndjson") {
                Some(name) => {
                    let text = String::from_utf8(bytes).expect("text");
                    let read = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
                    lines.insert(name.to_owned(), read.collect());
                }
                None => _ = files.insert(name, bytes),
            }
        }
        Self { lines, files }
    }

    pub(super) fn contents(&self) -> Vec<&str> {
        let all = self.lines["messages"].iter();
        all.map(|message| message["content"].as_str().expect("content")).collect()
    }
}

/// Asks until it is ready.
async fn archive(node: &Node, user: &User) -> Vec<u8> {
    eventually("a copy is ready", async || {
        let answer = node.fetch(Some(user), EXPORT).await;
        match answer.status().as_u16() {
            200 => Some(answer.bytes().await.expect("all of it").to_vec()),
            202 => {
                assert!(answer.headers().contains_key("retry-after"));
                None
            }
            other => panic!("{other}: {:?}", answer.text().await),
        }
    })
    .await
}

pub(super) async fn with_files() -> World {
    let url = format!("file://{}", tools::folder("media").display());
    World::start_with(&[UNPACED, &[("MESSAGING_MEDIA_URL", url.as_str())]].concat()).await
}

/// Neither how far they have read nor when they were here.
fn tells_nothing_of_others(copy: &Unpacked, conversation: Uuid, own: &User) {
    let mut shown = copy.lines["conversations"].iter();
    let shown = shown.find(|c| c["id"] == json!(conversation)).expect("the conversation");
    let people = shown["participants"].as_array().expect("people").iter();
    for person in people.filter(|person| person["userId"] != json!(own.id)) {
        let traces = (&person["lastReadSeq"], &person["lastSeenAt"], &person["deliveredSeq"]);
        assert_eq!(traces, (&json!(0), &Value::Null, &json!(0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_what_is_ones_own_and_what_one_may_read_among_a_few() {
    let world = with_files().await;
    let node = world.node();
    let (ada, ben, eve) = (world.user("Ada"), world.user("Ben"), world.user("Eve"));
    let (as_ada, as_ben) = (node.rest(&ada), node.rest(&ben));
    let direct = flow::open_direct(&as_ada, &ben).await;
    let body = json!({"type": "community", "title": "Town", "participantIds": [ada.id]});
    let community = id_of(&as_ben.post("/conversations", body).await.expect(201));
    let left = flow::open_group(&as_ben, &[ada.clone(), eve.clone()]).await;
    let foreign = flow::open_direct(&as_ben, &eve).await;
    for (rest, place, text) in [
        (&as_ada, direct, "mine"),
        (&as_ben, direct, "to me"),
        (&as_ada, community, "mine in public"),
        (&as_ben, community, "theirs in public"),
        (&as_ada, left, "mine before I left"),
        (&as_ben, left, "theirs there"),
        (&as_ben, foreign, "none of mine"),
    ] {
        flow::send(rest, place, text).await;
    }
    as_ada.post(&format!("/conversations/{left}/leave"), json!({})).await.expect(200);
    let said = flow::history(&as_ada, direct, 50).await;
    let answered = id_of(&said[1]);
    as_ada.put(&format!("/messages/{answered}/reactions/👍"), json!({})).await;
    let device = json!({"token": "a-token-of-adas-phone", "platform": "android"});
    as_ada.post("/devices", device).await.expect(201);
    let later =
        json!({"conversationId": direct, "content": "later", "sendAt": "2099-01-01T00:00:00Z"});
    let later = as_ada.post("/messages", later).await;
    let png = encoded(64, 48, image::ImageFormat::Png);
    let form = Form::file("me.png", "image/png", &png);
    let uploaded = node.upload(&ada, form).await.expect(201);

    let report = json!({"userId": ben.id, "reason": "rude", "details": "in the street"});
    as_ada.post("/reports", report).await.expect(201);
    let report = json!({"userId": ada.id, "reason": "none of her business"});
    as_ben.post("/reports", report).await.expect(201);
    as_ada.put(&format!("/blocks/{}", eve.id), json!({})).await;

    let copy = Unpacked::of(&archive(node, &ada).await);
    let [report] = &copy.lines["reports"][..] else { panic!("{:?}", copy.lines["reports"]) };
    assert_eq!((&report["reason"], &report["userId"]), (&json!("rude"), &json!(ben.id)));
    assert_eq!(copy.lines["blocks"][0]["userId"], json!(eve.id));
    let mut contents = copy.contents();
    contents.sort_unstable();
    assert_eq!(contents, ["mine", "mine before I left", "mine in public", "to me"]);
    assert_eq!(copy.lines["profile"][0]["displayName"], "Ada");
    tells_nothing_of_others(&copy, direct, &ada);
    let ids = copy.lines["conversations"].iter().map(|c| (id_of(c), c["hasLeft"] == true));
    let mut expected = vec![(direct, false), (community, false), (left, true)];
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert_eq!(copy.lines["reactions"][0]["emoji"], "👍");
    assert_eq!(copy.lines["receipts"].len(), 2);
    assert_eq!(copy.lines["devices"][0]["platform"], "android");
    let scheduled = usize::from(later.status == 201);
    assert_eq!(copy.lines["scheduled"].len(), scheduled);
    let file = &copy.lines["files"][0];
    assert_eq!(file["fileName"], "me.png");
    let path = file["path"].as_str().expect("a path");
    let kept = node.fetch(Some(&ada), uploaded["url"].as_str().expect("a link")).await;
    assert_eq!(copy.files[path][..], kept.bytes().await.expect("bytes")[..], "as it is handed out");
    assert!(copy.files.contains_key("README.txt"));

    let other = Unpacked::of(&archive(node, &eve).await);
    assert!(!other.contents().contains(&"mine"), "{:?}", other.contents());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_was_cut_off_goes_on_at_another_node_and_bytes_never_change() {
    let url = format!("file://{}", tools::folder("media").display());
    let settings = [UNPACED, &[("MESSAGING_MEDIA_URL", url.as_str())]].concat();
    let mut world = World::start_with(&settings).await;
    world.add_node(&settings).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &ben).await;
    flow::send(&rest, direct, "before").await;
    let whole = archive(world.node(), &ada).await;
    flow::send(&rest, direct, "after").await;

    let other = &world.nodes()[1];
    let first = other.fetch(Some(&ada), EXPORT).await;
    let tag = first.headers()["etag"].to_str().expect("text").to_owned();
    assert_eq!(first.headers()["content-type"], "application/zip");
    let half = whole.len() / 2;
    let range = format!("bytes={half}-");
    let resume = [("range", range.as_str()), ("if-range", &tag)];
    let rest_of_it = other.fetch_with(Method::GET, Some(&ada), EXPORT, &resume).await;
    assert_eq!(rest_of_it.status(), 206);
    assert_eq!(rest_of_it.bytes().await.expect("bytes")[..], whole[half..]);
    // Of another archive than the one that was begun: all of it.
    let stale = [("range", range.as_str()), ("if-range", "\"another\"")];
    let answer = other.fetch_with(Method::GET, Some(&ada), EXPORT, &stale).await;
    assert_eq!(answer.status(), 200);
    let beyond = [("range", "bytes=99999999999-")];
    let answer = other.fetch_with(Method::GET, Some(&ada), EXPORT, &beyond).await;
    assert_eq!(answer.status(), 416);
    assert_eq!(Unpacked::of(&whole).contents(), ["before"]);

    // It is nobody else's, also not as a file.
    let key = tag.trim_matches('"');
    for user in [&ada, &ben] {
        let link = format!("/messaging/media/{key}");
        assert_eq!(other.fetch(Some(user), &link).await.status(), 404);
    }
    let message = json!({
        "conversationId": direct, "content": "", "type": "file",
        "metadata": {"fileUrl": format!("/messaging/media/{key}"), "fileName": "x", "fileSize": 1, "mimeType": "application/zip"},
    });
    rest.post("/messages", message).await.refused(StatusCode::BAD_REQUEST, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_maker_died_is_made_again_and_one_under_way_is_not() {
    let world = with_files().await;
    let ada = world.user("Ada");
    let node = world.node();
    node.rest(&ada).get("/conversations").await.expect(200);
    let database = world.database.client().await;
    let sql = "INSERT INTO exports (user_id, key, state, messages, started_at, changed_at)
               VALUES ($1, gen_random_uuid(), 'building', 41, now(), now())";
    database.execute(sql, &[&ada.id]).await.expect("a row");
    let answer = node.rest(&ada).get("/me/export").await;
    let body = answer.expect(202);
    assert_eq!((body["status"].as_str(), body["messages"].as_u64()), (Some("preparing"), Some(41)));
    let sql = "UPDATE exports SET changed_at = now() - interval '31 seconds'";
    database.execute(sql, &[]).await.expect("a row");
    let copy = Unpacked::of(&archive(node, &ada).await);
    assert_eq!(copy.lines["profile"][0]["displayName"], "Ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_for_files_the_node_keeps_it_and_an_old_one_is_made_anew() {
    let world = World::start_with(UNPACED).await;
    let ada = world.user("Ada");
    let node = world.node();
    let first = archive(node, &ada).await;
    assert_eq!(archive(node, &ada).await, first, "the same for a while");
    let part = node.fetch_with(Method::GET, Some(&ada), EXPORT, &[("range", "bytes=0-9")]).await;
    assert_eq!((part.status().as_u16(), part.bytes().await.expect("bytes").len()), (206, 10));
    let database = world.database.client().await;
    let sql = "UPDATE exports SET changed_at = now() - interval '1 hour' RETURNING key::text";
    let old: String = database.query_one(sql, &[]).await.expect("a row").get(0);
    let answer = node.fetch(Some(&ada), EXPORT).await;
    assert_ne!(answer.headers()["etag"].to_str().expect("text").trim_matches('"'), old);
    let nobody = node.fetch(None, EXPORT).await;
    assert_eq!(nobody.status(), 401);
}
