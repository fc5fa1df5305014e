//! Edits in their order; deleted content is nowhere.

use std::collections::BTreeMap;

use serde_json::json;
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, eventually, history, id_of, place_of};
use crate::harness::{User, Worker, World};

/// Several events share a transaction.
const LARGE_BATCHES: &[(&str, &str)] = &[("MESSAGING_PERSISTER_LINGER", "150ms")];

async fn two_nodes(settings: &[(&str, &str)]) -> (World, User, User, Uuid) {
    let settings = [UNPACED, settings].concat();
    let mut world = World::start_with(&settings).await;
    world.add_node(&settings).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let direct = flow::open_direct(&world.node().rest(&ada), &ben).await;
    (world, ada, ben, direct)
}

#[tokio::test]
async fn of_edits_in_one_batch_the_last_of_the_log_stands_everywhere() {
    let (world, ada, ben, direct) = two_nodes(LARGE_BATCHES).await;
    let message = flow::send(&world.node().rest(&ada), direct, "0").await;
    let (seq, id) = place_of(&message);
    let mut listening = world.nodes()[1].ws(&ben).await;
    world.persisted().await;

    let edits = (1..=12).map(|number| {
        let rest = world.nodes()[number % 2].rest(&ada);
        let body = json!({"content": number.to_string()});
        async move { rest.put(&format!("/messages/{id}"), body).await.expect(200) }
    });
    futures_util::future::join_all(edits).await;
    let events = world.logged().await;
    let in_log: Vec<&str> = events
        .iter()
        .filter(|event| event.kind == "messageUpdated")
        .filter_map(|event| event.data["content"].as_str())
        .collect();
    let mut heard = Vec::new();
    while heard.len() < 12 {
        let updated = listening.event("messageUpdated").await["data"].take();
        assert_eq!((updated["seq"].as_u64(), id_of(&updated)), (Some(seq), id), "in its place");
        heard.push(updated["content"].as_str().expect("text").to_owned());
    }
    assert_eq!(heard, in_log, "live in the order of the log");
    for node in world.nodes() {
        let now = node.rest(&ben).get(&format!("/messages/{id}")).await.expect(200);
        assert_eq!(
            (now["content"].as_str(), &now["isEdited"]),
            (in_log.last().copied(), &true.into())
        );
    }
}

#[tokio::test]
async fn an_edit_that_races_a_deletion_never_brings_the_message_back() {
    for settings in [LARGE_BATCHES, &[("MESSAGING_PERSISTER_BATCH_SIZE", "1")]] {
        races(settings).await;
    }
}

async fn races(settings: &[(&str, &str)]) {
    let (world, ada, ben, direct) = two_nodes(settings).await;
    let rest = world.node().rest(&ada);
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(id_of(&flow::send(&rest, direct, &format!("needle {number}")).await));
    }
    world.persisted().await;
    let racing = ids.iter().enumerate().map(async |(at, id)| {
        let path = format!("/messages/{id}");
        let (here, there) =
            (world.nodes()[at % 2].rest(&ada), world.nodes()[(at + 1) % 2].rest(&ada));
        let edit = async |n: u32| here.put(&path, json!({"content": format!("needle {n}")})).await;
        let (first, deleted, second) = tokio::join!(edit(1), there.delete(&path), edit(2));
        deleted.expect(200);
        assert!([200, 409].contains(&first.status) && [200, 409].contains(&second.status));
    });
    futures_util::future::join_all(racing).await;
    world.persisted().await;
    for node in world.nodes() {
        for message in history(&node.rest(&ben), direct, 50).await {
            assert_eq!((&message["content"], &message["isDeleted"]), (&"".into(), &true.into()));
        }
    }
    assert_eq!(world.log_and_table_agree_on_tombstones(direct).await, 12);
}

