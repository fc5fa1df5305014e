//! Dead letters of every consumer: seen, tried again once, dropped.

use serde_json::{Value, json};
use uuid::Uuid;

use super::audit;
use crate::harness::World;
use crate::harness::flow::{self, UNPACED, eventually, history, place_of};

async fn letters(world: &World) -> Vec<Value> {
    let found = world.run_admin_json(&["dead", "list"]).await;
    found.as_array().expect("letters").clone()
}

/// Waits until there are so many.
async fn waiting(world: &World, count: usize) -> Vec<Value> {
    let there = async || Some(letters(world).await).filter(|found| found.len() == count);
    eventually(&format!("{count} dead letters"), there).await
}

/// Puts an event into the log like the one at `seq`, of a message that Postgres refuses until [`mend`].
pub async fn refuse(world: &World, conversation: Uuid, seq: u64) {
    let raw = world.log().await.get_raw_message(seq).await.expect("stored");
    let mut payload: Value = serde_json::from_slice(&raw.payload).expect("JSON");
    payload["id"] = json!(Uuid::new_v4());
    payload["content"] = json!("refused for now");
    let database = world.database.client().await;
    let rule = "ALTER TABLE messages ADD CONSTRAINT for_now CHECK (content <> 'refused for now')";
    database.batch_execute(rule).await.expect("a rule");
    world.put_into_log(conversation, "newMessage", &payload).await;
}

/// What was refused can be persisted from now on.
pub async fn mend(world: &World) {
    let database = world.database.client().await;
    database.batch_execute("ALTER TABLE messages DROP CONSTRAINT for_now").await.expect("mended");
}

#[tokio::test]
async fn an_event_is_persisted_after_its_cause_was_mended_and_only_once() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &bayo).await;
    let (seq, _) = place_of(&flow::send(&rest, direct, "fine").await);
    world.persisted().await;
    refuse(&world, direct, seq).await;
    world.put_into_log(direct, "nonsense", &json!({"a": 1})).await;
    let found = waiting(&world, 2).await;
    let event = found.iter().find(|letter| letter["event"] == "newMessage").expect("the message");
    let nonsense = found.iter().find(|letter| letter["event"].is_null()).expect("the other");
    assert_eq!((&event["consumer"], &event["attempts"]), (&json!("persist"), &json!(1)));
    let number = event["seq"].to_string();
    let shown = world.run_admin_json(&["dead", "show", &number]).await;
    assert!(shown["payload"].as_str().expect("text").contains("refused for now"));

    mend(&world).await;
    let tried = world.run_admin_json(&["dead", "retry", &number, "--dry-run"]).await;
    assert_eq!(tried["retried"], json!([event["seq"]]));
    assert_eq!(letters(&world).await.len(), 2);
    world.run_admin(&["dead", "retry", &number]).await.fine();
    let there = async || {
        let said = history(&rest, direct, 50).await;
        said.iter().any(|message| message["content"] == "refused for now").then_some(())
    };
    eventually("it is in history", there).await;
    world.run_admin(&["dead", "retry", &number]).await.refused(&["no dead letter", "dead list"]);
    assert_eq!(history(&rest, direct, 50).await.len(), 2);

    let other = nonsense["seq"].to_string();
    let failed = world.run_admin(&["dead", "retry", &other]).await;
    assert_eq!(failed.code, Some(1));
    assert!(failed.stdout.contains("can only be dropped"), "{}", failed.stdout);
    world.run_admin(&["dead", "drop", &other]).await.refused(&["--reason"]);
    world.run_admin(&["dead", "drop", &other, "--reason", "garbage", "--yes"]).await.fine();
    assert_eq!(letters(&world).await, [] as [Value; 0]);
    let actions: Vec<String> = audit(&world).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(actions, ["dead drop", "dead retry"]);
}

#[tokio::test]
async fn what_a_service_said_is_replayed_when_it_can_be_taken() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let id = Uuid::new_v4();
    let context = async_nats::jetstream::new(world.nats.client().await);
    let subject = format!("messaging.system.events.conversation.{id}");
    let sent = context.publish(subject, r#"{"content":"Doors open at 8"}"#.into()).await;
    sent.expect("sent").await.expect("stored");
    let found = waiting(&world, 1).await;
    assert_eq!((&found[0]["consumer"], &found[0]["service"]), (&json!("ingest"), &json!("events")));
    let retry = ["dead", "retry", "--all", "--consumer", "ingest"];
    let failed = world.run_admin(&retry).await;
    assert_eq!(failed.code, Some(1), "{}", failed.stdout);
    // The conversation comes into being after all.
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &bayo).await;
    let database = world.database.client().await;
    for table in ["conversations SET id", "conversation_participants SET conversation_id"] {
        let column = table.rsplit(' ').next().expect("a column");
        let sql = format!("UPDATE {table} = $1 WHERE {column} = $2");
        database.execute(&sql, &[&id, &direct]).await.expect("moved");
    }
    world.run_admin(&retry).await.fine();
    assert_eq!(letters(&world).await, [] as [Value; 0]);
    world.persisted().await;
    assert_eq!(world.rows(id).await.len(), 1);
}
