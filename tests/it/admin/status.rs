//! The screen, and what it says on a bad day.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::fcm::FakeFcm;
use crate::harness::flow::{self, UNPACED};
use crate::harness::{Worker, World};

#[tokio::test]
async fn every_process_answers_with_its_roles_and_everything_has_its_figures() {
    let mut world = World::without_nodes().await;
    world.add_node_with(&["--role", "edge,ingest"], UNPACED).await;
    let persister = Worker::start(&world, &[]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &bayo).await;
    let _open = world.node().ws(&bayo).await;
    flow::send(&rest, direct, "hello").await;
    world.persisted().await;
    let status = world.run_admin_json(&["status"]).await;
    assert_eq!(status["problems"], json!([]), "{status}");
    let processes = status["processes"].as_array().expect("processes");
    let roles: Vec<_> = processes.iter().map(|process| process["roles"].clone()).collect();
    assert_eq!(roles, [json!(["edge", "ingest"]), json!(["persister"])]);
    assert_eq!(processes[0]["connections"], 1);
    assert_eq!(processes[1]["leadsPersister"], true);
    let streams = status["nats"]["streams"].as_array().expect("streams");
    let names: Vec<_> =
        streams.iter().map(|stream| stream["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["CHAT", "INGEST", "DEAD", "KV_PRESENCE"]);
    assert_eq!(status["postgres"]["persisted"], json!(world.progress().await));
    let screen = world.run_admin(&["status"]).await.fine();
    for word in ["edge ingest", "persists", "CHAT", "Postgres 1", "All is well."] {
        assert!(screen.contains(word), "{word} is not in\n{screen}");
    }
    drop(persister);
    let less = world.run_admin(&["--json", "status"]).await;
    assert_eq!(less.code, Some(1));
    let less: Value = serde_json::from_str(&less.stdout).expect("JSON");
    assert_eq!(less["problems"], json!(["No process with the role persister answers"]));
}

#[tokio::test]
async fn what_is_away_is_said_and_the_rest_is_shown() {
    let world = World::start_with(UNPACED).await;
    let began = Instant::now();
    let away = [("NATS_URL", "nats://127.0.0.1:1")];
    let said = world.run_admin_with(&away, &["status"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("! NATS cannot be reached"), "{}", said.stdout);
    assert!(said.stdout.contains("not announced"), "{}", said.stdout);
    let away = [("POSTGRES_URL", "postgres://127.0.0.1:1/x")];
    let said = world.run_admin_with(&away, &["status"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("! Postgres cannot be reached"), "{}", said.stdout);
    assert!(said.stdout.contains("CHAT"), "{}", said.stdout);
    assert!(began.elapsed() < Duration::from_secs(18), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_topology_is_compared_and_an_application_can_be_tried() {
    let world = World::start().await;
    let fine = world.run_admin(&["topology", "diff"]).await.fine();
    assert!(fine.contains("as wanted"), "{fine}");
    world.log().await;
    let context = async_nats::jetstream::new(world.nats.client().await);
    let mut config =
        context.get_stream("DEAD").await.expect("a stream").cached_info().config.clone();
    config.description = Some("changed".to_owned());
    context.update_stream(config).await.expect("changed");
    for arguments in [&["topology", "diff"][..], &["topology", "apply", "--dry-run"]] {
        let said = world.run_admin(arguments).await;
        assert_eq!(said.code, Some(1), "{}", said.stdout);
        assert!(said.stdout.contains("description is changed"), "{}", said.stdout);
    }
    let applied = world.run_admin(&["topology", "apply"]).await.fine();
    assert!(applied.contains("DEAD: updated"), "{applied}");
    world.run_admin(&["topology", "diff"]).await.fine();
    assert_eq!(super::audit(&world).await[0].0, "topology apply");
}

#[tokio::test]
async fn a_test_notification_shows_what_google_says_of_each_device() {
    let fake = FakeFcm::start().await;
    let world = World::start_with(UNPACED).await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    let id = ada.id.to_string();
    rest.get("/unread").await.expect(200);
    world.run_admin(&["push", "test", &id]).await.refused(&["no device"]);
    let device = json!({"token": "token-of-adas-phone", "platform": "android"});
    rest.post("/devices", device).await.expect(201);
    world.run_admin(&["push", "test", &id]).await.refused(&["Notifications are off here"]);
    let settings = fake.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (&**name, &**value)).collect();
    let sent = world.run_admin_with(&settings, &["--json", "push", "test", &id]).await.json();
    assert_eq!(
        (&sent[0]["platform"], &sent[0]["outcome"]),
        (&json!("android"), &json!("accepted"))
    );
}
