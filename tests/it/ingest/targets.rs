//! System messages to a conversation, to everything about a context, and to a user's notices.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, ids, taken};
use crate::harness::flow::{self, UNPACED, id_of, unread, uuid_of};
use crate::harness::world::SECRET;
use crate::harness::world::sign;
use crate::harness::{User, World};

#[tokio::test]
async fn a_published_message_reaches_those_who_are_connected_and_the_history() {
    let scene = Scene::start().await;
    let mut ws = scene.world.node().ws(&scene.ben).await;
    let body = json!({"content": "Doors open at seven", "metadata": {"gate": 4}, "other": 1});
    let rest = format!("conversation.{}", scene.chat);
    scene.service.publish("system", &rest, Some("one"), &body).await;
    let live = ws.event("newMessage").await["data"].take();
    assert_eq!((&live["type"], &live["content"]), (&json!("system"), &body["content"]));
    assert_eq!((&live["senderName"], &live["metadata"]), (&json!("events"), &body["metadata"]));
    assert_eq!(live.get("other"), None);
    scene.world.persisted().await;
    let stored = scene.rest.get(&format!("/messages/{}", id_of(&live))).await.expect(200);
    assert_eq!((&stored["seq"], &stored["content"]), (&live["seq"], &live["content"]));
    assert_eq!(unread(&scene.rest, scene.chat).await, 1, "somebody else's message");
    // Nobody's own: not to edit, and the service is in no conversation.
    let path = format!("/messages/{}", id_of(&live));
    scene.rest.put(&path, json!({"content": "x"})).await.expect(403);
    let chat = scene.rest.get(&format!("/conversations/{}", scene.chat)).await.expect(200);
    assert_eq!(chat["participantCount"], 2);
    taken(&scene.world).await;
}

#[tokio::test]
async fn a_request_is_answered_with_the_id_of_the_message_that_it_became() {
    let scene = Scene::start().await;
    let rest = format!("conversation.{}", scene.chat);
    let said = json!({"content": "Hello"});
    let reply = scene.service.request("system", &rest, None, &said).await;
    let id = ids(&reply)[0];
    let stored = scene.rest.get(&format!("/messages/{id}")).await.expect(200);
    assert_eq!((&stored["content"], &stored["type"]), (&json!("Hello"), &json!("system")));
    let again = ids(&scene.service.request("system", &rest, None, &said).await)[0];
    assert_ne!(id, again, "without an id of its own each is another");
}

#[tokio::test]
async fn messages_of_one_service_stay_in_their_order() {
    let scene = Scene::start().await;
    let rest = format!("conversation.{}", scene.chat);
    let mut expected = Vec::new();
    for number in 0..60 {
        let content = number.to_string();
        scene.service.say(&rest, None, &content).await;
        expected.push(content);
    }
    taken(&scene.world).await;
    assert_eq!(scene.contents().await, expected);
}

#[tokio::test]
async fn one_message_goes_to_every_conversation_about_a_context() {
    let scene = Scene::start().await;
    let (event, owner) = (Uuid::new_v4(), scene.world.user("Owner"));
    let mut about = Vec::new();
    for asker in [&scene.ada, &scene.ben] {
        let path = format!("/conversations/event/{event}?organizerId={}", owner.id);
        about.push(id_of(&scene.world.node().rest(asker).get(&path).await.expect(200)));
    }
    let mut ws = scene.world.node().ws(&owner).await;
    let rest = format!("context.event.{event}");
    scene.service.say(&rest, Some("moved"), "The event has moved").await;
    let mut heard: Vec<Uuid> = Vec::new();
    for message in ws.messages(2).await {
        assert_eq!(message["content"], "The event has moved");
        heard.push(uuid_of(&message["conversationId"]));
    }
    heard.sort_unstable();
    about.sort_unstable();
    assert_eq!(heard, about);
    let said = json!({"content": "It begins"});
    assert_eq!(ids(&scene.service.request("system", &rest, Some("x"), &said).await).len(), 2);
    let nowhere = format!("context.listing.{}", Uuid::new_v4());
    assert!(ids(&scene.service.request("system", &nowhere, None, &said).await).is_empty());
    assert!(scene.contents().await.is_empty(), "the chat is about nothing");
}

#[tokio::test]
async fn notices_have_a_conversation_of_their_own_from_the_first_one_on() {
    let scene = Scene::start().await;
    let mut ws = scene.world.node().ws(&scene.ada).await;
    let rest = format!("user.{}", scene.ada.id);
    scene.service.say(&rest, Some("1"), "Your ticket is ready").await;
    let created = ws.event("conversationUpdated").await;
    assert_eq!(created["data"]["change"], "created");
    let first = ws.event("newMessage").await["data"].take();
    assert_eq!(first["content"], "Your ticket is ready", "live, although it is the very first");
    scene.service.say(&rest, Some("2"), "Your seat is 4A").await;
    let second = ws.event("newMessage").await["data"].take();
    assert_eq!(second["conversationId"], first["conversationId"]);
    scene.world.persisted().await;
    let list = scene.rest.get("/conversations?type=group").await.expect(200);
    let notices = &list["conversations"][0];
    assert_eq!((&notices["id"], &notices["title"]), (&first["conversationId"], &json!("events")));
    assert_eq!((&notices["participantCount"], &notices["unreadCount"]), (&json!(1), &json!(2)));
    assert_eq!(notices["role"], "member");
    // Another service has another conversation with the same user.
    let orders = super::Service::new(&scene.world, "orders").await;
    // An id of its own: within 100 ms the queue takes the same one of two services for one message, and says so.
    orders.say(&rest, Some("orders-1"), "Your order has left").await;
    let other = ws.event("newMessage").await["data"].take();
    assert_ne!(other["conversationId"], first["conversationId"]);
}

