//! Devices that notifications go to, and what their owners want of them.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::harness::{Rest, World};

fn tokens(devices: &Value) -> Vec<(String, String)> {
    let devices = devices["devices"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    devices.iter().map(|device| (text(&device["token"]), text(&device["platform"]))).collect()
}

fn entry(token: &str, platform: &str) -> (String, String) {
    (token.to_owned(), platform.to_owned())
}

async fn register(rest: &Rest, token: &str, platform: &str, status: u16) {
    rest.post("/devices", json!({"token": token, "platform": platform})).await.expect(status);
}

#[tokio::test]
async fn a_device_is_registered_refreshed_listed_and_removed() {
    let world = World::start().await;
    let ada = world.node().rest(&world.user("Ada"));
    register(&ada, "phone-of-ada:APA91b", "android", 201).await;
    register(&ada, "browser-of-ada/1", "web", 201).await;
    register(&ada, "phone-of-ada:APA91b", "android", 200).await;
    let listed = ada.get("/devices").await.expect(200);
    assert_eq!(tokens(&listed), [entry("phone-of…", "android"), entry("browser-…", "web")]);
    assert!(!listed.to_string().contains("APA91b"), "tokens are not shown whole");
    assert_eq!(ada.delete("/devices/browser-of-ada%2F1").await.status, 204);
    ada.delete("/devices/browser-of-ada%2F1").await.refused(StatusCode::NOT_FOUND, "not_found");
    assert_eq!(tokens(&ada.get("/devices").await.expect(200)).len(), 1);
}

#[tokio::test]
async fn a_token_that_moves_to_another_user_leaves_the_first() {
    let world = World::start().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let (ada, bayo) = (world.node().rest(&ada), world.node().rest(&bayo));
    register(&ada, "the-family-tablet", "ios", 201).await;
    register(&bayo, "the-family-tablet", "ios", 201).await;
    assert!(tokens(&ada.get("/devices").await.expect(200)).is_empty());
    assert_eq!(tokens(&bayo.get("/devices").await.expect(200)).len(), 1);
    // Nobody removes what is not theirs.
    ada.delete("/devices/the-family-tablet").await.refused(StatusCode::NOT_FOUND, "not_found");
    assert_eq!(tokens(&bayo.get("/devices").await.expect(200)).len(), 1);
}

#[tokio::test]
async fn a_token_that_two_claim_at_once_ends_up_with_one_of_them() {
    let world = World::start().await;
    let people: Vec<_> =
        (0..6).map(|n| world.node().rest(&world.user(&format!("User {n}")))).collect();
    let claims = people.iter().map(|rest| {
        rest.post("/devices", json!({"token": "one-tablet-for-all", "platform": "android"}))
    });
    for answer in futures_util::future::join_all(claims).await {
        assert!(matches!(answer.status, 201 | 503), "{answer:?}");
    }
    let lists = people.iter().map(|rest| rest.get("/devices"));
    let lists = futures_util::future::join_all(lists).await;
    let owners = lists.into_iter().map(|list| tokens(&list.expect(200)).len());
    assert_eq!(owners.sum::<usize>(), 1);
}

#[tokio::test]
async fn the_oldest_of_too_many_devices_gives_way() {
    let world = World::start().await;
    let ada = world.node().rest(&world.user("Ada"));
    for n in 0..20 {
        register(&ada, &format!("{n:02}-a-device-of-ada"), "android", 201).await;
    }
    // The first is refreshed, so that the second is the oldest.
    register(&ada, "00-a-device-of-ada", "android", 200).await;
    register(&ada, "20-a-device-of-ada", "android", 201).await;
    let listed = tokens(&ada.get("/devices").await.expect(200));
    assert_eq!(listed.len(), 20);
    let first: Vec<_> = listed.iter().take(2).map(|(token, _)| token.as_str()).collect();
    assert_eq!(first, ["20-a-dev…", "00-a-dev…"]);
    assert!(!listed.iter().any(|(token, _)| token.starts_with("01-")));
}

#[tokio::test]
async fn what_is_no_device_is_refused_field_by_field() {
    let world = World::start().await;
    let ada = world.node().rest(&world.user("Ada"));
    let refused = ada.post("/devices", json!({"token": "a b", "platform": "toaster"})).await;
    let body = refused.refused(StatusCode::BAD_REQUEST, "invalid");
    assert_eq!(body["errors"].as_array().map(Vec::len), Some(2), "{body}");
    let long = json!({"token": "x".repeat(4097), "platform": "web"});
    ada.post("/devices", long).await.refused(StatusCode::BAD_REQUEST, "invalid");
    register(&ada, &"x".repeat(4096), "web", 201).await;
    for wrong in [json!({}), json!([]), json!({"token": 7, "platform": "web"}), json!("x")] {
        ada.post("/devices", wrong).await.refused(StatusCode::BAD_REQUEST, "invalid");
    }
    ada.delete("/devices/%00").await.refused(StatusCode::NOT_FOUND, "not_found");
    let nobody = Rest::new(&world.node().url, None);
    nobody.get("/devices").await.refused(StatusCode::UNAUTHORIZED, "unauthenticated");
}

#[tokio::test]
async fn what_somebody_wants_of_notifications_is_kept() {
    let world = World::start().await;
    let ada = world.node().rest(&world.user("Ada"));
    let nothing = json!({"quietHours": null, "mentionsPierceMute": false});
    assert_eq!(ada.get("/me/notifications").await.expect(200), nothing);
    let wanted = json!({
        "quietHours": {"from": "22:00", "to": "07:00", "timeZone": "Africa/Lagos"},
        "mentionsPierceMute": true,
    });
    assert_eq!(ada.put("/me/notifications", wanted.clone()).await.expect(200), wanted);
    assert_eq!(ada.get("/me/notifications").await.expect(200), wanted);
    let wrong = json!({"quietHours": {"from": "22:00", "to": "7", "timeZone": "Mars/Olympus"}});
    let refused = ada.put("/me/notifications", wrong).await;
    let body = refused.refused(StatusCode::BAD_REQUEST, "invalid");
    assert_eq!(body["errors"][0]["field"], "quietHours.to");
    assert_eq!(body["errors"][1]["field"], "quietHours.timeZone");
    assert_eq!(ada.get("/me/notifications").await.expect(200), wanted);
    assert_eq!(ada.put("/me/notifications", json!({})).await.expect(200), nothing);
    let bayo = world.node().rest(&world.user("Bayo"));
    assert_eq!(bayo.get("/me/notifications").await.expect(200), nothing);
}
