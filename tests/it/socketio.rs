//! An app that uses a stock `socket.io-client` works unchanged.

mod acks;
mod events;
mod recovery;
mod transport;

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::socketio::SocketIo;
use crate::harness::{User, World};

/// Two users with a direct conversation.
async fn pair(world: &World) -> (User, User, String) {
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let body = json!({"type": "direct", "participantIds": [bayo.id]});
    let conversation = world.node().rest(&ada).post("/conversations", body).await.expect(201);
    let id = conversation["id"].as_str().expect("an id").to_owned();
    (ada, bayo, id)
}

async fn refused(world: &World, options: Value) -> Value {
    let mut client = SocketIo::open(world.node(), &options);
    client.event("connect_error").await
}

#[tokio::test]
async fn a_token_in_auth_or_in_a_header_lets_in() {
    let world = World::start().await;
    let ada = world.user("Ada");
    SocketIo::connect(world.node(), &ada).await;
    let header = json!({"extraHeaders": {"Authorization": format!("Bearer {}", ada.token)}});
    SocketIo::open(world.node(), &header).event("connect").await;
}

#[tokio::test]
async fn a_refusal_carries_its_code() {
    let world = World::start().await;
    let expired = world.user("Ada").with_token_for(-60);
    for options in [
        json!({}),
        json!({"auth": {"token": "nonsense"}}),
        json!({"auth": {"token": expired.token}}),
    ] {
        let error = refused(&world, options).await;
        assert_eq!(error["data"]["code"], "unauthenticated", "{error}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
    }
}

#[tokio::test]
async fn another_namespace_is_refused() {
    let world = World::start().await;
    let options = json!({"auth": {"token": world.user("Ada").token}});
    let mut client = SocketIo::open_at(&format!("{}/elsewhere", world.node().url), &options);
    assert_eq!(client.event("connect_error").await["message"], "Invalid namespace");
}

#[tokio::test]
async fn long_polling_is_refused_by_the_protocols_own_error() {
    let world = World::start().await;
    let outside = crate::harness::Rest::new(&world.node().url, None);
    let answer = outside.get("//socket.io/?EIO=4&transport=polling").await;
    assert_eq!((answer.status, &answer.body["code"]), (400, &json!(0)), "{answer:?}");
}

#[tokio::test]
async fn a_message_is_acknowledged_and_followed_by_the_conversation() {
    let world = World::start().await;
    let (ada, bayo, conversation) = pair(&world).await;
    let mut ada = SocketIo::connect(world.node(), &ada).await;
    let mut bayo = SocketIo::connect(world.node(), &bayo).await;
    let data = json!({"conversationId": conversation, "content": "Hello!"});
    let ack = ada.emit("sendMessage", data).await;
    assert_eq!(ack["success"], true, "{ack}");
    assert_eq!(ack["message"]["content"], "Hello!");
    let message = bayo.event("newMessage").await;
    assert_eq!(message["id"], ack["message"]["id"]);
    assert_eq!(message["seq"], ack["message"]["seq"]);
    let updated = bayo.event("conversationUpdated").await;
    assert_eq!(updated["conversationId"], conversation.as_str());
    assert_eq!(updated["lastMessage"]["id"], ack["message"]["id"], "{updated}");
    assert!(updated["updatedAt"].is_string());
}

#[tokio::test]
async fn edits_deletes_reads_and_typing_arrive_as_events() {
    let world = World::start().await;
    let (ada, bayo, conversation) = pair(&world).await;
    let mut ada = SocketIo::connect(world.node(), &ada).await;
    let mut bayo = SocketIo::connect(world.node(), &bayo).await;

    let typing = json!({"conversationId": conversation, "isTyping": true});
    assert_eq!(ada.emit("typing", typing).await["success"], true);
    assert_eq!(bayo.event("userTyping").await["isTyping"], true);
    ada.no_event("userTyping", Duration::from_millis(200)).await;

    let data = json!({"conversationId": conversation, "content": "Helo"});
    let sent = ada.emit("sendMessage", data).await;
    let id = sent["message"]["id"].clone();
    let edited = ada.emit("editMessage", json!({"messageId": id, "content": "Hello"})).await;
    assert_eq!((&edited["success"], &edited["message"]["isEdited"]), (&json!(true), &json!(true)));
    let updated = bayo.event("messageUpdated").await;
    assert_eq!((&updated["id"], &updated["content"]), (&id, &json!("Hello")));

    let read = bayo.emit("markAsRead", json!({"conversationId": conversation})).await;
    assert_eq!((&read["success"], &read["unreadCount"]), (&json!(true), &json!(0)), "{read}");
    let read = ada.event("messageRead").await;
    assert_eq!(read["conversationId"], conversation.as_str());

    assert_eq!(ada.emit("deleteMessage", json!({"messageId": id})).await["success"], true);
    let deleted = bayo.event("messageDeleted").await;
    assert_eq!((&deleted["messageId"], &deleted["conversationId"]), (&id, &json!(conversation)));
}

#[tokio::test]
async fn a_failure_is_acknowledged_with_its_code() {
    let world = World::start().await;
    let (ada, _, conversation) = pair(&world).await;
    let mut ada = SocketIo::connect(world.node(), &ada).await;
    let blank =
        ada.emit("sendMessage", json!({"conversationId": conversation, "content": " "})).await;
    assert_eq!((&blank["success"], &blank["code"]), (&json!(false), &json!("invalid")), "{blank}");
    assert_eq!(blank["errors"][0]["field"], "content");
    assert!(blank["error"].is_string());
    let foreign = json!({"conversationId": uuid::Uuid::new_v4(), "content": "Hello!"});
    assert_eq!(ada.emit("sendMessage", foreign).await["code"], "not_a_participant");
    let unknown = ada.emit("noSuchThing", json!({})).await;
    assert_eq!(
        (&unknown["success"], &unknown["code"]),
        (&json!(false), &json!("invalid")),
        "{unknown}"
    );
}

#[tokio::test]
async fn a_conversation_gained_while_connected_flows_at_once_on_every_node() {
    let mut world = World::start().await;
    world.add_node(&[]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let mut bayo_there = SocketIo::connect(&world.nodes()[1], &bayo).await;
    let body = json!({"type": "direct", "participantIds": [bayo.id]});
    let rest = world.node().rest(&ada);
    let conversation = rest.post("/conversations", body).await.expect(201);
    assert_eq!(bayo_there.event("conversationUpdated").await["change"], "created");
    let body = json!({"conversationId": conversation["id"], "content": "Hello!"});
    let sent = rest.post("/messages", body).await.expect(201);
    assert_eq!(bayo_there.event("newMessage").await["id"], sent["id"]);
}

#[tokio::test]
async fn a_draining_node_tells_its_clients_when_to_come_back() {
    let mut world = World::start_with(&[("MESSAGING_DRAIN_WINDOW", "1s")]).await;
    let ada = world.user("Ada");
    let mut client = SocketIo::connect(world.node(), &ada).await;
    world.node().process.signal(libc::SIGTERM);
    assert!(client.event("reconnect").await["afterMs"].is_u64());
    client.event("disconnect").await;
    assert!(world.node_mut(0).ended().await.success());
}

#[tokio::test]
async fn both_protocols_meet_in_one_conversation() {
    let world = World::start().await;
    let (ada, bayo, conversation) = pair(&world).await;
    let mut ada = world.node().ws(&ada).await;
    let mut bayo = SocketIo::connect(world.node(), &bayo).await;
    let data = json!({"conversationId": conversation, "content": "from native"});
    ada.request("sendMessage", data).await.expect("accepted");
    assert_eq!(bayo.event("newMessage").await["content"], "from native");
    let data = json!({"conversationId": conversation, "content": "from Socket.IO"});
    assert_eq!(bayo.emit("sendMessage", data).await["success"], true);
    // One's own message comes back as an event too: other devices of the sender rely on it.
    ada.event("newMessage").await;
    assert_eq!(ada.event("newMessage").await["data"]["content"], "from Socket.IO");
}
