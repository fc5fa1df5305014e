//! Announcements and slow mode.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Scene, change};
use crate::harness::Ws;
use crate::harness::socketio::SocketIo;

/// Bayo's connections to two nodes that both know of slow mode: a message an hour.
async fn slowed_on_two_nodes(scene: &mut Scene) -> (Ws, Ws) {
    let second = scene.world.add_node(&[]).await;
    let mut here = scene.world.node().ws(&scene.bayo).await;
    let mut there = scene.world.nodes()[second].ws(&scene.bayo).await;
    scene.set(json!({"slowModeSeconds": 3600})).await;
    change(&mut here, "settings").await;
    change(&mut there, "settings").await;
    (here, there)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_admins_announce_members_read_and_react_until_it_is_undone() {
    let scene = Scene::start().await;
    let bayo = scene.bayo();
    let own = bayo.post("/messages", scene.message("before")).await.expect(201);
    let mut socket = scene.world.node().ws(&scene.bayo).await;
    let mut io = SocketIo::connect(scene.world.node(), &scene.bayo).await;
    let shown = scene.set(json!({"postingPolicy": "admins"})).await;
    assert_eq!(shown["postingPolicy"], "admins");
    let told = change(&mut socket, "settings").await;
    assert_eq!(told["conversation"]["postingPolicy"], "admins");
    let told = io.event("conversationUpdated").await;
    assert_eq!((&told["change"], &told["actorId"]), (&json!("settings"), &json!(scene.ada.id)));

    let refused = bayo.post("/messages", scene.message("me too")).await;
    refused.refused(StatusCode::FORBIDDEN, "forbidden");
    let error = socket.request("sendMessage", scene.message("me too")).await.expect_err("refused");
    assert_eq!(error["code"], "forbidden");
    let ack = io.emit("sendMessage", scene.message("me too")).await;
    assert_eq!((&ack["success"], &ack["code"]), (&json!(false), &json!("forbidden")));
    let path = format!("/messages/{}", own["id"].as_str().expect("an id"));
    let edited = bayo.put(&path, json!({"content": "a way around"})).await;
    edited.refused(StatusCode::FORBIDDEN, "forbidden");
    let mut later = scene.message("later");
    later["sendAt"] =
        json!((jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string());
    bayo.post("/messages", later).await.refused(StatusCode::FORBIDDEN, "forbidden");

    let said = scene.ada().post("/messages", scene.message("hear, hear")).await.expect(201);
    let reaction = format!("/messages/{}/reactions/👍", said["id"].as_str().expect("an id"));
    bayo.put(&reaction, json!({})).await.expect(200);
    bayo.delete(&path).await.expect(200);

    // Who becomes an admin writes at once; and everybody when it is undone.
    let place = scene.path(&format!("/participants/{}", scene.bayo.id));
    scene.ada().patch(&place, json!({"role": "admin"})).await.expect(200);
    change(&mut socket, "role").await;
    socket.request("sendMessage", scene.message("as an admin")).await.expect("accepted");
    scene.ada().patch(&place, json!({"role": "member"})).await.expect(200);
    change(&mut socket, "role").await;
    socket.request("sendMessage", scene.message("as a member")).await.expect_err("refused");
    scene.set(json!({"postingPolicy": "everyone"})).await;
    change(&mut socket, "settings").await;
    socket.request("sendMessage", scene.message("free")).await.expect("accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_mode_holds_on_every_node_and_after_a_restart() {
    let mut scene = Scene::start().await;
    let (mut here, mut there) = slowed_on_two_nodes(&mut scene).await;

    let mut named = scene.message("the one");
    named["clientMessageId"] = json!("one");
    here.request("sendMessage", named.clone()).await.expect("the first passes");
    there.event("newMessage").await;
    let again = here.request("sendMessage", named).await.expect("the same one again is the same");
    assert_eq!(again["message"]["content"], "the one");
    for socket in [&mut here, &mut there] {
        let error = socket.request("sendMessage", scene.message("two")).await.expect_err("slow");
        assert_eq!(error["code"], "rate_limited");
        assert!(error["message"].as_str().is_some_and(|text| text.contains("slow mode")));
    }
    let answer = scene.bayo().post("/messages", scene.message("two")).await;
    let seconds: u64 = answer.headers["retry-after"].to_str().expect("text").parse().expect("s");
    assert!((3_500..=3_600).contains(&seconds), "{seconds}");
    answer.refused(StatusCode::TOO_MANY_REQUESTS, "rate_limited");
    let mut later = scene.message("later");
    later["sendAt"] =
        json!((jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string());
    scene.bayo().post("/messages", later).await.refused(StatusCode::CONFLICT, "conflict");
    for text in ["a", "b"] {
        scene.ada().post("/messages", scene.message(text)).await.expect(201);
    }

    // A node that was not there then knows it from Postgres.
    scene.world.persisted().await;
    let third = scene.world.add_node(&[]).await;
    let rest = scene.world.nodes()[third].rest(&scene.bayo);
    rest.post("/messages", scene.message("two"))
        .await
        .refused(StatusCode::TOO_MANY_REQUESTS, "rate_limited");
    scene.set(json!({"slowModeSeconds": 0})).await;
    change(&mut there, "settings").await;
    there.request("sendMessage", scene.message("two")).await.expect("undone");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_messages_at_once_do_not_both_slip_through() {
    let scene = Scene::start().await;
    scene.set(json!({"slowModeSeconds": 60})).await;
    let mut socket = scene.world.node().ws(&scene.bayo).await;
    let mut asked = Vec::new();
    for text in ["a", "b", "c"] {
        asked.push(socket.send("sendMessage", scene.message(text)).await);
    }
    let mut accepted = 0;
    for id in asked {
        accepted += usize::from(socket.reply(id).await.is_ok());
    }
    assert_eq!(accepted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_once_on_two_nodes_one_message_each_passes_at_most_and_none_behind_that() {
    let mut scene = Scene::start().await;
    let (mut here, mut there) = slowed_on_two_nodes(&mut scene).await;
    let mut asked = Vec::new();
    for text in ["a", "b", "c"] {
        let on_one = here.send("sendMessage", scene.message(text)).await;
        asked.push((on_one, there.send("sendMessage", scene.message(text)).await));
    }
    let (mut on_one, mut on_other) = (0, 0);
    for (one, other) in asked {
        on_one += usize::from(here.reply(one).await.is_ok());
        on_other += usize::from(there.reply(other).await.is_ok());
    }
    assert!(on_one <= 1 && on_other <= 1 && on_one + on_other >= 1, "{on_one} and {on_other}");
    // As soon as a node has told its clients of a message, it knows of it.
    for socket in [&mut here, &mut there] {
        for _ in 0..on_one + on_other {
            socket.event("newMessage").await;
        }
        let error = socket.request("sendMessage", scene.message("d")).await.expect_err("slow");
        assert_eq!(error["code"], "rate_limited");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_the_admins_to_change_and_checked() {
    let scene = Scene::start().await;
    let path = scene.path("");
    let refused = scene.bayo().patch(&path, json!({"slowModeSeconds": 5})).await;
    refused.refused(StatusCode::FORBIDDEN, "forbidden");
    let (ada, invalid) = (scene.ada(), StatusCode::BAD_REQUEST);
    for (body, field) in [
        (json!({"slowModeSeconds": -1}), "slowModeSeconds"),
        (json!({"slowModeSeconds": 21_601}), "slowModeSeconds"),
        (json!({"slowModeSeconds": "5"}), "slowModeSeconds"),
        (json!({"postingPolicy": "nobody"}), "postingPolicy"),
        (json!({"joinApproval": "yes"}), "joinApproval"),
        (json!({"somethingElse": 1}), "body"),
    ] {
        let problem: Value = ada.patch(&path, body).await.refused(invalid, "invalid");
        assert_eq!(problem["errors"][0]["field"], field);
    }
    let both = scene.set(json!({"title": "New", "slowModeSeconds": 7})).await;
    assert_eq!((&both["title"], &both["slowModeSeconds"]), (&json!("New"), &json!(7)));
    let others = json!({"type": "group", "title": "G", "participantIds": [scene.bayo.id]});
    let group = ada.post("/conversations", others).await.expect(201);
    let path = format!("/conversations/{}", group["id"].as_str().expect("an id"));
    let conflict = StatusCode::CONFLICT;
    ada.patch(&path, json!({"joinApproval": true})).await.refused(conflict, "conflict");
    ada.patch(&path, json!({"postingPolicy": "admins"})).await.expect(200);
    let direct = json!({"type": "direct", "participantIds": [scene.bayo.id]});
    let direct = ada.post("/conversations", direct).await.expect(201);
    let path = format!("/conversations/{}", direct["id"].as_str().expect("an id"));
    ada.patch(&path, json!({"slowModeSeconds": 5})).await.refused(conflict, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_learns_of_settings_and_pins_in_their_order() {
    let scene = Scene::start().await;
    let said = scene.ada().post("/messages", scene.message("read me")).await.expect(201);
    let cursor = scene.world.node().ws(&scene.bayo).await.connected["cursor"].clone();
    scene.set(json!({"slowModeSeconds": 7})).await;
    let pin = scene.path(&format!("/pins/{}", said["id"].as_str().expect("an id")));
    scene.ada().put(&pin, json!({})).await.expect(200);
    scene.ada().post("/messages", scene.message("after")).await.expect(201);
    scene.ada().delete(&pin).await.expect(200);
    let path = format!("/sync?cursor={}", cursor.as_str().expect("a cursor"));
    let missed = scene.bayo().get(&path).await.expect(200);
    let events = missed["events"].as_array().expect("events");
    let seen: Vec<&str> = events
        .iter()
        .map(|event| event["data"]["change"].as_str().or(event["event"].as_str()).expect("a name"))
        .collect();
    assert_eq!(seen, ["settings", "messagePinned", "newMessage", "messageUnpinned"]);
    assert_eq!(events[1]["data"]["messageId"], said["id"]);
}
