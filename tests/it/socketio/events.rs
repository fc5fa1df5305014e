//! Every event as the app gets it, with its cursor behind where it can be replayed.

use serde_json::{Value, json};

use super::pair;
use crate::harness::World;
use crate::harness::socketio::SocketIo;

#[track_caller]
fn is_cursor(value: &Value, seq: Option<&Value>) {
    let text = value.as_str().unwrap_or_else(|| panic!("no cursor: {value}"));
    let (epoch, at) = text.split_once('.').expect("a dot");
    assert!(!epoch.is_empty() && at.parse::<u64>().is_ok(), "{text}");
    if let Some(seq) = seq {
        assert_eq!(at, seq.to_string());
    }
}

/// The next `conversationUpdated` of this change, all arguments.
async fn update(client: &mut SocketIo, change: &str) -> Vec<Value> {
    loop {
        let arguments = client.arguments("conversationUpdated").await;
        if arguments[0]["change"] == change {
            return arguments;
        }
    }
}

#[tokio::test]
async fn a_message_has_its_cursor_and_each_device_gets_the_list_update_behind_it() {
    let world = World::start().await;
    let (ada, bayo, conversation) = pair(&world).await;
    let mut sender = SocketIo::connect(world.node(), &ada).await;
    let mut phone = SocketIo::connect(world.node(), &bayo).await;
    let mut laptop = SocketIo::connect(world.node(), &bayo).await;
    let data = json!({"conversationId": conversation, "content": "Hello!"});
    let mut message = sender.emit("sendMessage", data).await["message"].take();
    message.as_object_mut().expect("a message").remove("status");
    for client in [&mut sender, &mut phone, &mut laptop] {
        let arguments = client.arguments("newMessage").await;
        let [data, cursor] = &arguments[..] else { panic!("{arguments:?}") };
        assert_eq!(data, &message);
        is_cursor(cursor, Some(&message["seq"]));
        let arguments = client.arguments("conversationUpdated").await;
        let [update] = &arguments[..] else { panic!("it is not replayed: {arguments:?}") };
        let keys: Vec<_> = update.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["conversationId", "lastMessage", "updatedAt"]);
        assert_eq!(update["conversationId"], conversation.as_str());
        assert_eq!(update["lastMessage"], message);
        let at = update["updatedAt"].as_str().expect("a time");
        assert!(at.parse::<jiff::Timestamp>().is_ok() && at.len() == 24, "{at}");
    }
}

#[tokio::test]
async fn what_can_be_replayed_has_a_cursor_and_what_cannot_has_none() {
    let world = World::start().await;
    let (ada, bayo, conversation) = pair(&world).await;
    let mut a = SocketIo::connect(world.node(), &ada).await;
    let mut b = SocketIo::connect(world.node(), &bayo).await;
    let mut phone = SocketIo::connect(world.node(), &bayo).await;
    let data = json!({"conversationId": conversation, "content": "Helo"});
    let message = a.emit("sendMessage", data).await["message"].take();

    a.emit("editMessage", json!({"messageId": message["id"], "content": "Hello"})).await;
    let updated = b.arguments("messageUpdated").await;
    assert_eq!((&updated[0]["content"], &updated[0]["seq"]), (&json!("Hello"), &message["seq"]));
    is_cursor(&updated[1], None);

    b.emit("typing", json!({"conversationId": conversation, "isTyping": true})).await;
    let typing = a.arguments("userTyping").await;
    let expected = json!({"conversationId": conversation, "userId": bayo.id, "isTyping": true});
    assert_eq!(typing, [expected]);

    b.emit("markAsRead", json!({"conversationId": conversation})).await;
    let read = a.arguments("messageRead").await;
    assert_eq!(read.len(), 1);
    assert_eq!(read[0]["userId"], json!(bayo.id));
    assert_eq!((&read[0]["messageId"], &read[0]["seq"]), (&message["id"], &message["seq"]));
    let own = update(&mut phone, "read").await;
    assert_eq!((own.len(), &own[0]["conversation"]["unreadCount"]), (1, &json!(0)));

    a.emit("deleteMessage", json!({"messageId": message["id"]})).await;
    let deleted = b.arguments("messageDeleted").await;
    let expected = json!({"messageId": message["id"], "conversationId": conversation,
        "seq": message["seq"]});
    assert_eq!(deleted[0], expected);
    is_cursor(&deleted[1], None);

    let rest = world.node().rest(&ada);
    let body = json!({"type": "group", "title": "Jazz", "participantIds": [bayo.id]});
    let group = rest.post("/conversations", body).await.expect(201);
    let created = update(&mut b, "created").await;
    assert_eq!(created[0]["conversation"]["title"], "Jazz");
    is_cursor(&created[1], None);
    let path = format!("/conversations/{}", group["id"].as_str().expect("an id"));
    rest.patch(&path, json!({"title": "Free jazz"})).await.expect(200);
    assert_eq!(update(&mut b, "title").await[0]["conversation"]["title"], "Free jazz");
    let pinned = world.node().rest(&bayo).post(&format!("{path}/pin"), json!({})).await;
    assert!((200..300).contains(&pinned.status), "{}", pinned.body);
    assert_eq!(update(&mut b, "pin").await[0]["conversation"]["isPinned"], true);
}
