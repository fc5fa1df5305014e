//! Who is in a conversation.

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{conversation, fields, say, unhurried, unhurried_with};

#[tokio::test(flavor = "multi_thread")]
async fn people_are_added_once_and_start_with_everything_as_read() {
    let world = unhurried().await;
    let (ada, bayo, chidi) = (world.user("Ada"), world.user("Bayo"), world.user("Chidi"));
    let rest = world.node().rest(&ada);
    let id = conversation(&rest, "group", &[&bayo]).await;
    say(&rest, &id, "before").await;
    let path = format!("/conversations/{id}/participants");
    let added = json!({ "userIds": [chidi.id, bayo.id, chidi.id] });
    let shown = rest.post(&path, added.clone()).await.expect(200);
    assert_eq!(shown["participantCount"], json!(3));
    let shown = rest.post(&path, added).await.expect(200);
    assert_eq!(shown["participantCount"], json!(3));
    let seen = world.node().rest(&chidi).get(&format!("/conversations/{id}")).await.expect(200);
    assert_eq!((&seen["unreadCount"], &seen["role"]), (&json!(0), &json!("member")));
    say(&rest, &id, "after").await;
    let seen = world.node().rest(&chidi).get(&format!("/conversations/{id}")).await.expect(200);
    assert_eq!(seen["unreadCount"], json!(1));
    for (body, wrong) in [
        (json!({}), "userIds"),
        (json!({ "userIds": [] }), "userIds"),
        (json!({ "userIds": ["x"] }), "userIds[0]"),
    ] {
        let problem = rest.post(&path, body).await.refused(StatusCode::BAD_REQUEST, "invalid");
        assert_eq!(fields(&problem), [wrong]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_does_not_outgrow_its_limit_even_when_many_add_at_once() {
    let world = unhurried_with(&[("MAX_GROUP_PARTICIPANTS", "10")]).await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    let id = conversation(&rest, "group", &[&world.user("Bayo")]).await;
    let path = format!("/conversations/{id}/participants");
    let mut adding = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (rest, path) = (rest.clone(), path.clone());
        adding.spawn(async move {
            rest.post(&path, json!({ "userIds": [Uuid::new_v4()] })).await.status
        });
    }
    let statuses = adding.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 8, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 400).count(), 4, "{statuses:?}");
    let shown = rest.get(&format!("/conversations/{id}")).await.expect(200);
    assert_eq!(shown["participantCount"], json!(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn participants_are_paged_in_full() {
    let world = unhurried().await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    let others: Vec<_> = (0..60).map(|_| Uuid::new_v4()).collect();
    let body = json!({ "type": "community", "title": "Big", "participantIds": others });
    let made = rest.post("/conversations", body).await.expect(201);
    assert_eq!(made["participantCount"], json!(61));
    assert_eq!(made["participants"].as_array().map(Vec::len), Some(50));
    let path = format!("/conversations/{}/participants", super::id_of(&made));
    let mut seen = std::collections::HashSet::new();
    let mut query = "?limit=25".to_owned();
    loop {
        let page = rest.get(&format!("{path}{query}")).await.expect(200);
        for person in page["participants"].as_array().expect("a list") {
            assert!(seen.insert(person["userId"].as_str().expect("an id").to_owned()));
        }
        match page["nextCursor"].as_str() {
            Some(cursor) => query = format!("?limit=25&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 61);
    let answer = rest.get(&format!("{path}?cursor=forged")).await;
    assert_eq!(fields(&answer.refused(StatusCode::BAD_REQUEST, "invalid")), ["cursor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays_until_there_is_another() {
    let world = unhurried().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    let id = conversation(&rest, "group", &[&bayo]).await;
    let path = |what: &str| format!("/conversations/{id}{what}");
    let of = |user: Uuid| path(&format!("/participants/{user}"));
    rest.post(&path("/leave"), json!({})).await.refused(StatusCode::CONFLICT, "conflict");
    rest.delete(&of(ada.id)).await.refused(StatusCode::CONFLICT, "conflict");
    let demoted = rest.patch(&of(ada.id), json!({ "role": "member" })).await;
    demoted.refused(StatusCode::CONFLICT, "conflict");
    let shown = rest.patch(&of(bayo.id), json!({ "role": "admin" })).await.expect(200);
    let people = shown["participants"].as_array().expect("a list");
    assert!(people.iter().all(|person| person["role"] == "admin"));
    let left: Value = rest.post(&path("/leave"), json!({})).await.expect(200);
    assert_eq!(left, json!({ "success": true }));
    rest.get(&path("")).await.refused(StatusCode::FORBIDDEN, "not_a_participant");
    // The last one out needs nobody's leave.
    other.delete(&of(bayo.id)).await.expect(200);
    let answer = other.patch(&of(bayo.id), json!({ "role": "emperor" })).await;
    assert_eq!(fields(&answer.refused(StatusCode::BAD_REQUEST, "invalid")), ["role"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn everyone_may_join_a_community_and_nobody_a_group() {
    let world = unhurried().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    let community = conversation(&rest, "community", &[]).await;
    let path = format!("/conversations/{community}");
    other.get(&path).await.refused(StatusCode::FORBIDDEN, "not_a_participant");
    for _ in 0..2 {
        let shown = other.post(&format!("{path}/join"), json!({})).await.expect(200);
        assert_eq!(shown["participantCount"], json!(2));
    }
    say(&other, &community, "hello").await;
    other.post(&format!("{path}/leave"), json!({})).await.expect(200);
    let answer =
        other.post("/messages", json!({ "conversationId": community, "content": "x" })).await;
    answer.refused(StatusCode::FORBIDDEN, "not_a_participant");
    let group = conversation(&rest, "group", &[&world.user("Chidi")]).await;
    let answer = other.post(&format!("/conversations/{group}/join"), json!({})).await;
    answer.refused(StatusCode::FORBIDDEN, "not_a_participant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_conversation_keeps_its_two_people() {
    let world = unhurried().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let id = conversation(&rest, "direct", &[&bayo]).await;
    let path = |what: String| format!("/conversations/{id}{what}");
    let new = json!({ "userIds": [Uuid::new_v4()] });
    let conflict = StatusCode::CONFLICT;
    rest.post(&path("/participants".into()), new).await.refused(conflict, "conflict");
    rest.post(&path("/leave".into()), json!({})).await.refused(conflict, "conflict");
    let other = path(format!("/participants/{}", bayo.id));
    rest.delete(&other).await.refused(conflict, "conflict");
    rest.patch(&other, json!({ "role": "admin" })).await.refused(conflict, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_who_is_not_there_is_not_found() {
    let world = unhurried().await;
    let rest = world.node().rest(&world.user("Ada"));
    let id = conversation(&rest, "group", &[&world.user("Bayo")]).await;
    let nobody = format!("/conversations/{id}/participants/{}", Uuid::new_v4());
    rest.delete(&nobody).await.refused(StatusCode::NOT_FOUND, "not_found");
    let answer = rest.patch(&nobody, json!({ "role": "admin" })).await;
    answer.refused(StatusCode::NOT_FOUND, "not_found");
}
