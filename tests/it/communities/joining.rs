//! Being let in, and being kept out.

use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::{Scene, change};

const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;

#[tokio::test(flavor = "multi_thread")]
async fn who_has_to_be_let_in_waits_until_an_admin_says_so() {
    let scene = Scene::start().await;
    let chidi = scene.world.user("Chidi");
    let (rest, ada) = (scene.world.node().rest(&chidi), scene.ada());
    let shown = scene.set(json!({"joinApproval": true})).await;
    assert_eq!(shown["joinRequestCount"], 0);
    let mut hers = scene.world.node().ws(&scene.ada).await;
    let mut his = scene.world.node().ws(&scene.bayo).await;
    let mut wanting = scene.world.node().ws(&chidi).await;

    let asked = rest.post(&scene.path("/join"), json!({})).await.expect(202);
    assert_eq!(
        (&asked["status"], &asked["conversationId"]),
        (&json!("requested"), &json!(scene.id))
    );
    let again = rest.post(&scene.path("/join"), json!({})).await.expect(202);
    assert_eq!(again, asked);
    let told = change(&mut hers, "joinRequested").await;
    assert_eq!(
        (&told["userIds"], &told["conversation"]["joinRequestCount"]),
        (&json!([chidi.id]), &json!(1))
    );
    rest.get(&scene.path("")).await.refused(FORBIDDEN, "not_a_participant");
    let listed = ada.get(&scene.path("/join-requests")).await.expect(200);
    assert_eq!(listed["requests"][0]["userId"], json!(chidi.id));
    assert_eq!(listed["requests"][0]["displayName"], "Chidi");
    assert_eq!(ada.get(&scene.path("")).await.expect(200)["joinRequestCount"], 1);

    // Of no concern to members, and not theirs to decide.
    let waiting = scene.path(&format!("/join-requests/{}", chidi.id));
    let bayo = scene.bayo();
    bayo.get(&scene.path("/join-requests")).await.refused(FORBIDDEN, "forbidden");
    bayo.post(&format!("{waiting}/approve"), json!({})).await.refused(FORBIDDEN, "forbidden");
    bayo.delete(&waiting).await.refused(FORBIDDEN, "forbidden");
    assert!(bayo.get(&scene.path("")).await.expect(200).get("joinRequestCount").is_none());
    rest.post(&format!("{waiting}/approve"), json!({}))
        .await
        .refused(FORBIDDEN, "not_a_participant");

    // Refused, asked again, taken back, asked again, let in.
    ada.delete(&waiting).await.expect(200);
    let told = change(&mut wanting, "joinRejected").await;
    assert!(told["conversation"].get("joinRequestCount").is_none());
    ada.delete(&waiting).await.refused(StatusCode::NOT_FOUND, "not_found");
    rest.post(&scene.path("/join"), json!({})).await.expect(202);
    rest.delete(&waiting).await.expect(200);
    assert_eq!(change(&mut hers, "joinCancelled").await["conversation"]["joinRequestCount"], 0);
    rest.post(&scene.path("/join"), json!({})).await.expect(202);
    let shown = ada.post(&format!("{waiting}/approve"), json!({})).await.expect(200);
    assert_eq!((&shown["participantCount"], &shown["joinRequestCount"]), (&json!(3), &json!(0)));
    assert_eq!(change(&mut wanting, "participantsAdded").await["userIds"], json!([chidi.id]));
    change(&mut his, "participantsAdded").await;
    his.has_no_more("conversationUpdated");
    wanting.request("sendMessage", scene.message("thank you")).await.expect("in");
    ada.post(&format!("{waiting}/approve"), json!({}))
        .await
        .refused(StatusCode::NOT_FOUND, "not_found");
    assert_eq!(rest.post(&scene.path("/join"), json!({})).await.expect(200)["role"], "member");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_paged_and_end_when_anybody_may_join() {
    let scene = Scene::start().await;
    scene.set(json!({"joinApproval": true})).await;
    let users: Vec<_> = (0..5).map(|n| scene.world.user(&format!("User {n}"))).collect();
    for user in &users {
        scene.world.node().rest(user).post(&scene.path("/join"), json!({})).await.expect(202);
    }
    let mut seen: Vec<Uuid> = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page =
            scene.ada().get(&scene.path(&format!("/join-requests{query}"))).await.expect(200);
        let ids = page["requests"].as_array().expect("a list").iter();
        seen.extend(
            ids.map(|r| r["userId"].as_str().expect("an id").parse::<Uuid>().expect("one")),
        );
        match page["nextCursor"].as_str() {
            Some(cursor) => query = format!("?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, users.iter().map(|user| user.id).collect::<Vec<_>>());
    scene.set(json!({"joinApproval": false})).await;
    scene.world.node().rest(&users[0]).post(&scene.path("/join"), json!({})).await.expect(200);
    // Being added answers a request as well.
    let added = json!({"userIds": [users[1].id]});
    scene.ada().post(&scene.path("/participants"), added).await.expect(200);
    let page = scene.ada().get(&scene.path("/join-requests")).await.expect(200);
    assert_eq!(page["requests"].as_array().map(Vec::len), Some(3));
    let invalid = scene.ada().get(&scene.path("/join-requests?cursor=x")).await;
    invalid.refused(StatusCode::BAD_REQUEST, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_banned_neither_joins_nor_is_added_until_that_is_lifted() {
    let scene = Scene::start().await;
    let (ada, bayo) = (scene.ada(), scene.bayo());
    let mut his = scene.world.node().ws(&scene.bayo).await;
    let ban = scene.path(&format!("/bans/{}", scene.bayo.id));
    ada.put(&ban, json!({"reason": " spam "})).await.expect(200);
    assert_eq!(change(&mut his, "participantsRemoved").await["userIds"], json!([scene.bayo.id]));
    bayo.post("/messages", scene.message("hello?")).await.refused(FORBIDDEN, "not_a_participant");
    bayo.post(&scene.path("/join"), json!({})).await.refused(FORBIDDEN, "forbidden");
    let added = json!({"userIds": [scene.bayo.id, Uuid::new_v4()]});
    ada.post(&scene.path("/participants"), added.clone()).await.refused(FORBIDDEN, "forbidden");
    assert_eq!(ada.get(&scene.path("")).await.expect(200)["participantCount"], 1);
    let listed = ada.get(&scene.path("/bans")).await.expect(200);
    assert_eq!(listed["bans"][0]["reason"], "spam");
    assert_eq!(listed["bans"][0]["bannedBy"], json!(scene.ada.id));
    // Again is harmless.
    ada.put(&ban, json!({})).await.expect(200);
    ada.delete(&ban).await.expect(200);
    ada.delete(&ban).await.refused(StatusCode::NOT_FOUND, "not_found");
    ada.post(&scene.path("/participants"), added).await.expect(200);
    bayo.post("/messages", scene.message("back")).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_ends_a_request_and_is_the_admins_alone() {
    let scene = Scene::start().await;
    scene.set(json!({"joinApproval": true})).await;
    let chidi = scene.world.user("Chidi");
    let rest = scene.world.node().rest(&chidi);
    rest.post(&scene.path("/join"), json!({})).await.expect(202);
    let ban = scene.path(&format!("/bans/{}", chidi.id));
    scene.bayo().put(&ban, json!({})).await.refused(FORBIDDEN, "forbidden");
    scene.bayo().get(&scene.path("/bans")).await.refused(FORBIDDEN, "forbidden");
    rest.put(&ban, json!({})).await.refused(FORBIDDEN, "not_a_participant");
    scene.ada().put(&ban, json!({})).await.expect(200);
    let page = scene.ada().get(&scene.path("/join-requests")).await.expect(200);
    assert_eq!(page["requests"], json!([]));
    rest.post(&scene.path("/join"), json!({})).await.refused(FORBIDDEN, "forbidden");
    let oneself = scene.path(&format!("/bans/{}", scene.ada.id));
    scene.ada().put(&oneself, json!({})).await.refused(StatusCode::CONFLICT, "conflict");
    let long = json!({"reason": "x".repeat(501)});
    scene.ada().put(&ban, long).await.refused(StatusCode::BAD_REQUEST, "invalid");
    scene
        .ada()
        .put(&scene.path("/bans/7"), json!({}))
        .await
        .refused(StatusCode::BAD_REQUEST, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_an_operator_lets_in_asks_no_more() {
    let scene = Scene::start().await;
    let chidi = scene.world.user("Chidi");
    let (rest, ada) = (scene.world.node().rest(&chidi), scene.ada());
    scene.set(json!({"joinApproval": true})).await;
    rest.post(&scene.path("/join"), json!({})).await.expect(202);
    let (id, whom) = (scene.id.to_string(), chidi.id.to_string());
    let add = ["conversation", "participants", &id, "--add", &whom];
    scene.world.run_admin(&add).await.fine();
    let shown = ada.get(&scene.path("")).await.expect(200);
    assert_eq!((&shown["participantCount"], &shown["joinRequestCount"]), (&json!(3), &json!(0)));
    let approve = scene.path(&format!("/join-requests/{whom}/approve"));
    ada.post(&approve, json!({})).await.refused(StatusCode::NOT_FOUND, "not_found");
}
