//! What users report, and what operators do about it.

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::apart::metric;
use super::{admin, done};
use crate::harness::flow::{eventually, id_of, open_direct, send};
use crate::harness::{User, World};

struct Stage {
    world: World,
    ada: User,
    ben: User,
    direct: Uuid,
}

impl Stage {
    async fn start() -> Self {
        let world = World::start().await;
        let (ada, ben) = (world.user("Ada"), world.user("Ben"));
        let direct = open_direct(&world.node().rest(&ada), &ben).await;
        Self { world, ada, ben, direct }
    }

    async fn report(&self, user: &User, body: Value) -> String {
        let filed = self.world.node().rest(user).post("/reports", body).await.expect(201);
        filed["reportId"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test]
async fn a_reported_message_keeps_its_surroundings_as_they_were() {
    let stage = Stage::start().await;
    let (of_ada, of_ben) =
        (stage.world.node().rest(&stage.ada), stage.world.node().rest(&stage.ben));
    let mut sent = Vec::new();
    for number in 0..25 {
        sent.push(id_of(&send(&of_ben, stage.direct, &number.to_string()).await));
    }
    let body = json!({"messageId": sent[12], "reason": "threat", "details": "every day"});
    let id = stage.report(&stage.ada, body.clone()).await;
    let again = of_ada.post("/reports", body).await.expect(200);
    assert_eq!(again["reportId"], json!(id), "one open report of a reporter and a target");
    of_ben.delete(&format!("/messages/{}", sent[12])).await.expect(200);
    of_ben.put(&format!("/messages/{}", sent[13]), json!({"content": "nothing"})).await.expect(200);
    stage.world.persisted().await;

    let listed = done(&stage.world, &["report", "list"]).await;
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["id"]), (Some(1), &json!(id)));
    let shown = done(&stage.world, &["report", "show", &id]).await;
    assert_eq!(shown["reportedId"], json!(stage.ben.id));
    assert_eq!((&shown["reason"], &shown["details"]), (&json!("threat"), &json!("every day")));
    let seen = shown["evidence"].as_array().expect("evidence");
    let contents: Vec<_> = seen.iter().filter_map(|seen| seen["content"].as_str()).collect();
    let expected: Vec<_> = (2..=22).map(|number| number.to_string()).collect();
    assert_eq!(contents, expected, "ten before and ten behind, neither edited nor deleted");
}

#[tokio::test]
async fn an_operator_deletes_the_message_and_its_people_see_a_tombstone() {
    let stage = Stage::start().await;
    let rest = stage.world.node().rest(&stage.ben);
    let message = id_of(&send(&rest, stage.direct, "bad").await);
    let id = stage.report(&stage.ada, json!({"messageId": message, "reason": "hate"})).await;
    stage.world.persisted().await;
    let mut hears = stage.world.node().ws(&stage.ada).await;
    let order = ["report", "delete-message", &id, "--reason", "hate"];
    let (success, _, complaint) = admin(&stage.world, &order).await;
    assert!(!success && complaint.contains("--yes"), "{complaint}");
    done(&stage.world, &[&order[..], &["--yes", "--dry-run"]].concat()).await;
    assert_eq!(rest.get(&format!("/messages/{message}")).await.expect(200)["isDeleted"], false);

    let answer = done(&stage.world, &[&order[..], &["--yes"]].concat()).await;
    assert_eq!(answer["state"], "acted");
    let event = hears.event("messageDeleted").await;
    assert_eq!(event["data"]["messageId"], json!(message));
    eventually("a tombstone", async || {
        let now = rest.get(&format!("/messages/{message}")).await.expect(200);
        (now["isDeleted"] == true).then_some(())
    })
    .await;
    let shown = done(&stage.world, &["report", "show", &id]).await;
    assert_eq!(
        (&shown["state"], &shown["evidence"][0]["content"]),
        (&json!("acted"), &json!("bad"))
    );
    let audit = done(&stage.world, &["audit", "--target", &id]).await;
    assert_eq!(audit[0]["action"], "report delete-message");
    assert_eq!(
        audit.as_array().map(Vec::len),
        Some(1),
        "what was refused or only tried is not noted"
    );
}

#[tokio::test]
async fn a_message_that_is_gone_is_not_said_to_be_deleted() {
    let stage = Stage::start().await;
    let rest = stage.world.node().rest(&stage.ben);
    let message = id_of(&send(&rest, stage.direct, "bad").await);
    let id = stage.report(&stage.ada, json!({"messageId": message, "reason": "hate"})).await;
    stage.world.persisted().await;
    // As retention removes it.
    let database = stage.world.database.client().await;
    database.execute("DELETE FROM messages WHERE id = $1", &[&message]).await.expect("a row");
    let order = ["report", "delete-message", &id, "--reason", "hate", "--yes"];
    let (success, _, complaint) = admin(&stage.world, &order).await;
    assert!(!success && complaint.contains("is gone already"), "{complaint}");
    assert_eq!(done(&stage.world, &["report", "show", &id]).await["state"], "open");
}

