//! Edits and deletions while away.

use serde_json::{Value, json};

use super::{NO_RING, SOURCES, Scene, Source, comes_back};
use crate::harness::World;
use crate::harness::flow::{UNPACED, eventually, id_of, place_of};

#[tokio::test]
async fn older_messages_are_brought_up_to_date() {
    for source in SOURCES {
        let mut scene = Scene::start(source).await;
        let mut ada = scene.world.node().ws(&scene.ada).await;
        let edited = ada.say(scene.group, "first").await;
        let deleted = ada.say(scene.group, "to be deleted").await;
        let cursor = scene.ben_leaves().await;
        for content in ["second", "third"] {
            edit(&scene, &edited, content).await;
        }
        delete(&scene, &deleted).await;
        // The node has it.
        ada.event("messageDeleted").await;
        let back = scene.comes_back(&cursor).await;
        let updates = back.all("messageUpdated");
        assert_eq!(updates.last().expect("an update")["content"], "third", "{source:?}");
        assert_eq!(place_of(updates[0]), place_of(&edited));
        if source == Source::Postgres {
            assert_eq!(updates.len(), 1, "as it is now, and not how it came to that");
        }
        let deletions = back.all("messageDeleted");
        assert_eq!(deletions.len(), 1);
        assert_eq!(deletions[0]["messageId"], deleted["id"]);
        assert_eq!(deletions[0]["seq"], deleted["seq"]);
        assert_eq!(back.names().last(), Some(&"messageDeleted"), "in the order of the log");
    }
}

#[tokio::test]
async fn deleted_content_never_comes_back() {
    for source in SOURCES {
        let mut scene = Scene::start(source).await;
        let mut ada = scene.world.node().ws(&scene.ada).await;
        let quoted = ada.say(scene.group, "an older secret").await;
        let cursor = scene.ben_leaves().await;
        let secret = ada.say(scene.group, "the secret").await;
        let reply = json!({
            "conversationId": scene.group, "content": "a reply", "replyToMessageId": quoted["id"],
        });
        let reply = ada.request("sendMessage", reply).await.expect("accepted")["message"].take();
        assert_eq!(reply["replyTo"]["content"], "an older secret");
        edit(&scene, &secret, "still the secret").await;
        for message in [&secret, &quoted] {
            delete(&scene, message).await;
            ada.event("messageDeleted").await;
        }
        let back = scene.comes_back(&cursor).await;
        let text = format!("{:?}", back.frames);
        assert!(!text.contains("secret"), "{source:?}: {text}");
        let news = back.all("newMessage");
        assert_eq!(id_of(news[0]), id_of(&secret), "it stays in its place");
        assert_eq!((&news[0]["isDeleted"], &news[0]["content"]), (&json!(true), &json!("")));
        assert_eq!(id_of(news[1]), id_of(&reply));
    }
}

#[tokio::test]
async fn a_node_that_never_had_a_deleted_message_shows_its_tombstone_all_the_same() {
    for settings in [UNPACED.to_vec(), [UNPACED, &[NO_RING]].concat()] {
        let mut world = World::start_with(&settings).await;
        let (ada, ben) = (world.user("Ada"), world.user("Ben"));
        let group =
            crate::harness::flow::open_group(&world.node().rest(&ada), std::slice::from_ref(&ben))
                .await;
        let cursor = super::cursor_of(&world.node().ws(&ben).await.connected);
        let mut writer = world.node().ws(&ada).await;
        let gone = writer.say(group, "the secret").await;
        writer.request("deleteMessage", json!({"messageId": gone["id"]})).await.expect("deleted");
        writer.say(group, "what stays").await;
        world.erased(gone["seq"].as_u64().expect("a place")).await;
        let fresh = world.add_node(&settings).await;
        let back = comes_back(&world.nodes()[fresh], &ben, &cursor).await;
        assert_eq!(back.contents(), ["", "what stays"]);
        assert_eq!(back.all("newMessage")[0]["isDeleted"], true);
    }
}

