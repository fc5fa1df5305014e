//! Messages by operators.

use serde_json::json;
use uuid::Uuid;

use super::audit;
use crate::harness::World;
use crate::harness::flow::{self, UNPACED, history, id_of, place_of};

#[tokio::test]
async fn one_that_is_deleted_becomes_a_tombstone_before_everyones_eyes() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &bayo).await;
    let mut ws = world.node().ws(&bayo).await;
    let sent = flow::send(&rest, direct, "an insult").await;
    let (seq, id) = place_of(&sent);
    world.persisted().await;
    let text = id.to_string();
    let shown = world.run_admin_json(&["message", "show", &text]).await;
    assert_eq!((&shown["content"], &shown["senderName"]), (&json!("an insult"), &json!("Ada")));
    let delete = ["message", "delete", &text, "--yes", "--reason", "an insult"];
    world.run_admin(&delete).await.fine();
    let told = ws.event("messageDeleted").await["data"].take();
    assert_eq!((&told["messageId"], &told["seq"]), (&json!(id), &json!(seq)));
    world.persisted().await;
    world.erased(seq).await;
    let tombstone = history(&rest, direct, 50).await.pop().expect("a message");
    assert_eq!((&tombstone["content"], &tombstone["isDeleted"]), (&json!(""), &json!(true)));
    let again = world.run_admin(&delete).await.fine();
    assert!(again.contains("tombstone already"), "{again}");
    let deletions = world.logged().await.into_iter().filter(|e| e.kind == "messageDeleted").count();
    assert_eq!(deletions, 1);
    assert_eq!(audit(&world).await.len(), 1);
}

#[tokio::test]
async fn a_system_message_reaches_people_once_however_often_it_is_sent() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &bayo).await;
    let mut ws = world.node().ws(&bayo).await;
    let id = direct.to_string();
    let send =
        ["message", "send-system", "--conversation", &id, "--key", "k1", "Meet in public places."];
    let first = world.run_admin_json(&send).await;
    let again = world.run_admin_json(&send).await;
    assert_eq!(first["messageIds"], again["messageIds"]);
    let told = ws.event("newMessage").await["data"].take();
    assert_eq!(
        (&told["type"], &told["content"]),
        (&json!("system"), &json!("Meet in public places."))
    );
    world.persisted().await;
    assert_eq!(history(&rest, direct, 50).await.len(), 1);
    let to_user =
        ["message", "send-system", "--user", &bayo.id.to_string(), "Welcome"].map(str::to_owned);
    let to_user: Vec<&str> = to_user.iter().map(String::as_str).collect();
    world.run_admin(&to_user).await.fine();
    let notice = ws.event("newMessage").await["data"].take();
    assert_eq!(notice["content"], "Welcome");
    assert_ne!(id_of(&json!({"id": notice["conversationId"]})), direct);
    let nowhere = Uuid::new_v4().to_string();
    world
        .run_admin(&["message", "send-system", "--conversation", &nowhere, "x"])
        .await
        .refused(&["It was refused"]);
    world.run_admin(&["message", "send-system", "x"]).await.refused(&["--conversation"]);
}
