//! What holds for every command: who, why, agreement, and a sentence when something is wrong.

use std::process::{Command, Stdio};

use uuid::Uuid;

use super::audit;
use crate::harness::flow::{self, UNPACED, id_of};
use crate::harness::tools::{self, MESSAGING};
use crate::harness::{Rest, World};

#[test]
fn what_is_typed_wrong_is_said_with_what_was_meant() {
    let refused = |arguments: &[&str], words: &[&str]| {
        let arguments = [&["admin"], arguments].concat();
        let output = Command::new(MESSAGING).args(&arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
    };
    refused(&["usr", "list"], &["unrecognized subcommand", "user"]);
    refused(&["user", "list", "--lmit", "3"], &["--limit"]);
    refused(&["--reason", " ", "user", "list"], &["must not be blank"]);
    refused(&["dead", "list", "--consumer", "pusher"], &["persist", "push", "ingest"]);
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
fn whoever_has_read_enough_hears_no_complaint() {
    let mut command = Command::new(MESSAGING);
    command.args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
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