/// As Ada's app does it; where there is no persister, as her node would put it into the log.
async fn edit(scene: &Scene, message: &Value, content: &str) {
    if scene.source == Source::Log {
        let mut edited = message.clone();
        let fields = edited.as_object_mut().expect("an object");
        fields.insert("content".into(), content.into());
        fields.insert("editedAt".into(), fields["createdAt"].clone());
        fields.insert("isEdited".into(), true.into());
        scene.world.put_into_log(scene.group, "messageUpdated", &edited).await;
        return;
    }
    let body = json!({"content": content});
    let path = format!("/messages/{}", id_of(message));
    scene.world.node().rest(&scene.ada).put(&path, body).await.expect(200);
}

async fn delete(scene: &Scene, message: &Value) {
    if scene.source == Source::Log {
        let deleted = json!({
            "messageId": message["id"], "conversationId": scene.group, "seq": message["seq"],
        });
        scene.world.put_into_log(scene.group, "messageDeleted", &deleted).await;
        return;
    }
    let path = format!("/messages/{}", id_of(message));
    scene.world.node().rest(&scene.ada).delete(&path).await.expect(200);
}

#[tokio::test]
async fn reactions_to_older_messages_come_and_those_to_newer_ones_come_with_them() {
    for source in [Source::Ring, Source::Postgres] {
        let mut scene = Scene::start(source).await;
        let mut ada = scene.world.node().ws(&scene.ada).await;
        let older = ada.say(scene.group, "older").await;
        let thumb = json!({"messageId": older["id"], "emoji": "👍"});
        let heart = json!({"messageId": older["id"], "emoji": "❤️"});
        ada.request("addReaction", heart.clone()).await.expect("added");
        // The node has it, and whoever connects now begins behind it.
        ada.event("reactionUpdated").await;
        let cursor = scene.ben_leaves().await;
        ada.request("addReaction", thumb).await.expect("added");
        ada.request("removeReaction", heart).await.expect("taken back");
        let newer = ada.say(scene.group, "newer").await;
        let rocket = json!({"messageId": newer["id"], "emoji": "🚀"});
        ada.request("addReaction", rocket).await.expect("added");
        for _ in 0..3 {
            ada.event("reactionUpdated").await;
        }
        let back = scene.comes_back(&cursor).await;
        let reactions = back.all("reactionUpdated");
        let told: Vec<_> = reactions.iter().map(|r| (&r["emoji"], &r["added"])).collect();
        assert_eq!(
            told[..2],
            [(&json!("👍"), &json!(true)), (&json!("❤️"), &json!(false))],
            "{source:?}"
        );
        let shown = &back.all("newMessage")[0]["reactions"]["🚀"]["count"];
        match source {
            Source::Ring => assert_eq!(told[2..], [(&json!("🚀"), &json!(true))]),
            _ => assert_eq!((told.len(), shown), (2, &json!(1)), "the message is as it is now"),
        }
    }
}

#[tokio::test]
async fn changes_that_no_cursor_reaches_back_to_are_forgotten() {
    let mut world = World::start_with(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let group = crate::harness::flow::open_group(&world.node().rest(&ada), &[ben]).await;
    let mut writer = world.node().ws(&ada).await;
    let message = writer.say(group, "first").await;
    let edit = json!({"messageId": message["id"], "content": "second"});
    writer.request("editMessage", edit).await.expect("edited");
    world.persisted().await;
    let database = world.database.client().await;
    let count = async || {
        let sql = "SELECT (SELECT count(*) FROM message_changes)
                       + (SELECT count(*) FROM conversation_changes)
                       + (SELECT count(*) FROM membership_changes)";
        database.query_one(sql, &[]).await.expect("a row").get::<_, i64>(0)
    };
    assert!(count().await >= 4, "an edit, a conversation, two who came");
    // The index needs them until it has them.
    eventually("all is indexed", async || {
        let sql = "SELECT (SELECT last_seq FROM progress WHERE name = 'search')
                       >= (SELECT last_seq FROM progress WHERE name = 'persist')";
        database.query_one(sql, &[]).await.expect("a row").get::<_, bool>(0).then_some(())
    })
    .await;
    // As if the log had expired; a persister looks when it begins.
    world.log().await.purge().await.expect("purged");
    drop(writer);
    world.node_mut(0).kill9().await;
    world.add_node(UNPACED).await;
    eventually("all are forgotten", async || (count().await == 0).then_some(())).await;
}