#[tokio::test]
async fn a_reported_user_is_banned_and_a_note_and_a_dismissal_are_kept() {
    let stage = Stage::start().await;
    let mut of_ben = stage.world.node().ws(&stage.ben).await;
    of_ben.say(stage.direct, "you again").await;
    let body = json!({"userId": stage.ben.id, "reason": "harassment"});
    let id = stage.report(&stage.ada, body).await;
    let shown = done(&stage.world, &["report", "show", &id]).await;
    assert_eq!(shown["evidence"][0]["content"], "you again", "the newest of their conversation");
    done(&stage.world, &["report", "note", &id, "second time this week"]).await;
    let answer = done(&stage.world, &["report", "ban", &id, "--reason", "harassment"]).await;
    assert_eq!((&answer["standing"], &answer["closedConnections"]), (&json!("banned"), &json!(1)));
    assert_eq!(of_ben.closed().await, 4403);
    let shown = done(&stage.world, &["report", "show", &id]).await;
    assert_eq!((&shown["state"], &shown["standing"]), (&json!("acted"), &json!("banned")));
    assert_eq!(shown["notes"][0]["note"], "second time this week");
    assert_eq!(shown["notes"][0]["operator"], "tess");

    // Dealt with, so that it can be reported anew; and nothing is the matter this time.
    let body = json!({"userId": stage.ben.id, "reason": "harassment"});
    let id = stage.report(&stage.ada, body).await;
    done(&stage.world, &["report", "dismiss", &id]).await;
    assert_eq!(done(&stage.world, &["report", "list"]).await, json!([]));
    let (success, _, complaint) = admin(&stage.world, &["report", "dismiss", &id]).await;
    assert!(!success && complaint.contains("dismissed already"), "{complaint}");
}

#[tokio::test]
async fn whoever_watches_sees_how_many_reports_wait() {
    let stage = Stage::start().await;
    let counted = async |expected: u64| {
        let open = async || {
            let open = metric(&stage.world, "messaging_safety_reports_open").await;
            (open == expected).then_some(())
        };
        eventually(&format!("{expected} reports wait"), open).await;
    };
    assert_eq!(metric(&stage.world, "messaging_safety_reports_open").await, 0);
    let id = stage.report(&stage.ada, json!({"userId": stage.ben.id, "reason": "rude"})).await;
    counted(1).await;
    done(&stage.world, &["report", "dismiss", &id]).await;
    counted(0).await;
}

#[tokio::test]
async fn what_is_not_there_for_the_reporter_and_what_makes_no_sense_is_refused() {
    let stage = Stage::start().await;
    let cem = stage.world.user("Cem");
    let of_ada = send(&stage.world.node().rest(&stage.ada), stage.direct, "hello").await;
    let of_ada = id_of(&of_ada);
    let nobody = Uuid::new_v4();
    for (user, body, status, code) in [
        (&cem, json!({"messageId": of_ada, "reason": "x"}), StatusCode::NOT_FOUND, "not_found"),
        (&cem, json!({"messageId": nobody, "reason": "x"}), StatusCode::NOT_FOUND, "not_found"),
        (&cem, json!({"userId": nobody, "reason": "x"}), StatusCode::NOT_FOUND, "not_found"),
        (&cem, json!({"userId": cem.id, "reason": "x"}), StatusCode::BAD_REQUEST, "invalid"),
        (
            &stage.ada,
            json!({"messageId": of_ada, "reason": "x"}),
            StatusCode::BAD_REQUEST,
            "invalid",
        ),
        (
            &stage.ben,
            json!({"messageId": of_ada, "reason": "x".repeat(201)}),
            StatusCode::BAD_REQUEST,
            "invalid",
        ),
        (&stage.ben, json!({"messageId": "x", "reason": "x"}), StatusCode::BAD_REQUEST, "invalid"),
        (&stage.ben, json!({"reason": "x"}), StatusCode::BAD_REQUEST, "invalid"),
    ] {
        stage.world.node().rest(user).post("/reports", body).await.refused(status, code);
    }
    let nobody = nobody.to_string();
    for action in ["show", "dismiss", "ban", "delete-message"] {
        let order = ["report", action, &nobody, "--reason", "x", "--yes"];
        let (success, _, complaint) = admin(&stage.world, &order).await;
        assert!(!success && complaint.contains("There is no report"), "{action}: {complaint}");
    }
}
