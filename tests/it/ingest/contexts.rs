//! What conversations are about, as its service describes it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, ids, taken};
use crate::harness::flow::{self, UNPACED, id_of};
use crate::harness::{World, Ws};

fn jazz(owner: Uuid) -> Value {
    json!({
        "title": "Lagos Jazz Night", "ownerId": owner, "imageUrl": "https://x/jazz.png",
        "url": "https://x/events/1",
    })
}

#[tokio::test]
async fn the_owner_that_a_service_names_is_binding() {
    let scene = Scene::start().await;
    let event = Uuid::new_v4();
    let rest = format!("event.{event}");
    let reply = scene.service.request("contexts", &rest, None, &jazz(scene.ben.id)).await;
    assert!(ids(&reply).is_empty());
    let other = scene.world.user("Other");
    let path = |organizer: Uuid| format!("/conversations/event/{event}?organizerId={organizer}");
    let refused = scene.rest.get(&path(other.id)).await;
    refused.refused(StatusCode::FORBIDDEN, "forbidden");
    let got = scene.rest.get(&path(scene.ben.id)).await.expect(200);
    let context = json!({
        "type": "event", "id": event, "title": "Lagos Jazz Night",
        "imageUrl": "https://x/jazz.png", "url": "https://x/events/1",
    });
    assert_eq!(got["context"], context);
    assert_eq!(got["suggestedMessage"], "Hi! I'm interested in your event: Lagos Jazz Night");
    // It stays when a description leaves it out, and goes to another person when one says so.
    scene.service.publish("contexts", &rest, None, &json!({"title": "Jazz"})).await;
    taken(&scene.world).await;
    scene.rest.get(&path(other.id)).await.refused(StatusCode::FORBIDDEN, "forbidden");
    scene.service.request("contexts", &rest, None, &jazz(other.id)).await;
    scene.rest.get(&path(other.id)).await.expect(200);
}

/// The titles of a context that are announced before the next message.
async fn titles(ws: &mut Ws) -> Vec<String> {
    ws.event("newMessage").await;
    let updates = ws.take_events("conversationUpdated");
    let of_context = updates.iter().filter(|update| update["data"]["change"] == "context");
    let title = |update: &Value| {
        let title = &update["data"]["conversation"]["context"]["title"];
        title.as_str().expect("a title").to_owned()
    };
    of_context.map(title).collect()
}

#[tokio::test]
async fn conversations_follow_what_they_are_about_live_and_for_those_who_come_back() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node_with(&["--role", "ingest"], UNPACED).await;
    let scene = Scene::of(world).await;
    let event = Uuid::new_v4();
    let rest = format!("event.{event}");
    let path = format!("/conversations/event/{event}?organizerId={}", scene.ben.id);
    let about = id_of(&scene.rest.get(&path).await.expect(200));
    let mut live = scene.world.node().ws(&scene.ben).await;
    let away = scene.world.node().ws(&scene.ada).await;
    let known = away.connected["cursor"].as_str().expect("a cursor").to_owned();
    drop(away);

    scene.service.publish("contexts", &rest, None, &jazz(scene.ben.id)).await;
    let heard = live.event("conversationUpdated").await["data"].take();
    assert_eq!((&heard["change"], id_of(&heard["conversation"])), (&json!("context"), about));
    assert_eq!(heard["conversation"]["context"]["title"], "Lagos Jazz Night");
    // The same once more is no news.
    scene.service.request("contexts", &rest, None, &jazz(scene.ben.id)).await;
    let moved = json!({"title": "Lagos Jazz Day", "imageUrl": null});
    scene.service.request("contexts", &rest, None, &moved).await;
    let heard = live.event("conversationUpdated").await["data"].take();
    assert_eq!(heard["conversation"]["context"]["title"], "Lagos Jazz Day");
    assert_eq!(heard["conversation"]["context"]["imageUrl"], Value::Null);
    assert_eq!(heard["conversation"]["context"]["url"], "https://x/events/1");

    let conversation = scene.rest.get(&format!("/conversations/{about}")).await.expect(200);
    assert_eq!(conversation["context"]["title"], "Lagos Jazz Day");
    flow::send(&scene.rest, about, "See you there").await;
    assert!(titles(&mut live).await.is_empty(), "each once");
    let node = scene.world.node();
    let mut back = Ws::connect_to(&node.url, &format!("?cursor={known}"), &scene.ada.token).await;
    let missed = titles(&mut back).await;
    assert_eq!(missed.last().map(String::as_str), Some("Lagos Jazz Day"));
}

#[tokio::test]
async fn news_of_it_tell_nobody_how_far_somebody_has_read_whom_a_block_keeps_apart() {
    let scene = Scene::start().await;
    let event = Uuid::new_v4();
    let rest = format!("event.{event}");
    let path = format!("/conversations/event/{event}?organizerId={}", scene.ben.id);
    let about = id_of(&scene.rest.get(&path).await.expect(200));
    flow::send(&scene.rest, about, "Is it on?").await;
    let of_ben = scene.world.node().rest(&scene.ben);
    of_ben.post(&format!("/conversations/{about}/mark-read"), json!({})).await.expect(200);
    let mut live = scene.world.node().ws(&scene.ada).await;
    let mut positions = async |title: &str| {
        scene.service.request("contexts", &rest, None, &json!({"title": title})).await;
        let mut heard = live.event("conversationUpdated").await["data"].take();
        while heard["change"] != "context" {
            heard = live.event("conversationUpdated").await["data"].take();
        }
        let people = heard["conversation"]["participants"].as_array().expect("people").clone();
        assert_eq!(people.len(), 2);
        let of = |field: &str| people.iter().filter(|p| !is_nothing(&p[field])).count();
        ["lastReadMessageId", "lastReadSeq", "deliveredSeq", "lastSeenAt"].map(of)
    };
    assert_eq!(positions("Jazz").await[..3], [2, 2, 2], "what everybody sees");
    scene.rest.call(Method::PUT, &format!("/blocks/{}", scene.ben.id), None).await.expect(204);
    assert_eq!(positions("Jazz Night").await, [0; 4]);
    scene.rest.delete(&format!("/blocks/{}", scene.ben.id)).await.expect(204);
    assert_eq!(positions("Jazz Day").await[..3], [2, 2, 2]);
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || *value == json!(0)
}

#[tokio::test]
async fn a_description_from_earlier_does_not_undo_a_later_one() {
    let scene = Scene::start().await;
    let event = Uuid::new_v4();
    let rest = format!("event.{event}");
    // The queue is older than the request, and comes behind it.
    scene.world.node().process.freeze();
    scene.service.publish("contexts", &rest, None, &json!({"title": "Old"})).await;
    scene.world.node().process.signal(libc::SIGCONT);
    taken(&scene.world).await;
    let database = scene.world.database.client().await;
    let sql = "UPDATE contexts SET told_at = now() + interval '1 hour' WHERE id = $1";
    database.execute(sql, &[&event]).await.expect("changed");
    scene.service.request("contexts", &rest, None, &json!({"title": "Between"})).await;
    let path = format!("/conversations/event/{event}?organizerId={}", scene.ben.id);
    let got = scene.rest.get(&path).await.expect(200);
    assert_eq!(got["context"]["title"], "Old");
}
