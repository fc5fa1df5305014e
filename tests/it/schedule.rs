//! Messages that are sent later: once, at their time, whatever happens until then.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::chat::Chat;
use crate::harness::flow::{self, UNPACED, eventually, history, id_of};
use crate::harness::socketio::SocketIo;
use crate::harness::{Rest, Worker, World};

/// Long enough for what should not come to have come.
const MOMENT: Duration = Duration::from_millis(300);

fn time(milliseconds: i64) -> String {
    let at = Timestamp::now() + jiff::SignedDuration::from_millis(milliseconds);
    format!("{at:.3}")
}

fn body(conversation: Uuid, content: &str, at: &str) -> Value {
    json!({"conversationId": conversation, "content": content, "sendAt": at})
}

async fn scheduled(rest: &Rest, query: &str) -> Vec<Value> {
    let list = rest.get(&format!("/messages/scheduled{query}")).await.expect(200);
    list["messages"].as_array().expect("a list").clone()
}

/// A message that is sent later, named, short-lived, with a mention and a quote.
fn with_everything(chat: &Chat, quoted: &Value, at: &str) -> Value {
    let mut message = body(chat.id, "first", at);
    message["clientMessageId"] = json!("k");
    message["ttlSeconds"] = json!(600);
    message["mentions"] = json!([chat.bayo.id]);
    message["replyToMessageId"] = quoted["id"].clone();
    message
}

