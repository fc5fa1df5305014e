//! Coming and going while away.

use serde_json::json;
use uuid::Uuid;

use super::{Scene, Source};
use crate::harness::User;
use crate::harness::flow::id_of;

const SOURCES: [Source; 2] = [Source::Ring, Source::Postgres];

async fn remove(scene: &Scene, group: Uuid, whom: &User) {
    let path = format!("/conversations/{group}/participants/{}", whom.id);
    let answer = scene.world.node().rest(&scene.ada).delete(&path).await;
    assert!(matches!(answer.status, 200 | 204), "{answer:?}");
}

async fn add(scene: &Scene, group: Uuid, whom: &User) {
    let path = format!("/conversations/{group}/participants");
    let answer =
        scene.world.node().rest(&scene.ada).post(&path, json!({"userIds": [whom.id]})).await;
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
}

#[tokio::test]
async fn who_was_removed_while_away_learns_it_and_nothing_after_it() {
    for source in SOURCES {
        let mut scene = Scene::start(source).await;
        let cursor = scene.ben_leaves().await;
        let mut ada = scene.world.node().ws(&scene.ada).await;
        ada.say(scene.group, "before").await;
        remove(&scene, scene.group, &scene.ben).await;
        ada.say(scene.group, "behind the back").await;
        let back = scene.comes_back(&cursor).await;
        assert_eq!(back.contents(), ["before"], "{source:?}");
        let updates = back.all("conversationUpdated");
        assert_eq!(updates.len(), 1);
        assert_eq!(updates[0]["change"], "participantsRemoved");
        assert_eq!(back.names(), ["newMessage", "conversationUpdated"]);
    }
}

#[tokio::test]
async fn who_was_added_while_away_gets_what_came_after_that() {
    for source in SOURCES {
        let mut scene = Scene::start(source).await;
        let carol = scene.world.user("Carol");
        let other =
            crate::harness::flow::open_group(&scene.world.node().rest(&scene.ada), &[carol]).await;
        let cursor = scene.ben_leaves().await;
        let mut ada = scene.world.node().ws(&scene.ada).await;
        ada.say(other, "before").await;
        add(&scene, other, &scene.ben).await;
        ada.say(other, "after").await;
        let mut back = scene.comes_back(&cursor).await;
        assert_eq!(back.contents(), ["after"], "{source:?}");
        assert_eq!(back.names(), ["conversationUpdated", "newMessage"]);
        assert_eq!(id_of(&back.all("conversationUpdated")[0]["conversation"]), other);
        ada.say(other, "live").await;
        assert_eq!(back.ws.event("newMessage").await["data"]["content"], "live");
    }
}

#[tokio::test]
async fn who_left_and_came_back_gets_both_stays_and_not_what_lay_between() {
    for source in SOURCES {
        let mut scene = Scene::start(source).await;
        let cursor = scene.ben_leaves().await;
        let mut ada = scene.world.node().ws(&scene.ada).await;
        ada.say(scene.group, "before").await;
        remove(&scene, scene.group, &scene.ben).await;
        ada.say(scene.group, "between").await;
        add(&scene, scene.group, &scene.ben).await;
        ada.say(scene.group, "after").await;
        let back = scene.comes_back(&cursor).await;
        assert_eq!(back.contents(), ["before", "after"], "{source:?}");
        let changes: Vec<_> =
            back.all("conversationUpdated").iter().map(|update| &update["change"]).collect();
        assert_eq!(changes, ["participantsRemoved", "participantsAdded"]);
    }
}

#[tokio::test]
async fn an_arrival_that_is_announced_twice_hides_nothing() {
    let mut scene = Scene::start(Source::Ring).await;
    scene.world.persisted().await;
    let announced = scene.world.logged().await;
    let created = announced.iter().find(|event| event.kind == "conversationUpdated");
    let created = created.expect("it was announced").data.clone();
    let cursor = scene.ben_leaves().await;
    let mut ada = scene.world.node().ws(&scene.ada).await;
    ada.say(scene.group, "before").await;
    scene.world.put_into_log(scene.group, "conversationUpdated", &created).await;
    ada.say(scene.group, "after").await;
    let back = scene.comes_back(&cursor).await;
    assert_eq!(back.contents(), ["before", "after"]);
}
