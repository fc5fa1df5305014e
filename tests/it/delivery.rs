//! Delivery: proven by the client's WebSocket, told to the senders, and shown in status and receipts.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, eventually, id_of, open_direct, open_group};
use crate::harness::raw::Raw;
use crate::harness::socketio::SocketIo;
use crate::harness::{Rest, User, World, Ws};

/// Long enough for what travels along with an event that was seen.
const MOMENT: Duration = Duration::from_millis(100);

/// The next `messageDelivered` that covers a message.
async fn delivered(ws: &mut Ws, message: &Value) -> Value {
    loop {
        let mut event = ws.event("messageDelivered").await;
        assert!(event.get("cursor").is_none(), "deliveries are not replayed");
        if event["data"]["seq"].as_u64() >= message["seq"].as_u64() {
            return event["data"].take();
        }
    }
}

async fn receipts(rest: &Rest, message: &Value) -> Value {
    rest.get(&format!("/messages/{}/receipts", id_of(message))).await.expect(200)
}

/// Who is in one of the lists of receipts, in its order.
fn users(receipts: &Value, list: &str) -> Vec<Uuid> {
    let entries = receipts[list].as_array().expect("a list");
    entries.iter().map(|entry| flow::uuid_of(&entry["userId"])).collect()
}

/// What the sender is shown as the status of a message, which is the last of its conversation.
async fn statuses(rest: &Rest, conversation: Uuid, message: &Value) -> Vec<String> {
    let one = rest.get(&format!("/messages/{}", id_of(message))).await.expect(200);
    let path = format!("/conversations/{conversation}/messages?limit=1");
    let page = rest.get(&path).await.expect(200);
    let view = rest.get(&format!("/conversations/{conversation}")).await.expect(200);
    let list = rest.get("/conversations").await.expect(200);
    let shown = [
        &one,
        &page["messages"][0],
        &view["lastMessage"],
        &list["conversations"][0]["lastMessage"],
    ];
    shown.iter().map(|m| m["status"].as_str().unwrap_or("none").to_owned()).collect()
}

#[tokio::test]
async fn a_message_goes_from_sent_to_delivered_to_read_without_help_from_the_client() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.nodes()[1].rest(&ada);
    let conversation = open_direct(&rest, &bayo).await;
    let mut sender = world.nodes()[0].ws(&ada).await;
    let message = sender.say(conversation, "hello").await;
    assert_eq!(statuses(&rest, conversation, &message).await, ["sent"; 4]);
    assert_eq!(receipts(&rest, &message).await, json!({"deliveredTo": [], "readBy": []}));

    let phone = world.nodes()[1].ws(&bayo).await.listen();
    let message = sender.say(conversation, "and again").await;
    let event = delivered(&mut sender, &message).await;
    assert_eq!(event["conversationId"], json!(conversation));
    assert_eq!((&event["userId"], &event["seq"]), (&json!(bayo.id), &message["seq"]));
    assert_eq!(statuses(&rest, conversation, &message).await, ["delivered"; 4]);
    let shown = receipts(&rest, &message).await;
    let entry = json!({"userId": bayo.id, "at": event["deliveredAt"]});
    assert_eq!(shown, json!({"deliveredTo": [entry], "readBy": []}));
    let view = rest.get(&format!("/conversations/{conversation}")).await.expect(200);
    let own = |p: &&Value| p["userId"] == json!(bayo.id);
    let participant = view["participants"].as_array().expect("some").iter().find(own);
    assert_eq!(participant.expect("Bayo")["deliveredSeq"], message["seq"]);
    drop(phone);

    // Whoever reads without a connection has received.
    let message = sender.say(conversation, "a third").await;
    assert!(users(&receipts(&rest, &message).await, "deliveredTo").is_empty());
    let path = format!("/conversations/{conversation}/mark-read");
    world.node().rest(&bayo).post(&path, json!({})).await.expect(200);
    assert_eq!(statuses(&rest, conversation, &message).await, ["read"; 4]);
    let shown = receipts(&rest, &message).await;
    assert_eq!(
        (users(&shown, "deliveredTo"), users(&shown, "readBy")),
        (vec![bayo.id], vec![bayo.id])
    );
    let seen_by_reader = receipts(&world.node().rest(&bayo), &message).await;
    assert_eq!(seen_by_reader, shown, "every participant may look");
}

#[tokio::test]
async fn a_stock_socketio_client_proves_and_hears_deliveries() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut sender = SocketIo::connect(world.node(), &ada).await;
    let _receiver = SocketIo::connect(world.node(), &bayo).await;
    let data = json!({"conversationId": conversation, "content": "hello"});
    let sent = sender.emit("sendMessage", data).await;
    let event = sender.event("messageDelivered").await;
    assert_eq!(event["conversationId"], json!(conversation));
    assert_eq!((&event["userId"], &event["seq"]), (&json!(bayo.id), &sent["message"]["seq"]));
}

