//! What holds for every command: who, why, agreement, and a sentence when something is wrong.

use std::process::Command;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::audit;
use crate::harness::flow::{self, UNPACED, id_of};
use crate::harness::tools::{self, MESSAGING};
use crate::harness::{Rest, World};

/// A port that nothing listens on.
const NOBODY: &str = "127.0.0.1:1";

#[tokio::test]
async fn a_wrong_id_is_a_sentence_that_says_where_to_look() {
    let world = World::start().await;
    let id = Uuid::new_v4().to_string();
    for (arguments, words) in [
        (vec!["user", "show", &id], ["no user", "user list"]),
        (vec!["conversation", "show", &id], ["no conversation", "conversation list"]),
        (vec!["conversation", "export", &id], ["no conversation", "conversation list"]),
        (
            vec!["conversation", "update", &id, "--title", "x"],
            ["no conversation", "conversation list"],
        ),
        (
            vec!["conversation", "delete", &id, "--yes", "--reason", "x"],
            ["no conversation", "conversation list"],
        ),
        (vec!["message", "show", &id], ["no message", "conversation export"]),
        (
            vec!["message", "delete", &id, "--yes", "--reason", "x"],
            ["no message", "conversation export"],
        ),
    ] {
        let said = world.run_admin(&arguments).await.refused(&words);
        assert!(said.contains(&id) && said.lines().count() == 1, "{said}");
    }
    assert_eq!(audit(&world).await, []);
    world.run_admin(&["user", "show", "ada"]).await.refused(&["invalid value 'ada'", "UUID"]);
    world.run_admin(&["usr", "list"]).await.refused(&["unrecognized subcommand", "user"]);
    world.run_admin(&["user", "list", "--lmit", "3"]).await.refused(&["--limit"]);
    world.run_admin(&["--reason", " ", "user", "list"]).await.refused(&["must not be blank"]);
}

#[tokio::test]
async fn without_its_servers_a_command_fails_within_seconds_and_changes_nothing() {
    let world = World::start().await;
    let rest = world.node().rest(&world.user("Ada"));
    let group = group(&rest, &world).await.to_string();
    let began = Instant::now();
    let (no_postgres, no_nats) = (format!("postgres://{NOBODY}/x"), format!("nats://{NOBODY}"));
    let away = [("POSTGRES_URL", no_postgres.as_str())];
    world.run_admin_with(&away, &["user", "list"]).await.refused(&["Postgres cannot be reached"]);
    let away = [("NATS_URL", no_nats.as_str())];
    let system = ["message", "send-system", "--conversation", &group, "hello"];
    world.run_admin_with(&away, &system).await.refused(&["NATS"]);
    let delete = ["conversation", "delete", &group, "--yes", "--reason", "spam"];
    world.run_admin_with(&away, &delete).await.refused(&["NATS"]);
    assert!(began.elapsed() < Duration::from_secs(18), "{:?}", began.elapsed());
    assert_eq!(audit(&world).await, []);
    let shown = world.run_admin_json(&["conversation", "show", &group]).await;
    assert!(shown["deletedAt"].is_null(), "{shown}");
}

#[tokio::test]
async fn what_destroys_needs_a_reason_and_agreement_and_can_be_tried() {
    let world = World::start_with(UNPACED).await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    let id = group(&rest, &world).await;
    let message = id_of(&flow::send(&rest, id, "hello").await).to_string();
    world.persisted().await;
    let delete = ["message", "delete", &message];
    world.run_admin(&delete).await.refused(&["--reason", "nothing was changed"]);
    let why = ["--reason", "spam"];
    world.run_admin(&[&delete[..], &why].concat()).await.refused(&["--yes", "--dry-run"]);
    let tried = world.run_admin(&[&delete[..], &["--dry-run"]].concat()).await.fine();
    assert!(tried.contains("would be deleted") && tried.contains("nothing was changed"), "{tried}");
    assert_eq!(audit(&world).await, []);
    world.run_admin(&[&delete[..], &why, &["--yes"]].concat()).await.fine();
    let noted = ("message delete".to_owned(), message, Some("spam".to_owned()));
    assert_eq!(audit(&world).await, [noted]);
}

async fn group(rest: &Rest, world: &World) -> Uuid {
    flow::open_group(rest, &[world.user("Bayo")]).await
}

#[test]
fn shells_and_manuals_are_served() {
    let run = |arguments: &[&str]| {
        let output = Command::new(MESSAGING).args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell]).contains("send-system"), "{shell}");
    }
    let folder = tools::folder("man");
    run(&["man", "--out", folder.to_str().expect("a path")]);
    let page = std::fs::read_to_string(folder.join("messaging-admin-conversation.1"));
    assert!(page.expect("a page").contains("participants"));
}
