//! Who may see whom.

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{QUICK, community, seen, states};
use crate::harness::flow;
use crate::harness::{User, World};

#[tokio::test]
async fn strangers_learn_nothing() {
    let world = World::start_with(QUICK).await;
    let (ada, ben, eve) = (world.user("Ada"), world.user("Ben"), world.user("Eve"));
    flow::open_direct(&world.node().rest(&ada), &ben).await;
    let mut stranger = world.node().ws(&eve).await;
    let nobody = User { id: Uuid::new_v4(), ..eve.clone() };
    assert_eq!(stranger.follow(&[&ada, &nobody]).await, json!([]), "existing or not");
    let mut friend = world.node().ws(&ben).await;
    let _ada = world.node().ws(&ada).await;
    assert_eq!(friend.status().await, (ada.id, true));
    let eves = world.node().rest(&eve);
    assert_eq!(states(&eves, &[&ada, &nobody, &ben]).await, json!([]));
    stranger.request("ping", json!({})).await.expect("a pong");
    stranger.has_no_more("userStatusChanged");
    friend.has_no_more("userStatusChanged");
}

#[tokio::test]
async fn small_groups_are_told_and_large_ones_and_communities_are_not() {
    let settings = [QUICK, &[("MESSAGING_PRESENCE_MAX_GROUP", "3")]].concat();
    let world = World::start_with(&settings).await;
    let names = ["Ada", "Small", "Large", "Huge", "More"];
    let [ada, small, large, huge, more] = names.map(|name| world.user(name));
    let rest = world.node().rest(&ada);
    flow::open_group(&rest, std::slice::from_ref(&small)).await;
    let others = [large.clone(), more, world.user("Another")];
    flow::open_group(&rest, &others).await;
    let all = community(&rest).await;
    world
        .node()
        .rest(&huge)
        .post(&format!("/conversations/{all}/join"), Value::Null)
        .await
        .expect(200);

    let mut told = world.node().ws(&small).await;
    let mut untold = [world.node().ws(&large).await, world.node().ws(&huge).await];
    let first = world.node().ws(&ada).await;
    assert_eq!(told.status().await, (ada.id, true));
    for ws in &mut untold {
        ws.request("ping", json!({})).await.expect("a pong");
        ws.has_no_more("userStatusChanged");
    }
    // They may ask, though, and be told from then on.
    for ws in &mut untold {
        assert_eq!(ws.follow(&[&ada]).await[0]["isOnline"], true);
    }
    drop(first);
    for ws in &mut untold {
        assert_eq!(ws.status().await, (ada.id, false));
    }
    assert_eq!(told.status().await, (ada.id, false));
}

#[tokio::test]
async fn followers_are_told_as_long_as_they_share_a_conversation_and_once() {
    let world = World::start_with(QUICK).await;
    let (ada, ben, cem) = (world.user("Ada"), world.user("Ben"), world.user("Cem"));
    let rest = world.node().rest(&ada);
    let all = community(&rest).await;
    let path = |what: &str| format!("/conversations/{all}/{what}");
    world.node().rest(&ben).post(&path("join"), Value::Null).await.expect(200);
    flow::open_direct(&rest, &cem).await;
    let mut member = world.node().ws(&ben).await;
    // A contact who follows as well.
    let mut friend = world.node().ws(&cem).await;
    for ws in [&mut member, &mut friend] {
        let state = ws.follow(&[&ada, &ada]).await;
        assert_eq!(state, json!([{"userId": ada.id, "isOnline": false, "lastSeenAt": null}]));
    }
    let first = world.node().ws(&ada).await;
    assert_eq!(member.status().await, (ada.id, true));
    assert_eq!(friend.status().await, (ada.id, true));
    drop(first);
    assert_eq!(member.status().await, (ada.id, false));
    assert_eq!(friend.status().await, (ada.id, false));

    world.node().rest(&ben).post(&path("leave"), Value::Null).await.expect(200);
    let _again = world.node().ws(&ada).await;
    assert_eq!(friend.status().await, (ada.id, true), "once, and not before");
    seen(&world.node().rest(&cem), &ada, true).await;
    member.request("ping", json!({})).await.expect("a pong");
    member.has_no_more("userStatusChanged");
    friend.has_no_more("userStatusChanged");
}

#[tokio::test]
async fn lists_that_cannot_be_read_are_refused_by_their_field() {
    let world = World::start_with(QUICK).await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    let many = vec![Uuid::new_v4().to_string(); 501];
    for list in ["x", ",", &format!("{},", ada.id), &many.join(",")] {
        let answer = rest.get(&format!("/presence?userIds={list}")).await;
        let problem = answer.refused(StatusCode::BAD_REQUEST, "invalid");
        assert_eq!(problem["errors"][0]["field"], "userIds", "{problem}");
    }
    assert_eq!(rest.get("/presence").await.expect(200), json!({"presence": []}));
    let own = json!([{"userId": ada.id, "isOnline": false, "lastSeenAt": null}]);
    assert_eq!(states(&rest, &[&ada]).await, own, "oneself");
    let mut ws = world.node().ws(&ada).await;
    for list in [json!(many), json!(["x"]), json!("x"), Value::Null] {
        let refusal = ws.request("subscribePresence", json!({"userIds": list})).await;
        assert_eq!(refusal.expect_err("refused")["code"], "invalid");
    }
}
