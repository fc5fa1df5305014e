//! What two people of whom one has blocked the other see of each other.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::blocks::{Two, block, unblock};
use crate::harness::flow::{eventually, id_of, open_direct};
use crate::harness::proxy::Mode;
use crate::harness::{Rest, User, World, Ws};

/// Waits until a connection is told that somebody is online, or is not; returns what it is told.
async fn told(ws: &mut Ws, of: &User, is_online: bool) -> Value {
    loop {
        let event = ws.event("userStatusChanged").await["data"].take();
        if event["userId"] == json!(of.id) && event["isOnline"] == json!(is_online) {
            return event;
        }
    }
}

#[tokio::test]
async fn each_is_gone_for_the_other_at_once_on_every_node_and_back_when_it_is_undone() {
    let mut two = Two::start().await;
    let there = two.world.add_node(&[]).await;
    let mut of_ada = two.world.node().ws(&two.ada).await;
    let mut of_ben = two.world.nodes()[there].ws(&two.ben).await;
    for (ws, other) in [(&mut of_ada, &two.ben), (&mut of_ben, &two.ada)] {
        eventually("each sees the other", async || {
            let asked = json!({"userIds": [other.id]});
            // Asked so often it may be too often.
            let seen = ws.request("subscribePresence", asked).await.ok()?;
            (seen["presence"][0]["isOnline"] == true).then_some(())
        })
        .await;
    }
    block(&two.rest(&two.ada), &two.ben).await;
    for (ws, other) in [(&mut of_ada, &two.ben), (&mut of_ben, &two.ada)] {
        assert_eq!(told(ws, other, false).await["lastSeenAt"], Value::Null);
        let asked = json!({"userIds": [other.id]});
        let seen = ws.request("subscribePresence", asked).await.expect("accepted");
        assert_eq!(seen["presence"][0]["isOnline"], false);
    }
    unblock(&two.rest(&two.ada), &two.ben).await;
    for (ws, other) in [(&mut of_ada, &two.ben), (&mut of_ben, &two.ada)] {
        told(ws, other, true).await;
    }
}

/// How far somebody is, as a participant in a list, and whether that is shown.
fn shows_position(participants: &Value, of: &User) -> bool {
    let people = participants.as_array().expect("people");
    let found = people.iter().find(|p| p["userId"] == json!(of.id)).expect("there");
    let shown = [&found["lastReadSeq"], &found["deliveredSeq"]].map(|seq| *seq != json!(0));
    assert_eq!(shown[0], found["lastReadMessageId"].is_string(), "{found}");
    shown[0] || shown[1]
}

/// What somebody sees of how far the other one is: in the conversation, the list of people, the list of conversations, on
/// the own message, and by its receipts.
async fn sees(two: &Two, viewer: &User, other: &User, own: &Value) -> Vec<bool> {
    let rest = two.rest(viewer);
    let path = format!("/conversations/{}", two.direct);
    let one = rest.get(&path).await.expect(200);
    assert!(shows_position(&one["participants"], viewer), "one's own is always there");
    let people = rest.get(&format!("{path}/participants")).await.expect(200);
    let list = rest.get("/conversations").await.expect(200);
    let history = rest.get(&format!("{path}/messages")).await.expect(200);
    let messages = history["messages"].as_array().expect("messages");
    let message = messages.iter().find(|message| message["id"] == own["id"]).expect("it");
    let receipts = rest.get(&format!("/messages/{}/receipts", id_of(own))).await.expect(200);
    let last = &list["conversations"][0]["lastMessage"];
    let mut seen = vec![
        shows_position(&one["participants"], other),
        shows_position(&people["participants"], other),
        shows_position(&list["conversations"][0]["participants"], other),
        message["status"] != "sent",
        receipts["readBy"] != json!([]),
        receipts["deliveredTo"] != json!([]),
    ];
    if last["id"] == own["id"] {
        seen.push(last["status"] != "sent");
    }
    seen
}

#[tokio::test]
async fn neither_learns_how_far_the_other_has_read_until_it_is_undone() {
    let two = Two::start().await;
    let (ada, ben) = (&two.ada, &two.ben);
    for user in [ada, ben] {
        let path = format!("/conversations/{}/mark-read", two.direct);
        two.rest(user).post(&path, json!({})).await.expect(200);
    }
    two.world.persisted().await;
    let of_both = async || {
        let mut seen = sees(&two, ada, ben, &two.of_ada).await;
        seen.extend(sees(&two, ben, ada, &two.of_ben).await);
        assert_eq!(seen.len(), 13);
        seen
    };
    assert!(of_both().await.iter().all(|shown| *shown));
    block(&two.rest(ada), ben).await;
    assert!(of_both().await.iter().all(|shown| !*shown), "{:?}", of_both().await);
    unblock(&two.rest(ada), ben).await;
    assert!(of_both().await.iter().all(|shown| *shown));
}

/// A number of `/metrics`.
pub async fn metric(world: &World, name: &str) -> u64 {
    let text = Rest::new(&world.node().url, None).get("//metrics").await.expect(200);
    let lines = text.as_str().expect("text").lines().map(str::to_owned);
    let found: Vec<String> = lines.filter(|line| line.starts_with(name)).collect();
    let [line] = &found[..] else { panic!("{name}: {found:?}") };
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[tokio::test]
async fn what_is_refused_and_reported_is_counted_and_so_is_a_block_that_cannot_be_read() {
    let mut world = World::without_nodes().await;
    let (proxy, url) = world.database.proxy().await;
    let settings = [("POSTGRES_URL", url.as_str()), ("MESSAGING_POSTGRES_STATEMENT_TIMEOUT", "1s")];
    world.add_node(&settings).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.node().rest(&ada);
    let direct = open_direct(&rest, &ben).await;
    block(&rest, &ben).await;
    let message = json!({"conversationId": direct, "content": "hello?"});
    for _ in 0..2 {
        let refused = world.node().rest(&ben).post("/messages", message.clone()).await;
        refused.refused(StatusCode::FORBIDDEN, "forbidden");
    }
    let report = json!({"userId": ben.id, "reason": "rude"});
    rest.post("/reports", report).await.expect(201);
    assert_eq!(metric(&world, "messaging_safety_refused_total{rule=\"blocked\"}").await, 2);
    assert_eq!(metric(&world, "messaging_safety_refused_total{rule=\"flood\"}").await, 0);
    assert_eq!(metric(&world, "messaging_safety_reports_total").await, 1);
    assert_eq!(metric(&world, "messaging_safety_block_changes_total").await, 1);
    let failures = "messaging_safety_read_failures_total";
    assert_eq!(metric(&world, failures).await, 0);
    proxy.set(Mode::Cut);
    eventually("a failure is counted", async || (metric(&world, failures).await > 0).then_some(()))
        .await;
    proxy.set(Mode::Pass);
}
