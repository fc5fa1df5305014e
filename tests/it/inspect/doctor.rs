//! What is wrong with an installation is said, with what to change; what is right is not complained about.

use serde_json::Value;

use super::document;
use crate::harness::shipped::Shipped;
use crate::harness::{World, tools};

/// A secret of the length that it should have.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The findings of a level, each with its advice.
fn of_level<'a>(document: &'a Value, level: &str) -> Vec<&'a Value> {
    let findings = document["findings"].as_array().expect("findings");
    findings.iter().filter(|finding| finding["level"] == level).collect()
}

fn has(findings: &[&Value], words: &str) -> bool {
    findings
        .iter()
        .any(|finding| finding["finding"].as_str().is_some_and(|text| text.contains(words)))
}

#[tokio::test]
async fn a_healthy_installation_has_no_problems() {
    let world = World::start().await;
    let media = format!("file://{}", tools::folder("media").display());
    let settings = [("JWT_ACCESS_SECRET", SECRET), ("MESSAGING_MEDIA_URL", media.as_str())];
    let output = world.admin_with(&["doctor", "--json"], &settings).await;
    let said = document(&output);
    let problems = of_level(&said, "problem");
    // Of this machine, and of a Postgres that may forget.
    let others = problems.iter().filter(|p| {
        let text = p["finding"].as_str().unwrap_or_default();
        !(p["area"] == "limits" || p["area"] == "disk" || text.contains("fsync"))
    });
    assert_eq!(others.count(), 0, "{said}");
    assert!(has(&problems, "fsync is off"), "{said}");
    assert!(!output.status.success(), "that one counts");
    let fine = of_level(&said, "fine");
    for words in [
        "CHAT is as wanted",
        "clock of Postgres",
        "clock of NATS",
        "store of files answers",
        "schema",
    ] {
        assert!(has(&fine, words), "{words}: {said}");
    }
    let warnings = of_level(&said, "warning");
    assert!(has(&warnings, "one copy") && has(&warnings, "notifications are off"), "{said}");
    let all = [problems, warnings].concat();
    assert!(all.iter().all(|finding| finding["advice"] != ""), "each with what to change: {said}");
}

#[tokio::test]
async fn what_is_missing_is_said_and_the_rest_is_looked_at_all_the_same() {
    let world = World::without_nodes().await;
    let settings = [
        ("JWT_ACCESS_SECRET", "short"),
        ("POSTGRES_URL", "postgres://nobody:hunter2@127.0.0.1:1/none"),
        ("FIREBASE_PROJECT_ID", "p"),
        ("FIREBASE_CLIENT_EMAIL", "a@b"),
        ("FIREBASE_PRIVATE_KEY", "hunter2"),
        ("MESSAGING_MEDIA_URL", "file:///proc/nowhere"),
    ];
    let output = world.admin_with(&["doctor", "--json"], &settings).await;
    assert!(!output.status.success());
    let said = document(&output);
    let problems = of_level(&said, "problem");
    for words in [
        "Postgres cannot be reached",
        "secret of tokens has 5 bytes",
        "no stream CHAT",
        "no PEM",
        "folder of the media",
    ] {
        assert!(has(&problems, words), "{words}: {said}");
    }
    assert!(!said.to_string().contains("hunter2"), "secrets stay where they are");
    let database = world.database.client().await;
    let tables =
        "REVOKE ALL ON messages FROM messaging; ALTER TABLE messages OWNER TO CURRENT_USER";
    // The owner of everything may everything: only that it can be asked is seen here.
    database.batch_execute(tables).await.expect("revoked");
    world.nats.stop();
    let output = world.admin_with(&["doctor"], &[]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("NATS cannot be reached") && text.contains("schema"), "{text}");
}

#[tokio::test]
async fn an_index_that_is_missing_or_cannot_be_used_is_named_with_what_makes_it_again() {
    let world = World::without_nodes().await;
    let database = world.database.client().await;
    let harm = "DROP INDEX messages_expiring;
                UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'devices_user'::regclass;";
    database.batch_execute(harm).await.expect("the owner of everything");
    let said = document(&world.admin_with(&["doctor", "--json"], &[]).await);
    let problems = of_level(&said, "problem");
    assert!(has(&problems, "messages_expiring of messages is missing"), "{said}");
    assert!(has(&problems, "devices_user cannot be used"), "{said}");
    // What it says to do is enough.
    for problem in problems {
        let advice = problem["advice"].as_str().expect("advice");
        let Some((_, statements)) = advice.split_once("un: ") else { continue };
        for statement in
            statements.split_inclusive(';').map(str::trim).filter(|s| s.contains("INDEX"))
        {
            database.batch_execute(statement).await.expect(statement);
        }
    }
    let said = document(&world.admin_with(&["doctor", "--json"], &[]).await);
    assert!(has(&of_level(&said, "fine"), "all indexes of the migrations"), "{said}");
}

#[tokio::test]
async fn what_a_user_may_not_ask_is_unknown_and_not_wrong() {
    let shipped = Shipped::single();
    let world = World::without_nodes().await;
    let environment = shipped.environment("billing");
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let output = world.admin_with(&["doctor", "--json"], &environment).await;
    let said = document(&output);
    assert!(has(&of_level(&said, "warning"), "does not let this user ask"), "{said}");
    assert!(!of_level(&said, "unknown").is_empty(), "{said}");
}
