//! What a native connection hears besides messages: typing, reads, and changes of conversations.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{open_direct, open_group};
use crate::harness::{World, Ws};

/// Long enough for what travels along with an event that was seen.
const MOMENT: Duration = Duration::from_millis(100);

fn typing(conversation: Uuid, is_typing: bool) -> Value {
    json!({"conversationId": conversation, "isTyping": is_typing})
}

/// The next `conversationUpdated` with this change.
async fn update(ws: &mut Ws, change: &str) -> Value {
    loop {
        let event = ws.event("conversationUpdated").await;
        if event["data"]["change"] == change {
            return event;
        }
    }
}

#[tokio::test]
async fn typing_reaches_the_others_and_never_the_typists_own_connection() {
    let world = World::start().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut typist = world.node().ws(&ada).await;
    let mut other = world.node().ws(&bayo).await;
    for is_typing in [true, false] {
        let reply = typist.request("typing", typing(conversation, is_typing)).await;
        assert_eq!(reply.expect("fine"), json!({}));
        let event = other.event("userTyping").await;
        let expected =
            json!({"conversationId": conversation, "userId": ada.id, "isTyping": is_typing});
        assert_eq!(event["data"], expected);
        assert!(event.get("cursor").is_none(), "typing is not replayed");
    }
    // Signals keep their order, so the typist's own would be here before this one.
    other.request("typing", typing(conversation, true)).await.expect("fine");
    let event = typist.event("userTyping").await;
    assert_eq!(event["data"]["userId"], bayo.id.to_string());
}

#[tokio::test]
async fn typing_ends_by_itself_after_five_seconds() {
    let world = World::start().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut typist = world.node().ws(&ada).await;
    let mut other = world.node().ws(&bayo).await;
    typist.request("typing", typing(conversation, true)).await.expect("fine");
    assert_eq!(other.event("userTyping").await["data"]["isTyping"], true);
    let began = Instant::now();
    let ended = other.event("userTyping").await["data"].take();
    assert_eq!(ended, json!({"conversationId": conversation, "userId": ada.id, "isTyping": false}));
    let took = began.elapsed();
    assert!(took > Duration::from_millis(4500) && took < Duration::from_secs(10), "{took:?}");
    typist.no_event("userTyping", MOMENT).await;
}

#[tokio::test]
async fn a_read_is_told_to_the_others_and_to_ones_own_other_devices() {
    let world = World::start().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut sender = world.node().ws(&bayo).await;
    let mut phone = world.node().ws(&ada).await;
    let mut laptop = world.node().ws(&ada).await;
    let first = sender.say(conversation, "one").await;
    let second = sender.say(conversation, "two").await;

    let up_to_first = json!({"conversationId": conversation, "messageId": first["id"]});
    let reply = phone.request("markAsRead", up_to_first.clone()).await.expect("marked");
    assert_eq!(reply, json!({"unreadCount": 1}));
    let read = sender.event("messageRead").await;
    assert!(read.get("cursor").is_none(), "reads are not replayed");
    let data = &read["data"];
    assert_eq!(data["conversationId"], json!(conversation));
    assert_eq!(data["userId"], ada.id.to_string());
    assert_eq!((&data["messageId"], &data["seq"]), (&first["id"], &first["seq"]));
    assert!(data["readAt"].as_str().expect("a time").ends_with('Z'));
    let own = update(&mut laptop, "read").await;
    assert_eq!(own["data"]["conversationId"], json!(conversation));
    assert_eq!(own["data"]["conversation"]["id"], json!(conversation));
    assert_eq!(own["data"]["conversation"]["unreadCount"], 1);
    assert_eq!(own["data"]["conversation"]["lastReadSeq"], first["seq"]);

    phone.has_no_more("conversationUpdated");

    let reply = phone.request("markAsRead", json!({"conversationId": conversation})).await;
    assert_eq!(reply.expect("marked"), json!({"unreadCount": 0}), "by default the newest");
    assert_eq!(sender.event("messageRead").await["data"]["seq"], second["seq"]);
    assert_eq!(update(&mut laptop, "read").await["data"]["conversation"]["unreadCount"], 0);

    let reply = phone.request("markAsRead", up_to_first).await.expect("it never goes back");
    assert_eq!(reply, json!({"unreadCount": 0}));
    sender.no_event("messageRead", MOMENT).await;
    sender.no_event("conversationUpdated", Duration::ZERO).await;
}

#[tokio::test]
async fn a_mark_at_a_message_that_is_not_there_is_refused() {
    let world = World::start().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut ws = world.node().ws(&ada).await;
    let unknown = json!({"conversationId": conversation, "messageId": "00000000-0000-4000-8000-000000000000"});
    let error = ws.request("markAsRead", unknown).await.expect_err("refused");
    assert_eq!(error["code"], "not_found");
    let empty = ws.request("markAsRead", json!({"conversationId": conversation})).await;
    assert_eq!(empty.expect("nothing to read is fine"), json!({"unreadCount": 0}));
}

