//! The native protocol, operation by operation: what each does, and what it refuses.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{open_direct, open_group};
use crate::harness::raw::Raw;
use crate::harness::{User, World, Ws};

/// Ada and Bayo, connected, in a direct conversation.
struct Pair {
    world: World,
    ada: User,
    bayo: User,
    ada_ws: Ws,
    bayo_ws: Ws,
    conversation: Uuid,
}

async fn pair() -> Pair {
    let world = World::start().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let (ada_ws, bayo_ws) = tokio::join!(world.node().ws(&ada), world.node().ws(&bayo));
    Pair { world, ada, bayo, ada_ws, bayo_ws, conversation }
}

#[track_caller]
fn refused(reply: Result<Value, Value>, code: &str) -> Value {
    let error = reply.expect_err("a refusal");
    assert_eq!(error["code"], code, "{error}");
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
    error
}

/// The fields that a refusal names.
fn fields(error: &Value) -> Vec<&str> {
    let errors = error["errors"].as_array().expect("errors");
    errors.iter().map(|error| error["field"].as_str().expect("a field")).collect()
}

#[tokio::test]
async fn a_message_is_accepted_with_all_its_fields_and_everyone_gets_the_same() {
    let mut p = pair().await;
    let data = json!({
        "conversationId": p.conversation, "content": "Hello!", "clientMessageId": "m-1",
        "mentions": [p.bayo.id], "unknown": "ignored",
    });
    let reply = p.ada_ws.request("sendMessage", data).await.expect("accepted");
    let mut message = reply["message"].clone();
    assert_eq!(message["status"], "sent");
    assert!(message["seq"].is_u64());
    for (name, value) in [
        ("conversationId", json!(p.conversation)),
        ("senderId", json!(p.ada.id)),
        ("senderName", json!("Ada")),
        ("type", json!("text")),
        ("content", json!("Hello!")),
        ("clientMessageId", json!("m-1")),
        ("mentions", json!([p.bayo.id])),
        ("metadata", json!({})),
        ("reactions", json!({})),
        ("isEdited", json!(false)),
        ("isDeleted", json!(false)),
        ("replyTo", Value::Null),
        ("replyToMessageId", Value::Null),
        ("editedAt", Value::Null),
        ("deletedAt", Value::Null),
        ("expiresAt", Value::Null),
    ] {
        assert_eq!(message.get(name), Some(&value), "{name}");
    }
    assert!(message.get("unknown").is_none());
    message.as_object_mut().expect("an object").remove("status");
    for ws in [&mut p.ada_ws, &mut p.bayo_ws] {
        let event = ws.event("newMessage").await;
        assert_eq!(event["data"], message, "the sender's connection included, without `status`");
        let cursor = event["cursor"].as_str().expect("a cursor");
        assert!(cursor.ends_with(&format!(".{}", message["seq"])), "{cursor}");
    }
}

