//! Events as they happen.

use serde_json::{Value, json};

use crate::harness::flow::{self, UNPACED};
use crate::harness::node::command;
use crate::harness::process::Process;
use crate::harness::shipped::Shipped;
use crate::harness::{PATIENCE, World};

/// `messaging admin tail`, once it listens.
async fn tail(world: &World, settings: &[(&str, &str)], arguments: &[&str]) -> Process {
    let arguments = [&["admin", "tail"], arguments].concat();
    let settings = [&[("MESSAGING_LOG", "error")], settings].concat();
    let command = command(&arguments, &world.settings(&settings));
    let starting = tokio::task::spawn_blocking(move || {
        let process = Process::start("messaging admin tail", command, libc::SIGKILL);
        let heard = |line: &str| line.starts_with("Listening").then_some(());
        assert!(process.stderr.wait_for(PATIENCE, heard).is_some(), "{}", process.stderr.text());
        process
    });
    starting.await.expect("no panic")
}

#[tokio::test]
async fn what_is_said_in_one_persons_conversations_is_seen_and_nothing_else() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo, chi) = (world.user("Ada"), world.user("Bayo"), world.user("Chi"));
    let rest = world.node().rest(&ada);
    let with_bayo = flow::open_direct(&rest, &bayo).await;
    let with_chi = flow::open_direct(&rest, &chi).await;
    let user = bayo.id.to_string();
    let live = tail(&world, &[], &["--json", "--user", &user, "--limit", "3"]).await;
    let readable =
        tail(&world, &[], &["--conversation", &with_bayo.to_string(), "--limit", "1"]).await;
    flow::send(&rest, with_chi, "not for Bayo").await;
    flow::send(&rest, with_bayo, "for\u{1b}[31m Bayo").await;
    let group = flow::open_group(&rest, std::slice::from_ref(&bayo)).await;
    flow::send(&rest, group, "for the group").await;
    assert!(live.ended().await.success(), "{}", live.stderr.text());
    let events: Vec<Value> =
        live.stdout.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let seen: Vec<_> =
        events.iter().map(|e| (e["event"].as_str(), e["conversationId"].clone())).collect();
    let expected =
        [("newMessage", with_bayo), ("conversationUpdated", group), ("newMessage", group)];
    assert_eq!(seen, expected.map(|(event, id)| (Some(event), json!(id))));
    assert_eq!(events[2]["data"]["content"], "for the group");
    assert!(readable.ended().await.success());
    let line = readable.stdout.text();
    assert!(line.contains("Ada (text): for [31m Bayo"), "no escape reaches the terminal: {line:?}");
}

#[tokio::test]
async fn the_operator_may_look_and_a_role_that_need_not_may_not() {
    let (world, shipped) = (World::without_nodes().await, Shipped::single());
    for (user, may) in [("push", false), ("operator", true)] {
        let settings = shipped.environment(user);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
        if may {
            let live = tail(&world, &settings, &[]).await;
            live.stop(libc::SIGTERM);
        } else {
            let said = world.run_admin_with(&settings, &["tail"]).await;
            assert_eq!(said.code, Some(1));
            assert!(said.stderr.contains("be the user `operator`"), "{}", said.stderr);
        }
    }
}
