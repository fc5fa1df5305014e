//! Cursors that lead nowhere, and too much behind one.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, Source, cursor_of, seq_of};
use crate::harness::Ws;
use crate::harness::flow::{UNPACED, open_group};
use crate::harness::{Rest, World};

#[tokio::test]
async fn a_cursor_of_nowhere_is_answered_with_a_reset_and_live_goes_on() {
    let mut scene = Scene::start(Source::Ring).await;
    let cursor = scene.ben_leaves().await;
    let (epoch, seq) = cursor.split_once('.').expect("a cursor");
    let forged = [
        String::new(),
        "nonsense".to_owned(),
        format!("{epoch}."),
        epoch.to_owned(),
        format!("{epoch}.-1"),
        format!("{epoch}.{seq}.{seq}"),
        format!("{epoch}.99999999999999999999"),
        format!("{epoch}.{}", seq_of(&cursor) + 1_000_000),
        format!("another.{seq}"),
    ];
    let mut ada = scene.world.node().ws(&scene.ada).await;
    for (at, cursor) in forged.iter().enumerate() {
        let node = &scene.world.node().url;
        let mut ben = Ws::connect_to(node, &format!("?cursor={cursor}"), &scene.ben.token).await;
        assert_eq!(ben.connected["recovered"], false, "{cursor:?}");
        let reset = ben.event("reset").await;
        assert!(reset["data"]["reason"].as_str().is_some_and(|why| why.contains("cursor")));
        assert_eq!(cursor_of(&reset), cursor_of(&ben.connected), "a place to go on from");
        ada.say(scene.group, &at.to_string()).await;
        assert_eq!(ben.event("newMessage").await["data"]["content"], at.to_string());
        ben.has_no_more("caughtUp");
    }
}

#[tokio::test]
async fn somebody_elses_cursor_shows_only_what_is_ones_own() {
    let mut scene = Scene::start(Source::Ring).await;
    let bens = scene.ben_leaves().await;
    let stranger = scene.world.user("Eve");
    scene.world.node().ws(&scene.ada).await.say(scene.group, "between us").await;
    let back = super::comes_back(scene.world.node(), &stranger, &bens).await;
    assert!(back.frames.is_empty(), "{:?}", back.frames);
}

#[tokio::test]
async fn past_the_logs_retention_the_list_has_to_be_loaded_again() {
    let mut scene = Scene::start(Source::Postgres).await;
    let cursor = scene.ben_leaves().await;
    let mut ada = scene.world.node().ws(&scene.ada).await;
    ada.say(scene.group, "one").await;
    ada.say(scene.group, "two").await;
    scene.world.persisted().await;
    // As if so much time had passed.
    let last = scene.world.last_seq().await;
    scene.world.log().await.purge().sequence(last).await.expect("purged");
    let node = &scene.world.node().url;
    let mut ben = Ws::connect_to(node, &format!("?cursor={cursor}"), &scene.ben.token).await;
    assert_eq!(ben.connected["recovered"], false);
    let reset = ben.event("reset").await;
    assert!(reset["data"]["reason"].as_str().is_some_and(|why| why.contains("older")), "{reset}");
}

#[tokio::test]
async fn where_too_much_was_missed_the_newest_comes_and_the_rest_is_paged() {
    for ring in ["1", "1000"] {
        let caps = [("MAX_REPLAYED_PER_CONVERSATION", "5"), ("MESSAGING_TAIL_RING_EVENTS", ring)];
        let world = World::start_with(&[UNPACED, &caps].concat()).await;
        let (ada, ben) = (world.user("Ada"), world.user("Ben"));
        let rest = world.node().rest(&ada);
        let busy = open_group(&rest, std::slice::from_ref(&ben)).await;
        let quiet = open_group(&rest, std::slice::from_ref(&ben)).await;
        let cursor = cursor_of(&world.node().ws(&ben).await.connected);
        let mut writer = world.node().ws(&ada).await;
        let mut seqs = Vec::new();
        for at in 0..12 {
            seqs.push(writer.say(busy, &at.to_string()).await["seq"].as_u64().expect("a place"));
        }
        writer.say(quiet, "quiet").await;
        world.persisted().await;
        let back = super::comes_back(world.node(), &ben, &cursor).await;
        assert_eq!(back.names()[0], "limited", "told before anything is shown");
        let limited = json!({
            "conversationId": busy, "afterSeq": seq_of(&cursor), "beforeSeq": seqs[7],
        });
        assert_eq!(back.all("limited"), [&limited], "ring of {ring}");
        assert_eq!(back.contents(), ["7", "8", "9", "10", "11", "quiet"]);
        let missing = paged(&world.node().rest(&ben), busy, &limited).await;
        assert_eq!(missing, ["0", "1", "2", "3", "4", "5", "6"]);
    }
}

/// As an app closes a gap that it was told of.
async fn paged(rest: &Rest, conversation: Uuid, gap: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut after = gap["afterSeq"].as_u64().expect("a place");
    let before = gap["beforeSeq"].as_u64().expect("a place");
    loop {
        let path = format!("/conversations/{conversation}/messages?after={after}&limit=3");
        let page = rest.get(&path).await.expect(200);
        for message in page["messages"].as_array().expect("messages") {
            after = message["seq"].as_u64().expect("a place");
            if after >= before {
                return found;
            }
            found.push(message["content"].as_str().expect("text").to_owned());
        }
    }
}