#[tokio::test]
async fn keys_of_frames_stand_in_their_order() {
    let p = pair().await;
    let mut raw = Raw::native(&p.world.node().url, &p.ada.token).await;
    raw.text_with(r#"{"event":"connected","data":{"connectionId":"#).await;
    let send = json!({"conversationId": p.conversation, "content": "x"});
    raw.send(&json!({"id": 7, "op": "sendMessage", "data": send}).to_string()).await;
    // The reply and the event come by different ways.
    let (mut reply, mut event) = (false, false);
    while !(reply && event) {
        let text = raw.text().await;
        reply |= text.starts_with(r#"{"id":7,"ok":true,"data":{"message":{"#);
        event |= text.starts_with(r#"{"event":"newMessage","cursor":""#)
            && text.contains(r#"","data":{"seq":"#);
    }
    raw.send(r#"{"data":{},"op":"sing","id":"a-b"}"#).await;
    raw.text_with(r#"{"id":"a-b","ok":false,"error":{"code":"invalid","message":""#).await;
    let typing = json!({"conversationId": p.conversation, "isTyping": true});
    let mut bayo = p.bayo_ws;
    bayo.request("typing", typing).await.expect("fine");
    raw.text_with(r#"{"event":"userTyping","data":{"#).await;
}

#[tokio::test]
async fn a_message_that_is_not_valid_is_refused_field_by_field() {
    let mut p = pair().await;
    let c = p.conversation;
    for (data, wrong) in [
        (json!({"conversationId": c, "content": " \n"}), vec!["content"]),
        (json!({"conversationId": c}), vec!["content"]),
        (json!({"content": "x"}), vec!["conversationId"]),
        (json!({"conversationId": "7", "content": "x"}), vec!["conversationId"]),
        (json!({"conversationId": c, "content": 7}), vec!["content"]),
        (json!({"conversationId": c, "content": "x".repeat(8001)}), vec!["content"]),
        (json!({"conversationId": c, "content": "x", "type": "system"}), vec!["type"]),
        (json!({"conversationId": c, "content": "x", "type": "poem"}), vec!["type"]),
        (
            json!({"conversationId": c, "type": "image"}),
            vec!["metadata.imageUrl", "metadata.imageWidth", "metadata.imageHeight"],
        ),
        (
            json!({"conversationId": c, "content": "x", "clientMessageId": ""}),
            vec!["clientMessageId"],
        ),
        (
            json!({"conversationId": c, "content": "x", "replyToMessageId": Uuid::new_v4()}),
            vec!["replyToMessageId"],
        ),
        (json!([]), vec!["body"]),
        (Value::Null, vec!["conversationId"]),
    ] {
        let error = refused(p.ada_ws.request("sendMessage", data.clone()).await, "invalid");
        assert_eq!(fields(&error), wrong, "{data}");
    }
    let elsewhere = json!({"conversationId": Uuid::new_v4(), "content": "x"});
    refused(p.ada_ws.request("sendMessage", elsewhere).await, "not_a_participant");
    p.ada_ws.say(c, "the connection goes on").await;
    let event = p.bayo_ws.event("newMessage").await;
    assert_eq!(event["data"]["content"], "the connection goes on", "nothing else was sent");
}

#[tokio::test]
async fn who_is_not_in_a_conversation_can_do_nothing_with_it() {
    let mut p = pair().await;
    let message = p.ada_ws.say(p.conversation, "private").await;
    let mut mallory = p.world.node().ws(&p.world.user("Mallory")).await;
    let c = p.conversation;
    for (op, data, code) in [
        ("sendMessage", json!({"conversationId": c, "content": "x"}), "not_a_participant"),
        ("editMessage", json!({"messageId": message["id"], "content": "x"}), "not_found"),
        ("deleteMessage", json!({"messageId": message["id"]}), "not_found"),
        ("typing", json!({"conversationId": c, "isTyping": true}), "not_a_participant"),
        ("markAsRead", json!({"conversationId": c}), "not_a_participant"),
        ("joinConversation", json!({"conversationId": c}), "not_a_participant"),
        ("leaveConversation", json!({"conversationId": c}), "not_a_participant"),
    ] {
        refused(mallory.request(op, data).await, code);
    }
    p.ada_ws.say(p.conversation, "still private").await;
    p.bayo_ws.event("newMessage").await;
    mallory.request("ping", json!({})).await.expect("the connection goes on");
    mallory.no_event("newMessage", std::time::Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_repeated_client_message_id_gets_the_first_message_and_nobody_hears_it_twice() {
    let mut p = pair().await;
    let data = json!({"conversationId": p.conversation, "content": "once", "clientMessageId": "k"});
    let first = p.ada_ws.request("sendMessage", data.clone()).await.expect("accepted");
    let again = p.ada_ws.request("sendMessage", data.clone()).await.expect("accepted");
    assert_eq!(again, first);
    let mut resend = data;
    resend["attempt"] = json!(2);
    let third = p.ada_ws.request("sendMessage", resend).await.expect("accepted");
    assert_eq!(third["message"]["id"], first["message"]["id"]);
    assert_eq!(third["message"]["seq"], first["message"]["seq"]);
    p.ada_ws.say(p.conversation, "next").await;
    assert_eq!(p.bayo_ws.event("newMessage").await["data"]["content"], "once");
    assert_eq!(p.bayo_ws.event("newMessage").await["data"]["content"], "next");
}

#[tokio::test]
async fn a_reply_quotes_what_it_answers() {
    let mut p = pair().await;
    let quoted = p.ada_ws.say(p.conversation, &"ä".repeat(300)).await;
    let data = json!({"conversationId": p.conversation, "content": "yes",
        "replyToMessageId": quoted["id"]});
    p.bayo_ws.request("sendMessage", data).await.expect("accepted");
    p.ada_ws.event("newMessage").await;
    let reply = p.ada_ws.event("newMessage").await["data"].take();
    assert_eq!(reply["replyToMessageId"], quoted["id"]);
    let expected = json!({"id": quoted["id"], "senderId": p.ada.id, "type": "text",
        "content": "ä".repeat(200)});
    assert_eq!(reply["replyTo"], expected);
}

#[tokio::test]
async fn an_edit_reaches_everyone_and_only_the_sender_may() {
    let mut p = pair().await;
    let message = p.ada_ws.say(p.conversation, "helo").await;
    let edit = json!({"messageId": message["id"], "content": "hello"});
    let reply = p.ada_ws.request("editMessage", edit.clone()).await.expect("edited");
    let edited = &reply["message"];
    assert_eq!((&edited["content"], &edited["isEdited"]), (&json!("hello"), &json!(true)));
    assert_eq!((&edited["id"], &edited["seq"]), (&message["id"], &message["seq"]));
    assert!(edited["editedAt"].is_string());
    for ws in [&mut p.ada_ws, &mut p.bayo_ws] {
        let event = ws.event("messageUpdated").await;
        assert!(event["cursor"].is_string());
        for name in ["id", "seq", "content", "isEdited", "editedAt", "senderId", "createdAt"] {
            assert_eq!(event["data"][name], edited[name], "{name}");
        }
    }
    refused(p.bayo_ws.request("editMessage", edit).await, "forbidden");
    let blank = json!({"messageId": message["id"], "content": "  "});
    refused(p.ada_ws.request("editMessage", blank).await, "invalid");
    let unknown = json!({"messageId": Uuid::new_v4(), "content": "x"});
    refused(p.ada_ws.request("editMessage", unknown).await, "not_found");
    refused(p.ada_ws.request("editMessage", json!({"content": "x"})).await, "invalid");
}

#[tokio::test]
async fn a_deletion_leaves_a_tombstone_that_cannot_be_edited() {
    let mut p = pair().await;
    let message = p.ada_ws.say(p.conversation, "oops").await;
    let which = json!({"messageId": message["id"]});
    refused(p.bayo_ws.request("deleteMessage", which.clone()).await, "forbidden");
    let reply = p.ada_ws.request("deleteMessage", which.clone()).await.expect("deleted");
    let tombstone = &reply["message"];
    assert_eq!((&tombstone["content"], &tombstone["metadata"]), (&json!(""), &json!({})));
    assert_eq!((&tombstone["isDeleted"], &tombstone["seq"]), (&json!(true), &message["seq"]));
    for ws in [&mut p.ada_ws, &mut p.bayo_ws] {
        let event = ws.event("messageDeleted").await;
        let expected = json!({"messageId": message["id"], "conversationId": p.conversation,
            "seq": message["seq"]});
        assert_eq!(event["data"], expected);
        assert!(event["cursor"].is_string());
    }
    p.ada_ws.request("deleteMessage", which).await.expect("doing it again changes nothing");
    let edit = json!({"messageId": message["id"], "content": "x"});
    refused(p.ada_ws.request("editMessage", edit).await, "conflict");
    let unknown = json!({"messageId": Uuid::new_v4()});
    refused(p.ada_ws.request("deleteMessage", unknown).await, "not_found");
}

#[tokio::test]
async fn an_admin_deletes_what_members_wrote_and_a_member_does_not() {
    let world = World::start().await;
    let (ada, bayo, chidi) = (world.user("Ada"), world.user("Bayo"), world.user("Chidi"));
    let group = open_group(&world.node().rest(&ada), &[bayo.clone(), chidi.clone()]).await;
    let mut admin = world.node().ws(&ada).await;
    let mut author = world.node().ws(&bayo).await;
    let mut member = world.node().ws(&chidi).await;
    let message = author.say(group, "rude").await;
    let which = json!({"messageId": message["id"]});
    refused(member.request("deleteMessage", which.clone()).await, "forbidden");
    let reply = admin.request("deleteMessage", which).await.expect("deleted");
    assert_eq!(reply["message"]["isDeleted"], true);
    assert_eq!(member.event("messageDeleted").await["data"]["messageId"], message["id"]);
}

#[tokio::test]
async fn each_request_gets_exactly_one_reply_also_of_an_unknown_operation() {
    let mut p = pair().await;
    let requests = [
        ("ping", Value::Null),
        ("sing", json!({"song": "x".repeat(5000)})),
        ("connect", json!({"token": "again"})),
        ("sendMessage", json!({"conversationId": p.conversation, "content": "1"})),
        ("sendMessage", json!({"conversationId": p.conversation, "content": ""})),
        ("typing", json!({"conversationId": p.conversation})),
        ("ping", json!({"anything": true})),
    ];
    let mut ids = Vec::new();
    for (op, data) in requests {
        ids.push((op, p.ada_ws.send(op, data).await));
    }
    let mut outcomes = Vec::new();
    for (op, id) in ids.clone() {
        outcomes.push((op, p.ada_ws.reply(id).await.map_err(|error| error["code"].clone())));
    }
    let codes: Vec<_> = outcomes.iter().map(|(_, outcome)| outcome.clone().err()).collect();
    let invalid = Some(json!("invalid"));
    assert_eq!(codes[0], None);
    assert_eq!(codes[1..3], [invalid.clone(), invalid.clone()]);
    assert_eq!(codes[3..], [None, invalid.clone(), invalid, None]);
    // Whatever else were queued for an earlier request would stand before this one's reply.
    p.ada_ws.request("ping", Value::Null).await.expect("fine");
    assert!(p.ada_ws.kept().iter().all(|frame| frame.get("event").is_some()), "no second reply");
}

#[tokio::test]
async fn a_fresh_token_of_the_same_user_only_is_taken() {
    let mut p = pair().await;
    let fresh = p.ada.with_token_for(7200).token;
    let reply = p.ada_ws.request("refreshToken", json!({"token": fresh})).await.expect("taken");
    let expires: jiff::Timestamp =
        reply["expiresAt"].as_str().expect("a time").parse().expect("RFC 3339");
    let seconds = expires.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((7100..=7300).contains(&seconds), "{seconds}");
    let others = json!({"token": p.bayo.token});
    refused(p.ada_ws.request("refreshToken", others).await, "forbidden");
    let expired = json!({"token": p.ada.with_token_for(-60).token});
    refused(p.ada_ws.request("refreshToken", expired).await, "unauthenticated");
    refused(p.ada_ws.request("refreshToken", json!({})).await, "invalid");
    p.ada_ws.say(p.conversation, "still Ada").await;
    assert_eq!(p.bayo_ws.event("newMessage").await["data"]["senderId"], p.ada.id.to_string());
}