#[tokio::test]
async fn an_edit_in_the_log_behind_a_deletion_is_erased_and_changes_nothing() {
    let (world, ada, ben, direct) = two_nodes(&[]).await;
    let rest = world.node().rest(&ada);
    let message = flow::send(&rest, direct, "needle").await;
    let (seq, id) = place_of(&message);
    let path = format!("/messages/{id}");
    rest.delete(&path).await.expect(200);
    world.erased(seq).await;

    let mut late = message.clone();
    late["content"] = "needle".into();
    late["isEdited"] = true.into();
    late["editedAt"] = message["createdAt"].clone();
    let place = world.put_into_log(direct, "messageUpdated", &late).await;
    world.erased(place).await;
    for node in world.nodes() {
        let now = node.rest(&ben).get(&path).await.expect(200);
        assert_eq!((&now["content"], &now["isDeleted"]), (&"".into(), &true.into()));
    }
}

#[tokio::test]
async fn deleted_content_is_nowhere_and_its_tombstone_in_its_place() {
    let (world, ada, ben, direct) = two_nodes(&[]).await;
    let rest = world.node().rest(&ada);
    let needle = format!("needle-{}", Uuid::new_v4());
    let before = flow::send(&rest, direct, "before").await;
    let body = json!({
        "conversationId": direct, "type": "file", "content": needle, "mentions": [ben.id],
        "metadata": {"fileUrl": format!("https://example.org/{needle}"), "fileName": needle,
            "fileSize": 1, "mimeType": "text/plain"},
    });
    let message = rest.post("/messages", body).await.expect(201);
    let (seq, id) = place_of(&message);
    let after = flow::send(&rest, direct, "after").await;
    let path = format!("/messages/{id}");
    for number in 0..3 {
        let body = json!({"content": format!("{needle} {number}")});
        world.nodes()[number % 2].rest(&ada).put(&path, body).await.expect(200);
    }
    let mut held = vec![seq];
    held.extend(world.logged().await.iter().filter(|e| e.kind == "messageUpdated").map(|e| e.seq));
    assert_eq!(held.len(), 4);
    assert!(world.nats.has_on_disk(&needle));

    let mut listening = Vec::new();
    for node in world.nodes() {
        listening.push(node.ws(&ben).await);
    }
    let tombstone = world.nodes()[1].rest(&ada).delete(&path).await.expect(200);
    assert_eq!((&tombstone["content"], &tombstone["metadata"]), (&"".into(), &json!({})));
    for ws in &mut listening {
        let deleted = ws.event("messageDeleted").await["data"].take();
        let expected = json!({"messageId": id, "conversationId": direct, "seq": seq});
        assert_eq!(deleted, expected);
    }
    for place in held {
        world.erased(place).await;
    }
    assert!(!world.nats.has_on_disk(&needle), "overwritten");
    assert!(!world.postgres_shows(&needle).await);
    for node in world.nodes() {
        for user in [&ada, &ben] {
            let rest = node.rest(user);
            let messages = history(&rest, direct, 2).await;
            let places: Vec<_> = messages.iter().map(place_of).collect();
            assert_eq!(places, [place_of(&before), (seq, id), place_of(&after)]);
            assert!(!json!(messages).to_string().contains(&needle));
            let deleted = &messages[1];
            assert!(deleted["isDeleted"] == true && deleted["deletedAt"].is_string());
            assert_eq!((&deleted["metadata"], &deleted["mentions"]), (&json!({}), &json!([])));
            assert_eq!(rest.get(&path).await.expect(200)["content"], "");
            let list = rest.get("/conversations").await.expect(200);
            assert!(!list.to_string().contains(&needle));
        }
        assert_eq!(flow::unread(&node.rest(&ben), direct).await, 3, "a tombstone keeps its count");
    }
}

#[tokio::test]
async fn an_erasure_that_was_interrupted_is_made_up_for_by_the_next_leader() {
    let mut world = World::without_nodes().await;
    world.add_node_with(&["--role", "edge"], UNPACED).await;
    let mut first = Worker::start(&world, &[]).await;
    let rest = world.node().rest(&world.user("Ada"));
    let direct = flow::open_direct(&rest, &world.user("Ben")).await;
    let (seq, id) = place_of(&flow::send(&rest, direct, "needle").await);
    world.persisted().await;

    let holder = world.database.client().await;
    holder.batch_execute("BEGIN").await.expect("a transaction");
    holder.execute("SELECT 1 FROM messages WHERE id = $1 FOR UPDATE", &[&id]).await.expect("held");
    rest.delete(&format!("/messages/{id}")).await.expect(200);
    world.a_batch_waits().await;
    let before = world.progress().await;
    // The commit will succeed, the erasure cannot.
    world.nats.kill9();
    holder.batch_execute("COMMIT").await.expect("released");
    let committed = async || (world.progress().await > before).then_some(());
    eventually("the deletion is committed", committed).await;
    first.0.kill9().await;
    world.nats.start_again();
    assert!(world.log().await.get_raw_message(seq).await.is_ok(), "still there");

    let _second = Worker::start(&world, &[]).await;
    world.erased(seq).await;
    let left = async || {
        let database = world.database.client().await;
        let rows = database.query("SELECT 1 FROM erasures", &[]).await.expect("rows");
        rows.is_empty().then_some(())
    };
    eventually("nothing is left to erase", left).await;
}

