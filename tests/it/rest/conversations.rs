//! Creating, changing and looking at conversations.

use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::{conversation, fields, id_of, say, unhurried, unhurried_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_shown_as_the_contract_says() {
    let world = unhurried().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let body = json!({
        "type": "group", "title": " Trip ", "description": "To Jos", "participantIds": [bayo.id, bayo.id, ada.id],
    });
    let made = rest.post("/conversations", body).await.expect(201);
    assert_eq!((&made["type"], &made["title"]), (&json!("group"), &json!("Trip")));
    assert_eq!((&made["role"], &made["participantCount"]), (&json!("admin"), &json!(2)));
    assert_eq!((&made["unreadCount"], &made["lastMessage"]), (&json!(0), &json!(null)));
    assert_eq!((&made["isPinned"], &made["isMuted"]), (&json!(false), &json!(false)));
    assert_eq!(made["creatorId"], json!(ada.id));
    let people = made["participants"].as_array().expect("a list");
    let roles: Vec<_> = people.iter().map(|p| (&p["userId"], &p["role"])).collect();
    assert!(roles.contains(&(&json!(ada.id), &json!("admin"))));
    assert!(roles.contains(&(&json!(bayo.id), &json!("member"))));
    // The same for everybody, but for what is one's own.
    let id = id_of(&made);
    let seen = world.node().rest(&bayo).get(&format!("/conversations/{id}")).await.expect(200);
    assert_eq!((&seen["id"], &seen["role"]), (&made["id"], &json!("member")));
    let created = made["createdAt"].as_str().expect("a time");
    assert_eq!(created.len(), "2026-11-22T09:00:00.000Z".len());
    assert!(created.ends_with('Z'));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_new_conversation_is_named() {
    let world = unhurried_with(&[("MAX_GROUP_PARTICIPANTS", "3")]).await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    let new = || Uuid::new_v4();
    for (body, wrong) in [
        (json!({}), vec!["type"]),
        (json!({ "type": "club" }), vec!["type"]),
        (json!({ "type": 7 }), vec!["type"]),
        (json!({ "type": "direct" }), vec!["participantIds"]),
        (json!({ "type": "direct", "participantIds": [ada.id] }), vec!["participantIds"]),
        (json!({ "type": "direct", "participantIds": [new(), new()] }), vec!["participantIds"]),
        (json!({ "type": "direct", "participantIds": ["x"] }), vec!["participantIds[0]"]),
        (json!({ "type": "group", "participantIds": [] }), vec!["participantIds"]),
        (
            json!({ "type": "group", "participantIds": [new(), new(), new()] }),
            vec!["participantIds"],
        ),
        (json!({ "type": "group", "title": "a\u{0}b", "participantIds": [new()] }), vec!["title"]),
        (
            json!({ "type": "community", "title": "x".repeat(201), "description": "y".repeat(2001) }),
            vec!["title", "description"],
        ),
        (json!({ "type": "community", "contextType": "event" }), vec!["contextId"]),
        (json!({ "type": "community", "contextId": new() }), vec!["contextType"]),
    ] {
        let answer = rest.post("/conversations", body.clone()).await;
        let problem = answer.refused(StatusCode::BAD_REQUEST, "invalid");
        assert_eq!(fields(&problem), wrong, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_conversation_is_one_however_many_open_it_at_once() {
    let mut world = unhurried().await;
    let second = world.add_node(&[("RATE_LIMIT_REQUESTS_PER_SECOND", "0")]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let mut opening = tokio::task::JoinSet::new();
    for n in 0..40 {
        let node = if n % 2 == 0 { world.node() } else { &world.nodes()[second] };
        let (me, other) = if n % 4 < 2 { (&ada, &bayo) } else { (&bayo, &ada) };
        let (rest, other) = (node.rest(me), other.id);
        opening.spawn(async move {
            let body = json!({ "type": "direct", "participantIds": [other] });
            let answer = rest.post("/conversations", body).await;
            (answer.status, id_of(&answer.body))
        });
    }
    let opened = opening.join_all().await;
    let created = opened.iter().filter(|(status, _)| *status == 201).count();
    assert_eq!(created, 1, "{opened:?}");
    assert!(opened.iter().all(|(status, id)| [200, 201].contains(status) && *id == opened[0].1));
    // Another context is another conversation.
    let about = json!({
        "type": "direct", "participantIds": [bayo.id], "contextType": "listing", "contextId": Uuid::new_v4(),
    });
    let about = world.node().rest(&ada).post("/conversations", about).await.expect(201);
    assert_ne!(id_of(&about), opened[0].1);
}

#[tokio::test(flavor = "multi_thread")]
async fn details_change_and_clear() {
    let world = unhurried().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let id = conversation(&rest, "group", &[&bayo]).await;
    let path = format!("/conversations/{id}");
    let set = json!({ "title": "Two", "description": "About", "avatarUrl": "https://x/y.png" });
    let shown = rest.patch(&path, set).await.expect(200);
    assert_eq!((&shown["title"], &shown["avatarUrl"]), (&json!("Two"), &json!("https://x/y.png")));
    let shown = rest.patch(&path, json!({ "description": null })).await.expect(200);
    assert_eq!((&shown["title"], &shown["description"]), (&json!("Two"), &json!(null)));
    for (body, wrong) in [
        (json!({}), "body"),
        (json!({ "title": " " }), "title"),
        (json!({ "title": 7 }), "title"),
        (json!({ "avatarUrl": "javascript:alert(1)" }), "avatarUrl"),
    ] {
        let answer = rest.patch(&path, body).await;
        assert_eq!(fields(&answer.refused(StatusCode::BAD_REQUEST, "invalid")), [wrong]);
    }
    let direct = conversation(&rest, "direct", &[&bayo]).await;
    let answer = rest.patch(&format!("/conversations/{direct}"), json!({ "title": "x" })).await;
    answer.refused(StatusCode::CONFLICT, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_view_is_ones_own() {
    let world = unhurried().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    let id = conversation(&rest, "direct", &[&bayo]).await;
    let path = |what: &str| format!("/conversations/{id}{what}");
    let shown = rest.post(&path("/pin"), json!({})).await.expect(200);
    assert_eq!(shown["isPinned"], json!(true));
    let shown =
        rest.post(&path("/mute"), json!({ "until": "2199-01-01T00:00:00Z" })).await.expect(200);
    assert_eq!(shown["isMuted"], json!(true));
    assert_eq!(shown["mutedUntil"], json!("2199-01-01T00:00:00.000Z"));
    for until in [json!("yesterday"), json!("2001-01-01T00:00:00Z"), json!(7)] {
        let answer = rest.post(&path("/mute"), json!({ "until": until })).await;
        assert_eq!(fields(&answer.refused(StatusCode::BAD_REQUEST, "invalid")), ["until"]);
    }
    let shown = rest.post(&path("/archive"), json!({})).await.expect(200);
    assert_eq!(shown["isArchived"], json!(true));
    let seen = other.get(&path("")).await.expect(200);
    let flags = ["isPinned", "isMuted", "isArchived"].map(|flag| &seen[flag]);
    assert_eq!(flags, [&json!(false); 3]);
    for what in ["/pin", "/mute", "/archive"] {
        rest.delete(&path(what)).await.expect(200);
    }
    let shown = rest.get(&path("")).await.expect(200);
    let flags = ["isPinned", "isMuted", "isArchived"].map(|flag| &shown[flag]);
    assert_eq!((flags, &shown["mutedUntil"]), ([&json!(false); 3], &json!(null)));
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_counts_what_others_said_since_one_read() {
    let world = unhurried().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let (ada_rest, bayo_rest) = (world.node().rest(&ada), world.node().rest(&bayo));
    let id = conversation(&ada_rest, "direct", &[&bayo]).await;
    let path = format!("/conversations/{id}");
    let mut said = Vec::new();
    for n in 0..5 {
        said.push(say(&ada_rest, &id, &format!("message {n}")).await);
    }
    let seen = bayo_rest.get(&path).await.expect(200);
    assert_eq!(seen["unreadCount"], json!(5));
    assert_eq!(seen["lastMessage"]["content"], json!("message 4"));
    assert_eq!(ada_rest.get(&path).await.expect(200)["unreadCount"], json!(0));
    let unread = bayo_rest.get("/unread").await.expect(200);
    assert_eq!(unread, json!({ "total": 5, "conversations": 1 }));
    let read = |message: &serde_json::Value| json!({ "messageId": message["id"] });
    let mark = format!("{path}/mark-read");
    let answer = bayo_rest.post(&mark, read(&said[2])).await.expect(200);
    assert_eq!(answer, json!({ "success": true, "unreadCount": 2 }));
    // It never goes back.
    let answer = bayo_rest.post(&mark, read(&said[0])).await.expect(200);
    assert_eq!(answer["unreadCount"], json!(2));
    let answer = bayo_rest.post(&mark, json!({ "messageId": Uuid::new_v4() })).await;
    answer.refused(StatusCode::NOT_FOUND, "not_found");
    // Muted conversations do not count in the total.
    bayo_rest.post(&format!("{path}/mute"), json!({})).await.expect(200);
    let unread = bayo_rest.get("/unread").await.expect(200);
    assert_eq!(unread, json!({ "total": 0, "conversations": 0 }));
    // To answer is to have read.
    say(&bayo_rest, &id, "I see").await;
    assert_eq!(bayo_rest.get(&path).await.expect(200)["unreadCount"], json!(0));
    let shown = ada_rest.get(&path).await.expect(200);
    assert_eq!(shown["unreadCount"], json!(1));
    let answer = ada_rest.post(&mark, json!({})).await.expect(200);
    assert_eq!(answer["unreadCount"], json!(0));
}
