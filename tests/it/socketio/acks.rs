//! Every operation with its acknowledgement: what it says when it worked, and when it did not.

use serde_json::{Value, json};
use uuid::Uuid;

use super::pair;
use crate::harness::World;
use crate::harness::socketio::SocketIo;

#[track_caller]
fn failed(ack: &Value, code: &str) {
    assert_eq!((&ack["success"], &ack["code"]), (&json!(false), &json!(code)), "{ack}");
    assert!(ack["error"].as_str().is_some_and(|text| !text.is_empty()), "{ack}");
    assert!(ack.get("message").is_none(), "{ack}");
}

/// The one field that a failure names.
#[track_caller]
fn field(ack: &Value, name: &str) {
    failed(ack, "invalid");
    assert_eq!(ack["errors"][0]["field"], name, "{ack}");
    assert!(ack["errors"][0]["message"].is_string(), "{ack}");
}

#[tokio::test]
async fn sends_edits_and_deletions_are_acknowledged_with_the_message() {
    let world = World::start().await;
    let (ada, bayo, conversation) = pair(&world).await;
    let mut sender = SocketIo::connect(world.node(), &ada).await;
    let mut other = SocketIo::connect(world.node(), &bayo).await;
    let data = json!({"conversationId": conversation, "content": "Helo", "clientMessageId": "k"});
    let sent = sender.emit("sendMessage", data.clone()).await;
    let message = &sent["message"];
    assert_eq!(sent["success"], true, "{sent}");
    assert_eq!((&message["senderId"], &message["status"]), (&json!(ada.id), &json!("sent")));
    assert!(message["seq"].is_u64());
    assert_eq!(sender.emit("sendMessage", data).await, sent, "a retry is answered the same");

    let edit = json!({"messageId": message["id"], "content": "Hello"});
    let edited = sender.emit("editMessage", edit.clone()).await;
    assert_eq!(edited["success"], true, "{edited}");
    assert_eq!(
        (&edited["message"]["content"], &edited["message"]["seq"]),
        (&json!("Hello"), &message["seq"],)
    );
    failed(&other.emit("editMessage", edit.clone()).await, "forbidden");
    let unknown = json!({"messageId": Uuid::new_v4(), "content": "x"});
    failed(&sender.emit("editMessage", unknown).await, "not_found");

    let which = json!({"messageId": message["id"]});
    failed(&other.emit("deleteMessage", which.clone()).await, "forbidden");
    let deleted = sender.emit("deleteMessage", which).await;
    assert_eq!(deleted["success"], true, "{deleted}");
    assert_eq!(
        (&deleted["message"]["isDeleted"], &deleted["message"]["content"]),
        (&json!(true), &json!(""),)
    );
    failed(&sender.emit("editMessage", edit).await, "conflict");
}

#[tokio::test]
async fn everything_else_is_acknowledged_too() {
    let world = World::start().await;
    let (ada, bayo, conversation) = pair(&world).await;
    let mut client = SocketIo::connect(world.node(), &ada).await;
    let which = json!({"conversationId": conversation});
    let typing = json!({"conversationId": conversation, "isTyping": false});
    let plain = json!({"success": true});
    assert_eq!(client.emit("typing", typing).await, plain);
    assert_eq!(client.emit("leaveConversation", which.clone()).await, plain);
    assert_eq!(client.emit("joinConversation", which.clone()).await, plain);
    assert_eq!(client.emit("ping", Value::Null).await, plain);
    let read = client.emit("markAsRead", which).await;
    assert_eq!(read, json!({"success": true, "unreadCount": 0}));
    let fresh = json!({"token": ada.with_token_for(7200).token});
    let refreshed = client.emit("refreshToken", fresh).await;
    assert_eq!(refreshed["success"], true, "{refreshed}");
    assert!(refreshed["expiresAt"].is_string(), "{refreshed}");
    failed(&client.emit("refreshToken", json!({"token": bayo.token})).await, "forbidden");
    failed(&client.emit("refreshToken", json!({"token": "x"})).await, "unauthenticated");
}

#[tokio::test]
async fn a_wrong_argument_is_named_and_a_stranger_refused() {
    let world = World::start().await;
    let (ada, _, conversation) = pair(&world).await;
    let mut client = SocketIo::connect(world.node(), &ada).await;
    for (op, data, name) in [
        ("sendMessage", json!({"conversationId": conversation, "content": ""}), "content"),
        ("sendMessage", Value::Null, "body"),
        ("sendMessage", json!("text"), "body"),
        ("sendMessage", json!({"conversationId": 7}), "conversationId"),
        ("editMessage", json!({"content": "x"}), "messageId"),
        ("deleteMessage", json!({}), "messageId"),
        ("typing", json!({"conversationId": conversation}), "isTyping"),
        ("markAsRead", json!({}), "conversationId"),
        ("joinConversation", json!({"conversationId": "x"}), "conversationId"),
        ("refreshToken", json!({}), "token"),
        ("sing", json!({"song": "any"}), "op"),
    ] {
        field(&client.emit(op, data).await, name);
    }
    let mut stranger = SocketIo::connect(world.node(), &world.user("Mallory")).await;
    for (op, data) in [
        ("sendMessage", json!({"conversationId": conversation, "content": "x"})),
        ("typing", json!({"conversationId": conversation, "isTyping": true})),
        ("markAsRead", json!({"conversationId": conversation})),
        ("joinConversation", json!({"conversationId": conversation})),
    ] {
        failed(&stranger.emit(op, data).await, "not_a_participant");
    }
}
