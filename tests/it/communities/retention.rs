//! Messages that are kept for a limited time, and those that are kept because of a legal hold.

use serde_json::{Value, json};
use uuid::Uuid;

use super::community;
use crate::harness::World;
use crate::harness::flow::{eventually, history, id_of, open_direct, place_of, send, unread};

async fn make_old(world: &World, messages: &[&Value]) {
    world.persisted().await;
    let ids: Vec<Uuid> = messages.iter().map(|message| id_of(message)).collect();
    let database = world.database.client().await;
    let sql = "UPDATE messages SET created_at = now() - interval '2 hours' WHERE id = ANY($1)";
    assert_eq!(database.execute(sql, &[&ids]).await.expect("updated"), ids.len() as u64);
}

async fn are_gone(world: &World, conversation: Uuid, left: usize) {
    let gone = async || (world.rows(conversation).await.len() == left).then_some(());
    eventually("what is over is gone", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_past_its_time_leaves_rows_log_pins_and_quotes_and_counts_as_read() {
    let world = World::start_with(&[("MESSAGING_RETENTION_COMMUNITY", "1h")]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    let id = community(&rest, &[&bayo]).await;
    let direct = open_direct(&rest, &bayo).await;
    let first = send(&rest, id, "first").await;
    let second = send(&rest, id, "second").await;
    let name = first["id"].as_str().expect("an id");
    rest.put(&format!("/conversations/{id}/pins/{name}"), json!({})).await.expect(200);
    other.put(&format!("/messages/{name}/reactions/👍"), json!({})).await.expect(200);
    rest.put(&format!("/messages/{name}"), json!({"content": "first!"})).await.expect(200);
    // What is quoted is what Postgres has.
    world.persisted().await;
    let reply = json!({"conversationId": id, "content": "third", "replyToMessageId": first["id"]});
    let third = rest.post("/messages", reply).await.expect(201);
    assert_eq!(third["replyTo"]["content"], "first!");
    let kept = send(&rest, direct, "between us").await;
    assert_eq!(unread(&other, id).await, 3);
    crate::search::indexed(&world).await;
    make_old(&world, &[&first, &second, &kept]).await;
    are_gone(&world, id, 1).await;
    for message in [&first, &second] {
        world.erased(place_of(message).0).await;
    }
    let words = crate::search::words(&world).await;
    assert!(!words.contains("first") && !words.contains("second"), "{words:?}");
    let left = history(&other, id, 10).await;
    assert_eq!(left.iter().map(|m| &m["content"]).collect::<Vec<_>>(), ["third"]);
    assert_eq!(left[0]["replyTo"]["content"], "");
    assert_eq!(unread(&other, id).await, 1);
    assert_eq!(other.get("/unread").await.expect(200)["total"], 2);
    assert_eq!(
        other.get(&format!("/conversations/{id}/pins")).await.expect(200)["pins"],
        json!([])
    );
    let marked = other.post(&format!("/conversations/{id}/mark-read"), json!({})).await.expect(200);
    assert_eq!(marked["unreadCount"], 0);
    // Nothing is set for direct conversations.
    assert_eq!(history(&other, direct, 10).await.len(), 1);

    make_old(&world, &[&third]).await;
    are_gone(&world, id, 0).await;
    let shown = other.get(&format!("/conversations/{id}")).await.expect(200);
    assert_eq!((&shown["unreadCount"], &shown["lastMessage"]), (&json!(0), &Value::Null));
    let next = send(&rest, id, "and on it goes").await;
    assert_eq!(unread(&other, id).await, 1);
    assert_eq!(history(&other, id, 10).await[0]["id"], next["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_legal_hold_stays_whoever_deletes_it_until_it_is_released() {
    let world = World::start_with(&[("MESSAGING_RETENTION_COMMUNITY", "1h")]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    let id = community(&rest, &[&bayo]).await;
    let name = id.to_string();
    let hold = ["conversation", "hold", name.as_str()];
    world.run_admin(&hold).await.refused(&["--reason"]);
    let reasoned = ["conversation", "hold", name.as_str(), "--reason", "a court asks"];
    world.run_admin(&[&reasoned[..], &["--dry-run"]].concat()).await.fine();
    world.run_admin(&reasoned).await.fine();
    world.run_admin(&reasoned).await.refused(&["under legal hold since"]);
    let stranger = Uuid::new_v4().to_string();
    let nobody = ["conversation", "hold", stranger.as_str(), "--reason", "a court asks"];
    world.run_admin(&nobody).await.refused(&["no conversation"]);

    let old = send(&other, id, "an old one").await;
    make_old(&world, &[&old]).await;
    let said = send(&other, id, "a threat").await;
    let path = format!("/messages/{}", said["id"].as_str().expect("an id"));
    other.put(&path, json!({"content": "a joke"})).await.expect(200);
    other.delete(&path).await.expect(200);
    let database = world.database.client().await;
    let sql = "SELECT content FROM held_messages WHERE conversation_id = $1 ORDER BY changed_seq";
    let kept = async || {
        let rows = database.query(sql, &[&id]).await.expect("rows");
        let contents: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        (contents.len() == 2).then_some(contents)
    };
    assert_eq!(eventually("both versions are kept", kept).await, ["a threat", "a joke"]);
    // People see what they always see, and nothing has left.
    let shown = history(&rest, id, 10).await;
    assert_eq!(shown.iter().map(|m| &m["content"]).collect::<Vec<_>>(), ["an old one", ""]);

    let release = ["conversation", "hold", name.as_str(), "--release", "--reason", "it is over"];
    world.run_admin(&release).await.refused(&["--yes"]);
    world.run_admin(&[&release[..], &["--yes"]].concat()).await.fine();
    let gone = database.query(sql, &[&id]).await.expect("rows");
    assert!(gone.is_empty());
    are_gone(&world, id, 1).await;
}