#[tokio::test]
async fn the_first_notices_of_many_meet_in_one_conversation_for_each() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node_with(&["--role", "ingest"], UNPACED).await;
    let scene = Scene::of(world).await;
    let said = json!({"content": "Welcome"});
    let asking = (0..24).map(|number| {
        let user = [&scene.ada, &scene.ben][number % 2];
        let (service, said) = (&scene.service, &said);
        async move { service.request("system", &format!("user.{}", user.id), None, said).await }
    });
    for reply in futures_util::future::join_all(asking).await {
        assert_eq!(ids(&reply).len(), 1);
    }
    scene.world.persisted().await;
    for user in [&scene.ada, &scene.ben] {
        let rest = scene.world.node().rest(user);
        let list = rest.get("/conversations?type=group").await.expect(200);
        assert_eq!(list["total"], 1);
        assert_eq!(list["conversations"][0]["unreadCount"], 12);
    }
}

#[tokio::test]
async fn who_leaves_the_notices_is_in_them_again_with_the_next_one() {
    let scene = Scene::start().await;
    let said = json!({"content": "One"});
    let rest = format!("user.{}", scene.ada.id);
    let id = ids(&scene.service.request("system", &rest, None, &said).await)[0];
    let message = scene.rest.get(&format!("/messages/{id}")).await.expect(200);
    let notices = uuid_of(&message["conversationId"]);
    scene.rest.post(&format!("/conversations/{notices}/leave"), Value::Null).await;
    scene.rest.get(&format!("/conversations/{notices}")).await.expect(403);
    let mut ws = scene.world.node().ws(&scene.ada).await;
    scene.service.say(&rest, None, "Two").await;
    let heard = ws.event("newMessage").await["data"].take();
    assert_eq!((uuid_of(&heard["conversationId"]), &heard["content"]), (notices, &json!("Two")));
    assert_eq!(unread(&scene.rest, notices).await, 1);
}

#[tokio::test]
async fn a_name_that_a_service_gives_somebody_is_shown_from_then_on() {
    let scene = Scene::start().await;
    let profile = json!({"displayName": "Benjamin", "avatarUrl": "https://x/b.png"});
    let ben = scene.ben.id.to_string();
    assert!(ids(&scene.service.request("users", &ben, None, &profile).await).is_empty());
    let path = format!("/conversations/{}/participants", scene.chat);
    let shown = async || {
        let people = scene.rest.get(&path).await.expect(200);
        let people = people["participants"].as_array().expect("people").clone();
        people.into_iter().find(|p| uuid_of(&p["userId"]) == scene.ben.id).expect("Ben")
    };
    let seen = shown().await;
    assert_eq!(
        (&seen["displayName"], &seen["avatarUrl"]),
        (&json!("Benjamin"), &json!("https://x/b.png"))
    );
    // By the queue as well, and what is left out stays.
    scene.service.publish("users", &ben, None, &json!({"displayName": "Benno"})).await;
    taken(&scene.world).await;
    let seen = shown().await;
    assert_eq!(
        (&seen["displayName"], &seen["avatarUrl"]),
        (&json!("Benno"), &json!("https://x/b.png"))
    );
    // Whoever has a token that names nobody goes by it, over both ways.
    let claims = json!({"sub": scene.ben.id, "exp": 4_102_444_800_u64});
    let nameless = User { token: sign(&claims, SECRET), ..scene.ben.clone() };
    let sent = flow::send(&scene.world.node().rest(&nameless), scene.chat, "Hi").await;
    assert_eq!(sent["senderName"], "Benno");
    let mut ws = scene.world.node().ws(&nameless).await;
    assert_eq!(ws.say(scene.chat, "Hi again").await["senderName"], "Benno");
    // A service has a profile like anybody: its messages carry the name.
    let said = json!({"content": "Hi"});
    let rest = format!("conversation.{}", scene.chat);
    let id = ids(&scene.service.request("system", &rest, None, &said).await)[0];
    let message = scene.rest.get(&format!("/messages/{id}")).await.expect(200);
    let own = message["senderId"].as_str().expect("an id").to_owned();
    scene.service.request("users", &own, None, &json!({"displayName": "Events team"})).await;
    let id = ids(&scene.service.request("system", &rest, None, &said).await)[0];
    let message = scene.rest.get(&format!("/messages/{id}")).await.expect(200);
    assert_eq!(
        (&message["senderName"], &message["senderId"]),
        (&json!("Events team"), &json!(own))
    );
}
