//! Messages that everyone finds at the top.

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, change};
use crate::harness::flow::{eventually, open_direct, send};

fn pinned(answer: &Value) -> Vec<String> {
    let pins = answer["pins"].as_array().expect("a list").iter();
    pins.map(|pin| pin["message"]["content"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_pin_everyone_is_told_and_a_deleted_message_is_pinned_no_more() {
    let scene = Scene::start().await;
    let (ada, bayo) = (scene.ada(), scene.bayo());
    let mut his = scene.world.node().ws(&scene.bayo).await;
    let mut pins = Vec::new();
    for text in ["first", "second"] {
        let message = send(&ada, scene.id, text).await;
        let path = scene.path(&format!("/pins/{}", message["id"].as_str().expect("an id")));
        ada.put(&path, json!({})).await.expect(200);
        let told = change(&mut his, "messagePinned").await;
        assert_eq!((&told["messageId"], &told["actorId"]), (&message["id"], &json!(scene.ada.id)));
        ada.put(&path, json!({})).await.expect(200);
        pins.push((path, message["id"].clone()));
    }
    let listed = bayo.get(&scene.path("/pins")).await.expect(200);
    assert_eq!(pinned(&listed), ["second", "first"]);
    assert_eq!(listed["pins"][0]["pinnedBy"], json!(scene.ada.id));
    his.has_no_more("conversationUpdated");
    let forbidden = StatusCode::FORBIDDEN;
    bayo.put(&pins[0].0, json!({})).await.refused(forbidden, "forbidden");
    bayo.delete(&pins[0].0).await.refused(forbidden, "forbidden");
    ada.delete(&pins[0].0).await.expect(200);
    assert_eq!(change(&mut his, "messageUnpinned").await["messageId"], pins[0].1);
    ada.delete(&pins[0].0).await.expect(200);
    let gone = format!("/messages/{}", pins[1].1.as_str().expect("an id"));
    ada.delete(&gone).await.expect(200);
    let empty = async || {
        let listed = bayo.get(&scene.path("/pins")).await.expect(200);
        pinned(&listed).is_empty().then_some(())
    };
    eventually("the pin is gone with its message", empty).await;
    ada.put(&pins[1].0, json!({})).await.refused(StatusCode::CONFLICT, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_pinned_and_both_pin_in_a_direct_conversation() {
    let scene = Scene::start().await;
    let (ada, bayo) = (scene.ada(), scene.bayo());
    let elsewhere = open_direct(&ada, &scene.bayo).await;
    let message = send(&ada, elsewhere, "between us").await;
    let id = message["id"].as_str().expect("an id");
    let missing = StatusCode::NOT_FOUND;
    ada.put(&scene.path(&format!("/pins/{id}")), json!({})).await.refused(missing, "not_found");
    let nothing = scene.path(&format!("/pins/{}", Uuid::new_v4()));
    ada.put(&nothing, json!({})).await.refused(missing, "not_found");
    ada.put(&scene.path("/pins/x"), json!({})).await.refused(StatusCode::BAD_REQUEST, "invalid");
    let stranger = scene.world.node().rest(&scene.world.user("Chidi"));
    let direct = format!("/conversations/{elsewhere}/pins");
    stranger.get(&direct).await.refused(StatusCode::FORBIDDEN, "not_a_participant");
    let pin = stranger.put(&format!("{direct}/{id}"), json!({})).await;
    pin.refused(StatusCode::FORBIDDEN, "not_a_participant");
    bayo.put(&format!("{direct}/{id}"), json!({})).await.expect(200);
    assert_eq!(pinned(&ada.get(&direct).await.expect(200)), ["between us"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_messages_can_be_pinned() {
    let scene = Scene::start_with(&[
        ("RATE_LIMIT_MESSAGES_PER_SECOND", "0"),
        ("RATE_LIMIT_REQUESTS_PER_SECOND", "0"),
    ])
    .await;
    let ada = scene.ada();
    let mut last = None;
    for n in 0..=50 {
        let message = send(&ada, scene.id, &format!("message {n}")).await;
        let path = scene.path(&format!("/pins/{}", message["id"].as_str().expect("an id")));
        let answer = ada.put(&path, json!({})).await;
        if n < 50 {
            answer.expect(200);
            last = Some(path);
        } else {
            answer.refused(StatusCode::CONFLICT, "conflict");
            ada.delete(last.as_deref().expect("the one before")).await.expect(200);
            ada.put(&path, json!({})).await.expect(200);
        }
    }
    let listed = ada.get(&scene.path("/pins")).await.expect(200);
    assert_eq!(pinned(&listed).len(), 50);
}
