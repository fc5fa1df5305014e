//! Why somebody was alerted or was not is told afterwards.

use serde_json::Value;

use super::*;

async fn explained(scene: &Scene, message: &Value) -> Value {
    let id = flow::id_of(message).to_string();
    scene.world.run_admin_json(&["explain", &id]).await
}

/// The participant's part of it, and the steps: when, and what.
fn of(told: &Value, user: &User) -> (Value, Vec<(String, String)>) {
    let all = told["participants"].as_array().expect("participants");
    let of = all.iter().find(|p| p["userId"] == json!(user.id)).expect("a participant").clone();
    let decisions = of["decisions"].as_array().expect("decisions");
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    let steps = decisions.iter().map(|d| (word(&d["step"]), word(&d["what"]))).collect();
    (of, steps)
}

fn has(steps: &[(String, String)], step: &str, what: &str) -> bool {
    steps.iter().any(|(when, found)| when == step && found == what)
}

#[tokio::test]
async fn the_reasons_for_and_against_a_notification_are_told_for_each_participant() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let (ben, _) = scene.somebody("Ben").await;
    let (chi, _) = scene.somebody("Chi").await;
    let (eve, eves) = scene.somebody("Eve").await;
    let rest = scene.rest(&ada);
    let group = flow::open_group(&rest, &[ben.clone(), chi.clone(), eve.clone()]).await;
    scene.mute(&chi, group).await;
    let _listening = scene.ws(&ben).await.listen();
    let message = flow::send(&rest, group, "Hello!").await;
    scene.next(&eves, 0).await;
    scene.settled().await;
    // What was true then is told, whatever is true now.
    scene.read(&eve, group, None).await;
    let unmute = format!("/conversations/{group}/mute");
    scene.rest(&chi).delete(&unmute).await.expect(200);
    scene.settled().await;

    let told = explained(&scene, &message).await;
    let (ben, steps) = of(&told, &ben);
    assert_eq!(ben["notification"], "none: delivered", "{told}");
    assert!(has(&steps, "second", "delivered"), "{steps:?}");
    let (chi, steps) = of(&told, &chi);
    assert_eq!(chi["notification"], "none: muted", "{told}");
    assert!(has(&steps, "second", "muted"), "{steps:?}");
    let (eve, steps) = of(&told, &eve);
    let summary = eve["notification"].as_str().expect("words");
    assert!(summary.starts_with("sent at 20"), "{told}");
    assert!(has(&steps, "sending", "sent"), "{steps:?}");
    assert!(eve["readAt"].is_string() && eve["decisions"][0]["process"].is_string(), "{told}");
    assert!(of(&told, &ada).1.is_empty(), "{told}");
    let text = scene.world.run_admin(&["explain", &flow::id_of(&message).to_string()]).await.fine();
    assert!(
        text.contains("to a device: sent") && text.contains("after the grace: muted"),
        "{text}"
    );
}

#[tokio::test]
async fn what_google_refused_is_told_and_can_be_tried_again() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let (eve, token) = scene.somebody("Eve").await;
    scene.fcm.behave_for(&token, json!({"kind": "invalidMessage"})).await;
    let direct = flow::open_direct(&scene.rest(&ada), &eve).await;
    let message = flow::send(&scene.rest(&ada), direct, "Hello!").await;
    let letters = async || {
        let found = scene.world.run_admin_json(&["dead", "list", "--consumer", "push"]).await;
        found.as_array().expect("letters").clone()
    };
    let letter = eventually("a dead letter", async || letters().await.first().cloned()).await;
    assert_eq!(letter["place"], message["seq"]);
    scene.settled().await;
    let told = explained(&scene, &message).await;
    let (of_eve, steps) = of(&told, &eve);
    let summary = of_eve["notification"].as_str().expect("words");
    assert!(summary.starts_with("given up at"), "{told}");
    assert!(has(&steps, "sending", "given_up"), "{steps:?}");

    scene.fcm.behave_for(&token, json!({"kind": "ok"})).await;
    let number = letter["seq"].to_string();
    let retry = ["dead", "retry", &number, "--reason", "the project is mended"];
    let tried = scene.world.run_admin_json(&[&retry[..], &["--dry-run"]].concat()).await;
    assert_eq!((&tried["retried"], &tried["dryRun"]), (&json!([letter["seq"]]), &json!(true)));
    assert_eq!(letters().await.len(), 1, "nothing was changed");
    let behind = scene.last().await;
    scene.world.run_admin(&retry).await.fine();
    let shown = scene.next(&token, behind).await;
    assert_eq!(says(&shown), "Ada: Hello!");
    scene.settled().await;
    assert_eq!(letters().await, [] as [Value; 0]);
    let told = explained(&scene, &message).await;
    assert!(has(&of(&told, &eve).1, "sending", "sent"), "{told}");
    scene.world.run_admin(&retry).await.refused(&["no dead letter"]);

    // One whose device is gone stays, and it is said why.
    scene.fcm.behave_for(&token, json!({"kind": "invalidMessage"})).await;
    flow::send(&scene.rest(&ada), direct, "And again!").await;
    let letter = eventually("another dead letter", async || letters().await.first().cloned()).await;
    scene.rest(&eve).delete(&format!("/devices/{token}")).await;
    let failed = scene.world.run_admin(&["dead", "retry", &letter["seq"].to_string()]).await;
    assert_eq!(failed.code, Some(1));
    assert!(failed.stdout.contains("its device is gone"), "{}", failed.stdout);
    assert_eq!(letters().await.len(), 1);
    let audited = scene.world.run_admin_json(&["audit"]).await;
    let actions: Vec<_> =
        audited.as_array().expect("rows").iter().map(|row| &row["action"]).collect();
    assert_eq!(actions, ["dead retry"]);
}