/// The connection of a client whose answers the test makes itself. It is known to have been dealt with when others hear
/// that the client types.
async fn dealt_with(raw: &mut Raw, sender: &mut Ws, conversation: Uuid) {
    let data = json!({"conversationId": conversation, "isTyping": true});
    raw.send(&json!({"id": 1, "op": "typing", "data": data}).to_string()).await;
    sender.event("userTyping").await;
}

#[tokio::test]
async fn a_cut_or_forged_proof_proves_nothing() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let conversation = open_direct(&rest, &bayo).await;
    let mut sender = world.node().ws(&ada).await;
    // It does not read, so its library answers nothing.
    let mut receiver = Raw::native(&world.node().url, &bayo.token).await;
    dealt_with(&mut receiver, &mut sender, conversation).await;
    let message = sender.say(conversation, "hello").await;
    let seq = message["seq"].as_u64().expect("a place");
    for forged in [0, seq - 1, seq + 1, u64::MAX] {
        receiver.send_message(Message::Pong(forged.to_be_bytes().to_vec().into())).await;
    }
    for forged in ["", "pong", &seq.to_string()] {
        receiver.send_message(Message::Pong(forged.to_owned().into())).await;
    }
    dealt_with(&mut receiver, &mut sender, conversation).await;
    drop(receiver);
    sender.no_event("messageDelivered", MOMENT).await;
    assert_eq!(receipts(&rest, &message).await, json!({"deliveredTo": [], "readBy": []}));
    assert_eq!(
        rest.get(&format!("/messages/{}", id_of(&message))).await.expect(200)["status"],
        "sent"
    );
}

#[tokio::test]
async fn only_those_whose_messages_have_arrived_are_told() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let users: Vec<User> = (0..4).map(|n| world.user(&format!("U{n}"))).collect();
    let group = open_group(&world.node().rest(&users[0]), &users[1..]).await;
    let mut ada = world.nodes()[0].ws(&users[0]).await;
    let mut bayo = world.nodes()[1].ws(&users[1]).await;
    let mut silent = world.nodes()[1].ws(&users[2]).await;
    let _listener = world.nodes()[0].ws(&users[3]).await.listen();
    let of_ada = ada.say(group, "from Ada").await;
    let event = delivered(&mut ada, &of_ada).await;
    assert_eq!(event["conversationId"], json!(group));
    silent.event("newMessage").await;
    bayo.event("newMessage").await;
    bayo.has_no_more("messageDelivered");
    let of_bayo = bayo.say(group, "from Bayo").await;
    delivered(&mut bayo, &of_bayo).await;
    silent.no_event("messageDelivered", MOMENT).await;
    // In the end everybody but the sender has it.
    let rest = world.node().rest(&users[1]);
    eventually("all have received", async || {
        ada.request("ping", json!({})).await.expect("answered");
        silent.request("ping", json!({})).await.expect("answered");
        (receipts(&rest, &of_bayo).await["deliveredTo"].as_array()?.len() == 3).then_some(())
    })
    .await;
    assert_eq!(statuses(&rest, group, &of_bayo).await, ["delivered"; 4]);
}

/// A metric of a node that has no labels.
async fn metric(world: &World, name: &str) -> u64 {
    let text = Rest::new(&world.node().url, None).get("//metrics").await.body;
    let text = text.as_str().expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("messaging_{name}_total ")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn a_busy_connection_is_asked_once_a_second_and_the_last_message_is_proven_too() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut sender = world.node().ws(&ada).await;
    let _receiver = world.node().ws(&bayo).await.listen();
    let began = std::time::Instant::now();
    let mut last = Value::Null;
    for n in 0..60 {
        last = sender.say(conversation, &format!("{n}")).await;
    }
    delivered(&mut sender, &last).await;
    let seconds = began.elapsed().as_secs_f64();
    let proofs = metric(&world, "delivery_proofs").await;
    assert!((1..=2 + seconds as u64).contains(&proofs), "{proofs} proofs in {seconds} s");
}

#[tokio::test]
async fn a_conversation_of_more_than_a_hundred_is_not_followed_and_soon_not_asked_about() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let mut others: Vec<User> = (0..99).map(|n| world.user(&format!("U{n}"))).collect();
    others.push(bayo.clone());
    let rest = world.node().rest(&ada);
    let large = open_group(&rest, &others).await;
    let small = open_group(&rest, &others[1..]).await;
    let mut sender = world.node().ws(&ada).await;
    let _receiver = world.node().ws(&bayo).await.listen();
    sender.say(large, "one").await;
    eventually("the node has asked", async || {
        (metric(&world, "delivery_proofs").await == 1).then_some(())
    })
    .await;
    // What is proven behind it was committed behind it.
    let followed = sender.say(small, "hello").await;
    delivered(&mut sender, &followed).await;
    let proofs = metric(&world, "delivery_proofs").await;
    let message = sender.say(large, "two").await;
    sender.no_event("messageDelivered", Duration::from_millis(1200)).await;
    assert_eq!(metric(&world, "delivery_proofs").await, proofs, "remembered as too large");
    let nobody = json!({"deliveredTo": [], "readBy": []});
    assert_eq!(receipts(&rest, &message).await, nobody);
}

