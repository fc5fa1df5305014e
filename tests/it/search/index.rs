//! The index behind it: it follows, and it is rebuilt.

use async_nats::jetstream;

use super::*;
use crate::harness::flow::place_of;

/// Waits until everything that is persisted is indexed.
pub async fn indexed(world: &World) {
    // The index is never further than the table, so at first the table has to have everything.
    world.persisted().await;
    let client = world.database.client().await;
    let sql = "SELECT s.last_seq >= p.last_seq FROM progress s, progress p
               WHERE s.name = 'search' AND p.name = 'persist'";
    eventually("everything is indexed", async || {
        let row = client.query_one(sql, &[]).await.expect("a row");
        row.get::<_, bool>(0).then_some(())
    })
    .await;
}

/// The vocabulary.
pub async fn words(world: &World) -> HashSet<String> {
    let client = world.database.client().await;
    let rows = client.query("SELECT word FROM search_words WHERE messages > 0", &[]).await;
    rows.expect("rows").iter().map(|row| row.get(0)).collect()
}

/// Runs a command for operators; its answer.
fn admin(world: &World, arguments: &[&str]) -> Value {
    let arguments = [&["admin", "--json", "search"], arguments].concat();
    let output = command(&arguments, &world.settings(&[])).output().expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {errors}"))
}

#[tokio::test]
async fn a_rebuild_repairs_the_index_and_goes_on_after_a_crash() {
    let (world, ada, bayo, group) = talking().await;
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    for n in 0..20 {
        send(&rest, group, &format!("word{n} yam")).await;
    }
    indexed(&world).await;
    let before = words(&world).await;
    let client = world.database.client().await;
    let broken = "DELETE FROM message_search; DELETE FROM search_words; INSERT INTO search_words VALUES ('', 1);
        INSERT INTO message_search SELECT gen_random_uuid(), 1, sender_id, type, created_at, 'x'::tsvector FROM messages LIMIT 1";
    client.batch_execute(broken).await.expect("broken");
    assert_eq!(found(&other, "yam").await.len(), 0, "nothing is found by a broken index");
    assert!(admin(&world, &["rebuild", "--dry-run"])["target"].as_u64().expect("a place") > 20);
    assert_eq!(found(&other, "yam").await.len(), 0, "a dry run changes nothing");
    let target = admin(&world, &["rebuild"])["target"].as_u64().expect("a place");
    assert_eq!(found(&other, "yam").await.len(), 20);
    assert_eq!(words(&world).await, before);
    let status = admin(&world, &["status"]);
    assert_eq!((&status["lag"], &status["rebuild"]), (&json!(0), &Value::Null));
    assert_eq!(status["messages"], 20, "and no entry without a message: {status}");
    // One that somebody else has left half done.
    client.batch_execute(broken).await.expect("broken");
    let half = "INSERT INTO search_rebuild (done_seq, target_seq, started_at)
                SELECT min(seq) + 9, $1, now() FROM messages";
    client.execute(half, &[&i64::try_from(target).expect("fits")]).await.expect("half done");
    assert!(!admin(&world, &["status"])["rebuild"].is_null());
    admin(&world, &["rebuild"]);
    let left = found(&other, "yam").await.len();
    assert!((10..20).contains(&left), "it went on where the other had stopped: {left}");
    admin(&world, &["rebuild"]);
    assert_eq!(found(&other, "yam").await.len(), 20);
}

#[tokio::test]
async fn what_is_said_while_nobody_indexes_is_found_and_indexed_later() {
    let (world, ada, bayo, group) = talking().await;
    let rest = world.node().rest(&ada);
    send(&rest, group, "the first okra").await;
    indexed(&world).await;
    // As if the indexer were behind.
    let client = world.database.client().await;
    let back = "UPDATE progress SET last_seq = 0 WHERE name = 'search'; DELETE FROM message_search";
    client.batch_execute(back).await.expect("set back");
    assert_eq!(found(&world.node().rest(&bayo), "okra").await, ["the first okra"]);
    indexed(&world).await;
    assert_eq!(found(&world.node().rest(&bayo), "okra").await, ["the first okra"]);
}

/// Puts messages that all say the same into Postgres, persisted and indexed, from a place of the log on.
async fn chatter(world: &World, conversation: Uuid, from: i64, messages: i32) {
    let client = world.database.client().await;
    let sql = "
        WITH said AS (
            INSERT INTO messages (conversation_id, seq, id, counter, sender_id, type, content, metadata, mentions,
                                  created_at, updated_at)
            SELECT c.id, $2::bigint + n, gen_random_uuid(), 1000000 + $2 + n, c.creator_id, 'text', n || ' beans', '{}', '{}', now(), now()
            FROM conversations c, generate_series(0, $3::int - 1) AS n WHERE c.id = $1
            RETURNING conversation_id, seq, sender_id, created_at),
        found AS (
            INSERT INTO message_search (conversation_id, seq, sender_id, type, created_at, words)
            SELECT conversation_id, seq, sender_id, 'text', created_at,
                   array_to_tsvector(ARRAY[right(replace(conversation_id::text, '-', ''), 6) || 'beans'])
            FROM said)
        UPDATE conversations SET message_count = message_count + $3,
            last_message_seq = GREATEST(last_message_seq, $2 + $3 - 1) WHERE id = $1";
    client.execute(sql, &[&conversation, &from, &messages]).await.expect("as if");
    let sql = "UPDATE search_words SET messages = messages + $1 WHERE word IN ('', 'beans')";
    client.execute(sql, &[&i64::from(messages)]).await.expect("as if");
    let sql = "UPDATE progress SET last_seq = GREATEST(last_seq, $1) WHERE name = 'search'";
    client.execute(sql, &[&(from + i64::from(messages))]).await.expect("as if");
}