#[tokio::test]
async fn leaving_a_conversation_silences_this_connection_alone_until_it_joins_again() {
    let world = World::start().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut sender = world.node().ws(&bayo).await;
    let mut phone = world.node().ws(&ada).await;
    let mut laptop = world.node().ws(&ada).await;
    let which = json!({"conversationId": conversation});
    let reply = phone.request("leaveConversation", which.clone()).await;
    assert_eq!(reply.expect("fine"), json!({}));
    sender.say(conversation, "unheard").await;
    assert_eq!(laptop.event("newMessage").await["data"]["content"], "unheard");
    assert_eq!(phone.request("joinConversation", which.clone()).await.expect("fine"), json!({}));
    phone.request("joinConversation", which).await.expect("twice is once");
    sender.say(conversation, "heard").await;
    assert_eq!(laptop.event("newMessage").await["data"]["content"], "heard");
    assert_eq!(phone.event("newMessage").await["data"]["content"], "heard");
    sender.say(conversation, "again").await;
    assert_eq!(phone.event("newMessage").await["data"]["content"], "again", "and only once each");
    // To have left on one connection is no reason to be refused there.
    let still = json!({"conversationId": conversation, "content": "mine"});
    phone.request("sendMessage", still).await.expect("still a participant");
}

#[tokio::test]
async fn changes_of_a_conversation_are_told_to_everyone_in_it() {
    let world = World::start().await;
    let (ada, bayo, chidi) = (world.user("Ada"), world.user("Bayo"), world.user("Chidi"));
    let mut bayo_ws = world.node().ws(&bayo).await;
    let mut chidi_ws = world.node().ws(&chidi).await;
    let rest = world.node().rest(&ada);

    let group = open_group(&world.node().rest(&ada), std::slice::from_ref(&bayo)).await;
    let created = update(&mut bayo_ws, "created").await;
    assert!(created["cursor"].is_string(), "membership is replayed");
    assert_eq!(created["data"]["conversationId"], json!(group));
    assert_eq!(created["data"]["conversation"]["id"], json!(group));
    assert_eq!(created["data"]["conversation"]["title"], "Test");

    let path = format!("/conversations/{group}");
    rest.patch(&path, json!({"title": "Renamed"})).await.expect(200);
    let renamed = update(&mut bayo_ws, "title").await;
    assert_eq!(renamed["data"]["conversation"]["title"], "Renamed");

    let added = json!({"userIds": [chidi.id]});
    let answer = rest.post(&format!("{path}/participants"), added).await;
    assert!((200..300).contains(&answer.status), "{}", answer.body);
    for ws in [&mut bayo_ws, &mut chidi_ws] {
        let event = update(ws, "participantsAdded").await;
        assert_eq!(event["data"]["conversation"]["participantCount"], 3);
    }

    let of_bayo = format!("{path}/participants/{}", bayo.id);
    let answer = rest.patch(&of_bayo, json!({"role": "admin"})).await;
    assert!((200..300).contains(&answer.status), "{}", answer.body);
    for ws in [&mut bayo_ws, &mut chidi_ws] {
        update(ws, "role").await;
    }

    let of_chidi = format!("{path}/participants/{}", chidi.id);
    let answer = rest.delete(&of_chidi).await;
    assert!((200..300).contains(&answer.status), "{}", answer.body);
    for ws in [&mut bayo_ws, &mut chidi_ws] {
        let event = update(ws, "participantsRemoved").await;
        assert_eq!(
            event["data"]["conversationId"],
            json!(group),
            "who was removed is told as well"
        );
        assert_eq!(event["data"]["conversation"]["participantCount"], 2);
    }
}

#[tokio::test]
async fn a_change_of_ones_own_view_is_told_to_ones_own_devices_alone() {
    let world = World::start().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut own = world.node().ws(&ada).await;
    let mut other = world.node().ws(&bayo).await;
    let rest = world.node().rest(&ada);
    let path = format!("/conversations/{conversation}");
    for (change, field) in [("pin", "isPinned"), ("mute", "isMuted"), ("archive", "isArchived")] {
        let answer = rest.post(&format!("{path}/{change}"), json!({})).await;
        assert!((200..300).contains(&answer.status), "{}", answer.body);
        assert_eq!(update(&mut own, change).await["data"]["conversation"][field], true);
        let answer = rest.delete(&format!("{path}/{change}")).await;
        assert!((200..300).contains(&answer.status), "{}", answer.body);
        assert_eq!(update(&mut own, change).await["data"]["conversation"][field], false);
    }
    other.no_event("conversationUpdated", MOMENT).await;
}