#[tokio::test]
async fn what_is_proven_while_postgres_is_away_is_told_when_it_is_back() {
    let mut world = World::with_own_postgres().await;
    world.add_node(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let conversation = open_direct(&rest, &bayo).await;
    let mut sender = world.node().ws(&ada).await;
    let _receiver = world.node().ws(&bayo).await.listen();
    world.persisted().await;
    world.database.server().kill();
    let message = sender.say(conversation, "hello").await;
    eventually("the proof is there", async || {
        (metric(&world, "delivery_proofs").await > 0).then_some(())
    })
    .await;
    world.database.server().start_again();
    let event = delivered(&mut sender, &message).await;
    assert_eq!(event["userId"], json!(bayo.id));
    eventually("delivered", async || {
        let answer = rest.get(&format!("/messages/{}", id_of(&message))).await;
        (answer.body["status"] == "delivered").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_replayed_to_somebody_who_comes_back_is_proven_like_anything_else() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut sender = world.node().ws(&ada).await;
    let away = world.node().ws(&bayo).await;
    let cursor = away.connected["cursor"].as_str().expect("a cursor").to_owned();
    drop(away);
    let message = sender.say(conversation, "missed").await;
    let query = format!("?cursor={cursor}");
    let _back = Ws::connect_to(&world.node().url, &query, &bayo.token).await.listen();
    assert_eq!(delivered(&mut sender, &message).await["userId"], json!(bayo.id));
}

#[tokio::test]
async fn whoever_comes_back_has_what_their_connection_did_not_live_to_prove() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let conversation = open_direct(&rest, &bayo).await;
    let mut sender = world.node().ws(&ada).await;
    // It does not read, so its library answers nothing.
    let mut phone = Raw::native(&world.node().url, &bayo.token).await;
    dealt_with(&mut phone, &mut sender, conversation).await;
    let seen = sender.say(conversation, "seen").await;
    let missed = sender.say(conversation, "missed").await;
    drop(phone);
    let (epoch, _) = sender.connected["cursor"]
        .as_str()
        .and_then(|cursor| cursor.rsplit_once('.'))
        .expect("a cursor");
    let cursor = format!("{epoch}.{}", seen["seq"]);
    let back = world.nodes()[1].rest(&bayo);
    let told = back.get(&format!("/sync?cursor={cursor}")).await.expect(200);
    assert_eq!(told["events"][0]["data"]["id"], missed["id"], "{told}");
    let event = delivered(&mut sender, &seen).await;
    assert_eq!((&event["userId"], &event["seq"]), (&json!(bayo.id), &seen["seq"]));
    assert_eq!(users(&receipts(&rest, &seen).await, "deliveredTo"), [bayo.id]);
    assert!(users(&receipts(&rest, &missed).await, "deliveredTo").is_empty());
}

#[tokio::test]
async fn receipts_are_for_participants_and_name_only_those_who_were_there() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let (late, outsider) = (world.user("Late"), world.user("Outsider"));
    let rest = world.node().rest(&ada);
    let group = open_group(&rest, std::slice::from_ref(&bayo)).await;
    let message = flow::send(&rest, group, "hello").await;
    let path = format!("/messages/{}/receipts", id_of(&message));
    for user in [&outsider, &late] {
        world.node().rest(user).get(&path).await.refused(StatusCode::NOT_FOUND, "not_found");
    }
    let nowhere = format!("/messages/{}/receipts", Uuid::new_v4());
    rest.get(&nowhere).await.refused(StatusCode::NOT_FOUND, "not_found");
    rest.get("/messages/x/receipts").await.refused(StatusCode::BAD_REQUEST, "invalid");

    let added = json!({"userIds": [late.id]});
    let answer = rest.post(&format!("/conversations/{group}/participants"), added).await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    let read = format!("/conversations/{group}/mark-read");
    for user in [&bayo, &late] {
        world.node().rest(user).post(&read, json!({})).await.expect(200);
    }
    let shown = receipts(&world.node().rest(&late), &message).await;
    assert_eq!(
        users(&shown, "readBy"),
        [bayo.id],
        "who came later was not there, the sender needs none"
    );
    assert_eq!(users(&shown, "deliveredTo"), [bayo.id]);
    assert_eq!(
        statuses(&rest, group, &message).await,
        ["read"; 4],
        "nobody waits for the late one"
    );
    let second = flow::send(&rest, group, "to all").await;
    world.node().rest(&late).post(&read, json!({})).await.expect(200);
    assert_eq!(users(&receipts(&rest, &second).await, "readBy"), [late.id]);
    assert_eq!(statuses(&rest, group, &second).await, ["sent"; 4]);
}