#[tokio::test]
async fn of_what_the_log_has_forgotten_only_changes_of_indexed_messages_wait_for_the_indexer() {
    let (mut world, ada, bayo, group) = talking().await;
    let rest = world.node().rest(&ada);
    let edit = async |message: Value, content: &str| {
        let path = format!("/messages/{}", id_of(&message));
        rest.put(&path, json!({ "content": content })).await.expect(200);
    };
    let old = send(&rest, group, "yam").await;
    indexed(&world).await;
    // Nobody gets to index from now on.
    let holder = world.database.client().await;
    let hold = "BEGIN; SELECT FROM progress WHERE name = 'search' FOR UPDATE";
    holder.batch_execute(hold).await.expect("held");
    let kept = place_of(&old).0;
    let new = send(&rest, group, "okra").await;
    for content in ["beans", "egusi"] {
        edit(new.clone(), content).await;
    }
    edit(old, "plantain").await;
    world.persisted().await;
    let database = world.database.client().await;
    let changed = async || {
        let sql = "SELECT message_seq FROM message_changes ORDER BY seq";
        let rows = database.query(sql, &[]).await.expect("rows");
        rows.iter().map(|row| row.get::<_, i64>(0).unsigned_abs()).collect::<Vec<_>>()
    };
    assert_eq!(changed().await, [place_of(&new).0, place_of(&new).0, kept]);
    world.node_mut(0).terminate().await;
    let log = jetstream::new(world.nats.client().await).get_stream("CHAT").await.expect("the log");
    log.purge().await.expect("forgotten");
    let node = world.add_node(UNPACED).await;
    eventually("what nobody needs is gone", async || (changed().await == [kept]).then_some(()))
        .await;
    holder.batch_execute("ROLLBACK").await.expect("let go");
    indexed(&world).await;
    let other = world.nodes()[node].rest(&bayo);
    assert_eq!(found(&other, "egusi or plantain").await.len(), 2);
    assert_eq!(found(&other, "yam or okra or beans").await, Vec::<String>::new());
    let expected = ["egusi", "plantain", ""].map(str::to_owned);
    assert_eq!(words(&world).await, expected.into());
}

#[tokio::test]
async fn what_nobody_has_indexed_yet_is_found_by_a_slip_too() {
    let (world, ada, bayo, group) = talking().await;
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    let mut client = world.database.client().await;
    let held = client.transaction().await.expect("a transaction");
    // Whoever indexes has to wait.
    let hold = "SELECT last_seq FROM progress WHERE name = 'search' FOR UPDATE";
    held.query_one(hold, &[]).await.expect("held");
    send(&rest, group, "fresh okra").await;
    assert_eq!(found(&other, "okro").await, ["fresh okra"]);
    drop(held);
    indexed(&world).await;
    assert_eq!(found(&other, "okro").await, ["fresh okra"]);
}

#[tokio::test]
async fn a_common_word_is_found_in_one_stretch_after_the_other_however_people_write_in_bursts() {
    let (world, ada, bayo, first) = talking().await;
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    let second = flow::open_group(&rest, std::slice::from_ref(&bayo)).await;
    for group in [first, second] {
        send(&rest, group, "beans").await;
    }
    indexed(&world).await;
    // More than are looked up. The first has said most of it long ago and a little just now, the second all at once.
    chatter(&world, first, 1_000, 2_400).await;
    chatter(&world, second, 800_000_000, 1_100).await;
    chatter(&world, first, 900_000_000, 30).await;
    let mut seen = Vec::new();
    let mut more = String::new();
    for _ in 0..60 {
        let page = search(&other, "beans", &format!("&limit=100{more}")).await;
        let places = page["results"]
            .as_array()
            .expect("results")
            .iter()
            .map(|one| (id_of(&one["message"]), one["conversation"]["id"] == json!(first)));
        seen.extend(places);
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        more = format!("&cursor={cursor}");
    }
    let different: HashSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), different.len()), (3_532, 3_532));
    // The first page is of the newest, whoever has said them.
    assert_eq!(seen[..100].iter().filter(|(_, is_first)| *is_first).count(), 30);
    let of_ada = search(&other, "beans", &format!("&limit=100&senderId={}", ada.id)).await;
    assert_eq!((contents(&of_ada).len(), of_ada["nextCursor"].is_string()), (100, true));
}

#[tokio::test]
async fn what_was_edited_is_indexed_although_the_log_has_forgotten_it_meanwhile() {
    let (mut world, ada, bayo, group) = talking().await;
    let rest = world.node().rest(&ada);
    let said = send(&rest, group, "the first okra").await;
    indexed(&world).await;
    // Nobody can index while the test holds the place.
    let mut client = world.database.client().await;
    let held = client.transaction().await.expect("begun");
    let sql = "SELECT last_seq FROM progress WHERE name = 'search' FOR UPDATE";
    held.execute(sql, &[]).await.expect("held");
    rest.put(&format!("/messages/{}", id_of(&said)), json!({"content": "yam"})).await.expect(200);
    let last = send(&rest, group, "later").await["seq"].as_u64().expect("a place");
    world.persisted().await;
    world.log().await.purge().sequence(last).await.expect("purged");
    world.node_mut(0).kill9().await;
    // Whoever begins to lead forgets what the log does not reach back to.
    let node = world.add_node(UNPACED).await;
    let other = world.database.client().await;
    eventually("older changes are forgotten", async || {
        let sql = "SELECT count(*) FROM conversation_changes";
        (other.query_one(sql, &[]).await.expect("a row").get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    held.rollback().await.expect("let go");
    indexed(&world).await;
    assert_eq!(found(&world.nodes()[node].rest(&bayo), "yam").await, ["yam"]);
}