async fn is_nobody_elses(its_sender: &Rest, other: &Rest, message: &Value) {
    assert!(scheduled(other, "").await.is_empty(), "another's are not shown");
    let path = format!("/messages/{}", id_of(message));
    assert_eq!(&its_sender.get(&path).await.expect(200), message);
    other.get(&path).await.refused(StatusCode::NOT_FOUND, "not_found");
    other.delete(&path).await.refused(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn a_message_is_sent_at_its_time_and_is_nobodys_business_before() {
    let chat = Chat::start().await;
    let (ada, bayo) = (chat.world.node().rest(&chat.ada), chat.world.nodes()[1].rest(&chat.bayo));
    let mut listening = chat.world.nodes()[1].ws(&chat.bayo).await;
    let mut ws = chat.world.node().ws(&chat.ada).await;
    let mut app = SocketIo::connect(chat.world.node(), &chat.ada).await;
    let quoted = flow::send(&ada, chat.id, "a secret").await;
    listening.event("newMessage").await;

    let at = time(2_000);
    let first = with_everything(&chat, &quoted, &at);
    let answer = ada.post("/messages", first.clone()).await.expect(201);
    assert_eq!((&answer["status"], &answer["sendAt"]), (&json!("scheduled"), &json!(at)));
    assert!(answer.get("seq").is_none(), "it has no place yet");
    assert_eq!(
        chat.world.nodes()[1].rest(&chat.ada).post("/messages", first.clone()).await.expect(200),
        answer
    );
    let again = ws.request("sendMessage", first.clone()).await.expect("the same");
    assert_eq!(again["message"], answer);
    assert_eq!(app.emit("sendMessage", first.clone()).await["message"], answer);
    let second = ws.request("sendMessage", body(chat.id, "second", &time(2_001))).await;
    let second = second.expect("accepted")["message"].take();
    let third = app.emit("sendMessage", body(chat.id, "third", &time(60_000))).await;
    assert_eq!(
        (&third["success"], &third["message"]["status"]),
        (&json!(true), &json!("scheduled"))
    );

    let all = scheduled(&ada, "").await;
    assert_eq!(all, [answer.clone(), second.clone(), third["message"].clone()]);
    assert_eq!(scheduled(&ada, &format!("?conversationId={}", chat.id)).await.len(), 3);
    assert!(scheduled(&ada, &format!("?conversationId={}", Uuid::new_v4())).await.is_empty());
    ada.get("/messages/scheduled?conversationId=7")
        .await
        .refused(StatusCode::BAD_REQUEST, "invalid");
    is_nobody_elses(&ada, &bayo, &answer).await;
    listening.no_event("newMessage", MOMENT).await;
    ada.delete(&format!("/messages/{}", id_of(&quoted))).await.expect(200);

    let sent = listening.event("newMessage").await["data"].take();
    assert_eq!((&sent["id"], &sent["content"]), (&answer["id"], &json!("first")));
    assert!(sent["createdAt"].as_str() >= Some(&at), "its times are those of the sending");
    assert!(sent["expiresAt"].is_string() && sent.get("sendAt").is_none());
    assert_eq!(
        (&sent["clientMessageId"], &sent["mentions"]),
        (&json!("k"), &json!([chat.bayo.id]))
    );
    assert_eq!(sent["replyTo"]["content"], "", "what it quotes was deleted meanwhile");
    let next = listening.event("newMessage").await["data"].take();
    assert_eq!(next["id"], second["id"], "in the order of their times");
    assert!(next["seq"].as_u64() > sent["seq"].as_u64());

    // Whoever repeats the request gets what was sent, as soon as Postgres has it.
    let late = eventually("it was sent", async || {
        let late = ada.post("/messages", first.clone()).await.expect(200);
        (late["status"] == "sent").then_some(late)
    })
    .await;
    assert_eq!((&late["seq"], &late["status"]), (&sent["seq"], &json!("sent")));
    let left = scheduled(&ada, "").await;
    assert_eq!(left.iter().map(id_of).collect::<Vec<_>>(), [id_of(&third["message"])]);
    let shown = history(&bayo, chat.id, 10).await;
    assert_eq!(shown.iter().skip(1).map(id_of).collect::<Vec<_>>(), [id_of(&sent), id_of(&next)]);
    listening.no_event("newMessage", MOMENT).await;
}

#[tokio::test]
async fn what_is_cancelled_in_time_is_never_sent() {
    let chat = Chat::start().await;
    let (ada, other) = (chat.world.node().rest(&chat.ada), chat.world.nodes()[1].rest(&chat.ada));
    let mut listening = chat.world.node().ws(&chat.bayo).await;
    let mut ws = chat.world.node().ws(&chat.ada).await;
    let mut named = body(chat.id, "never", &time(1_500));
    named["clientMessageId"] = json!("k");
    let one = ada.post("/messages", named.clone()).await.expect(201);
    let two = ada.post("/messages", body(chat.id, "never", &time(1_500))).await.expect(201);
    let cancelled = other.delete(&format!("/messages/{}", id_of(&one))).await.expect(200);
    assert_eq!(
        (&cancelled["isDeleted"], &cancelled["content"], &cancelled["status"]),
        (&json!(true), &json!(""), &json!("cancelled"))
    );
    ws.request("deleteMessage", json!({"messageId": two["id"]})).await.expect("cancelled");
    assert!(scheduled(&ada, "").await.is_empty());
    for answer in [other.post("/messages", named.clone()).await, ada.post("/messages", named).await]
    {
        answer.refused(StatusCode::CONFLICT, "conflict");
    }
    for id in [id_of(&one), id_of(&two)] {
        ada.get(&format!("/messages/{id}")).await.refused(StatusCode::NOT_FOUND, "not_found");
        ada.delete(&format!("/messages/{id}")).await.refused(StatusCode::NOT_FOUND, "not_found");
    }
    let last = ada.post("/messages", body(chat.id, "sent", &time(1_600))).await.expect(201);
    assert_eq!(id_of(&listening.event("newMessage").await["data"]), id_of(&last));
    listening.has_no_more("newMessage");
    // What was sent is deleted like any other.
    let deleted = ada.delete(&format!("/messages/{}", id_of(&last))).await.expect(200);
    assert!(deleted["seq"].is_u64());
    assert_eq!(listening.event("messageDeleted").await["data"]["messageId"], last["id"]);
    assert!(!chat.world.nats.has_on_disk("never"));
}

#[tokio::test]
async fn a_time_that_makes_no_sense_is_refused_and_one_just_past_is_now() {
    let chat = Chat::start().await;
    let ada = chat.world.node().rest(&chat.ada);
    let day = 24 * 3_600_000;
    for at in [
        time(-60_000),
        time(91 * day),
        "tomorrow".into(),
        "2026-13-01T00:00:00Z".into(),
        String::new(),
    ] {
        let refused = ada.post("/messages", body(chat.id, "x", &at)).await;
        let problem = refused.refused(StatusCode::BAD_REQUEST, "invalid");
        assert_eq!(problem["errors"][0]["field"], "sendAt", "{at}: {problem}");
    }
    let now = ada.post("/messages", body(chat.id, "now", &time(-5_000))).await.expect(201);
    assert_eq!(now["status"], "sent");
    assert!(now["seq"].is_u64());
    let stranger = chat.world.node().rest(&chat.world.user("Stranger"));
    let refused = stranger.post("/messages", body(chat.id, "x", &time(5_000))).await;
    refused.refused(StatusCode::FORBIDDEN, "not_a_participant");
    for _ in 0..100 {
        ada.post("/messages", body(chat.id, "x", &time(80 * day))).await.expect(201);
    }
    let refused = ada.post("/messages", body(chat.id, "x", &time(80 * day))).await;
    refused.refused(StatusCode::CONFLICT, "conflict");
    assert_eq!(scheduled(&ada, "").await.len(), 100);
}

#[tokio::test]
async fn whoever_has_left_by_then_sends_nothing_and_sees_that() {
    let chat = Chat::start().await;
    let rest = chat.world.node().rest(&chat.ada);
    let bayo = chat.world.node().rest(&chat.bayo);
    let group = flow::open_group(&rest, std::slice::from_ref(&chat.bayo)).await;
    let listening = chat.world.node().ws(&chat.ada).await;
    let message = bayo.post("/messages", body(group, "bye", &time(1_000))).await.expect(201);
    rest.delete(&format!("/conversations/{group}/participants/{}", chat.bayo.id)).await;
    let failed = async || {
        let all = scheduled(&bayo, "").await;
        (all.len() == 1 && all[0]["status"] == "failed").then_some(())
    };
    eventually("it has failed", failed).await;
    bayo.delete(&format!("/messages/{}", id_of(&message))).await.expect(200);
    assert!(scheduled(&bayo, "").await.is_empty());
    listening.has_no_more("newMessage");
    assert!(history(&rest, group, 10).await.is_empty());
}

#[tokio::test]
async fn restarts_of_everything_neither_lose_nor_double_it() {
    let mut world = World::without_nodes().await;
    world.add_node_with(&["--role", "edge"], UNPACED).await;
    let mut first = Worker::start(&world, &[]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &bayo).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let body = body(direct, &number.to_string(), &time(1_000 + number));
        ids.push(id_of(&rest.post("/messages", body).await.expect(201)));
    }
    world.persisted().await;
    // The leader puts them into the log and dies before it has applied them.
    let holder = world.database.client().await;
    holder.batch_execute("BEGIN").await.expect("a transaction");
    let lock = "SELECT 1 FROM conversations WHERE id = $1 FOR UPDATE";
    holder.execute(lock, &[&direct]).await.expect("held");
    world.a_batch_waits().await;
    first.0.kill9().await;
    holder.batch_execute("COMMIT").await.expect("released");
    world.nats.kill9();
    world.nats.start_again();
    let _second = Worker::start(&world, &[]).await;
    let all = async || (history(&rest, direct, 10).await.len() == 5).then_some(());
    eventually("all are sent", all).await;
    let none = async || scheduled(&rest, "").await.is_empty().then_some(());
    eventually("nothing is left to send", none).await;
    // One more behind them: had any come again, it would be in the log before this.
    let last = rest.post("/messages", body(direct, "last", &time(100))).await.expect(201);
    ids.push(id_of(&last));
    let all = async || (history(&rest, direct, 10).await.len() == 6).then_some(());
    eventually("the last is sent", all).await;
    let events = world.logged().await;
    let logged: Vec<Uuid> =
        events.iter().filter(|e| e.kind == "newMessage").map(|e| id_of(&e.data)).collect();
    assert_eq!(logged, ids, "each once, in the order of their times");
    let shown: Vec<Uuid> = history(&rest, direct, 10).await.iter().map(id_of).collect();
    assert_eq!(shown, ids);
    world.counters_are_dense(direct).await;
}
