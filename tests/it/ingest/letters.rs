//! Dead letters in the hands of their service.

use serde_json::json;
use uuid::Uuid;

use super::{Scene, Service, ids, refusal};
use crate::harness::flow::{eventually, open_direct};

#[tokio::test]
async fn a_letter_is_replayed_when_its_reason_is_gone_and_comes_once() {
    let scene = Scene::start().await;
    // A context that nobody talks about yet is fine; a conversation that is not there is not.
    let other = scene.world.user("Other");
    let chat = open_direct(&scene.rest, &other).await;
    let database = scene.world.database.client().await;
    let away = Uuid::new_v4();
    let moving = "UPDATE conversations SET id = $2, direct_key = direct_key WHERE id = $1";
    database.execute(moving, &[&chat, &away]).await.expect("taken away");
    let rest = format!("conversation.{chat}");
    scene.service.say(&rest, Some("early"), "Too early").await;
    let letter = scene.service.letters(1).await.remove(0);
    assert_eq!(letter["msgId"], "early");
    assert!(letter["reason"].as_str().expect("text").starts_with("not_found: "));
    let seq = json!({"seq": letter["seq"]});
    let reply = scene.service.dead("replay", seq.clone()).await;
    assert_eq!(refusal(&reply).0, "not_found", "it still cannot be taken");
    scene.service.letters(1).await;

    database.execute(moving, &[&away, &chat]).await.expect("back");
    let replayed = ids(&scene.service.dead("replay", seq.clone()).await);
    assert_eq!(replayed.len(), 1);
    scene.service.letters(0).await;
    assert_eq!(refusal(&scene.service.dead("replay", seq).await).0, "not_found");
    // The service sends it once more by itself: it is the same message.
    let said = json!({"content": "Too early"});
    let again = scene.service.request("system", &rest, Some("early"), &said).await;
    assert_eq!(ids(&again), replayed);
    scene.world.persisted().await;
    assert_eq!(scene.world.rows(chat).await.len(), 1);
}

#[tokio::test]
async fn a_service_sees_and_touches_only_its_own_letters() {
    let scene = Scene::start().await;
    let orders = Service::new(&scene.world, "orders").await;
    for number in 0..5 {
        scene.service.say(&format!("user.{number}"), None, "x").await;
        orders.say(&format!("user.{number}"), None, "x").await;
    }
    let own = orders.letters(5).await;
    let others = scene.service.letters(5).await;
    let foreign = json!({"seq": others[0]["seq"]});
    for op in ["show", "replay", "drop"] {
        assert_eq!(refusal(&orders.dead(op, foreign.clone()).await).0, "not_found");
    }
    // Pages.
    let first = orders.dead("list", json!({"limit": 2})).await;
    assert_eq!((&first["letters"][1], &first["more"]), (&own[1], &json!(true)));
    let behind = json!({"after": own[1]["seq"], "limit": 3});
    let second = orders.dead("list", behind).await;
    assert_eq!((&second["letters"][2], &second["more"]), (&own[4], &json!(false)));
    assert_eq!(refusal(&orders.dead("list", json!({"limit": 0})).await).1, ["limit"]);
    assert_eq!(refusal(&orders.dead("show", json!({})).await).1, ["seq"]);
    ids(&orders.dead("drop", json!({"seq": own[0]["seq"]})).await);
    orders.letters(4).await;
    scene.service.letters(5).await;
}

#[tokio::test]
async fn a_letter_is_parked_once_however_often_it_is_handed_out() {
    let mut scene = Scene::start().await;
    let context = async_nats::jetstream::new(scene.world.nats.client().await);
    scene.service.say("user.nobody", None, "x").await;
    scene.service.letters(1).await;
    super::taken(&scene.world).await;
    // As after a crash behind the parking: the queue hands it out again.
    scene.world.node_mut(0).kill9().await;
    let dead = context.get_stream("DEAD").await.expect("the dead letters");
    let letter = dead.get_last_raw_message_by_subject("dead.ingest.events").await.expect("one");
    let mut headers = letter.headers.clone();
    headers.insert("Dead-Attempts", "2");
    let sent = context.publish_with_headers("dead.ingest.events", headers, letter.payload).await;
    assert!(sent.expect("sent").await.expect("answered").duplicate, "known by its place");
    let count = async || {
        let info = dead.get_info().await.expect("NATS answers");
        (info.state.messages == 1).then_some(())
    };
    eventually("there is one", count).await;
}