impl World {
    /// As `log_and_table_agree`, where everything was deleted: nothing but deletions is left in the log, and the
    /// table has its tombstones in their places.
    async fn log_and_table_agree_on_tombstones(&self, conversation: Uuid) -> usize {
        self.persisted().await;
        let rows = self.rows(conversation).await;
        assert!(rows.iter().all(|row| row.deleted && row.content.is_empty()), "{rows:?}");
        self.counters_are_dense(conversation).await;
        let only_deletions = async || {
            let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
            for event in self.logged().await {
                *kinds.entry(event.kind).or_default() += 1;
            }
            (kinds.len() == 2 && kinds["conversationUpdated"] == 1).then_some(kinds)
        };
        let kinds = eventually("content is erased", only_deletions).await;
        assert!(kinds["messageDeleted"] >= rows.len());
        rows.len()
    }

    /// Does any table hold the text?
    async fn postgres_shows(&self, text: &str) -> bool {
        let database = self.database.client().await;
        for table in ["messages", "message_changes", "outbox", "conversations", "erasures"] {
            let sql = format!("SELECT count(*) FROM {table} t WHERE t::text LIKE '%' || $1 || '%'");
            let count: i64 = database.query_one(&sql, &[&text]).await.expect("a count").get(0);
            if count > 0 {
                return true;
            }
        }
        false
    }
}

#[tokio::test]
async fn a_deleted_message_is_quoted_nowhere() {
    let (world, ada, ben, direct) = two_nodes(&[]).await;
    let (rest, other) = (world.node().rest(&ada), world.nodes()[1].rest(&ben));
    let (_, quoted) = place_of(&flow::send(&rest, direct, "a secret").await);
    let body = json!({"conversationId": direct, "content": "really?", "replyToMessageId": quoted});
    let reply = other.post("/messages", body).await.expect(201);
    assert_eq!(reply["replyTo"]["content"], "a secret");
    rest.delete(&format!("/messages/{quoted}")).await.expect(200);
    for rest in [&rest, &other] {
        let history = history(rest, direct, 10).await;
        let shown = history.iter().find(|m| m["id"] == reply["id"]).expect("the reply stays");
        assert_eq!(
            (&shown["content"], &shown["replyTo"]["content"]),
            (&json!("really?"), &json!(""))
        );
        assert!(!json!(history).to_string().contains("a secret"));
    }
}

#[tokio::test]
async fn many_that_go_at_once_leave_the_log_as_well() {
    let world = World::start_with(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &ben).await;
    let mut ws = world.node().ws(&ada).await;
    let mut places = Vec::new();
    for number in 0..100 {
        places.push(place_of(&ws.say(direct, &number.to_string()).await).0);
    }
    world.persisted().await;
    // As it is for a whole conversation, or all that a user has written.
    let database = world.database.client().await;
    let asked = "INSERT INTO due_deletions (message_id) SELECT id FROM messages";
    assert_eq!(database.execute(asked, &[]).await.expect("asked"), 100);
    for seq in places {
        world.erased(seq).await;
    }
    assert!(world.rows(direct).await.iter().all(|row| row.deleted && row.content.is_empty()));
    eventually("nothing is left to do", async || {
        let sql = "SELECT (SELECT count(*) FROM erasures) + (SELECT count(*) FROM due_deletions)";
        (database.query_one(sql, &[]).await.expect("a row").get::<_, i64>(0) == 0).then_some(())
    })
    .await;
}
