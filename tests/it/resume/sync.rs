//! `GET /sync`: the same without a socket.

use serde_json::Value;

use super::{SOURCES, Scene, cursor_of};
use crate::harness::Rest;

/// Everything that it has to say since a cursor, and the cursor to go on with.
async fn sync(rest: &Rest, cursor: &str) -> (Vec<Value>, String) {
    let (mut events, mut cursor) = (Vec::new(), cursor.to_owned());
    loop {
        let page = rest.get(&format!("/sync?cursor={cursor}")).await.expect(200);
        events.extend(page["events"].as_array().expect("events").iter().cloned());
        cursor = cursor_of(&page);
        if page["complete"] == true {
            return (events, cursor);
        }
    }
}

#[tokio::test]
async fn it_answers_what_a_socket_would_replay() {
    for source in SOURCES {
        let mut scene = Scene::start(source).await;
        let cursor = scene.ben_leaves().await;
        let mut ada = scene.world.node().ws(&scene.ada).await;
        for at in 0..5 {
            ada.say(scene.group, &at.to_string()).await;
        }
        scene.settle().await;
        let rest = scene.world.node().rest(&scene.ben);
        let (events, now) = sync(&rest, &cursor).await;
        let back = scene.comes_back(&cursor).await;
        assert_eq!(events, back.frames, "{source:?}");
        assert_eq!(now, back.cursor);
        assert!(sync(&rest, &now).await.0.is_empty());
        ada.say(scene.group, "later").await;
        let (later, _) = sync(&rest, &now).await;
        assert_eq!(later.len(), 1, "what was acknowledged before it was asked");
    }
}

#[tokio::test]
async fn without_a_cursor_it_gives_one_and_a_void_one_is_reset() {
    let mut scene = Scene::start(super::Source::Ring).await;
    scene.ben_leaves().await;
    let rest = scene.world.node().rest(&scene.ben);
    let first = rest.get("/sync").await.expect(200);
    assert_eq!(
        (first["events"].as_array().map(Vec::len), &first["complete"]),
        (Some(0), &true.into())
    );
    scene.world.node().ws(&scene.ada).await.say(scene.group, "new").await;
    let (events, _) = sync(&rest, &cursor_of(&first)).await;
    assert_eq!(events[0]["data"]["content"], "new");
    let void = rest.get("/sync?cursor=nonsense").await.expect(200);
    assert_eq!(void["events"][0]["event"], "reset");
    assert_eq!(void["complete"], true);
}
