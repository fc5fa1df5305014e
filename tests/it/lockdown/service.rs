//! The whole service with a user for each role: it needs nothing that these may not do.

use async_nats::jetstream;
use serde_json::{Value, json};

use super::{apply_topology, run_as};
use crate::harness::fcm::{FakeFcm, device};
use crate::harness::flow::{self, eventually, history, id_of};
use crate::harness::shipped::Shipped;
use crate::harness::{Rest, World};

/// Starts a role as a process of its own, with the user of that name; the index of its node.
async fn start(world: &mut World, shipped: &Shipped, role: &str, more: &[(&str, &str)]) -> usize {
    let own = shipped.environment(role);
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, &**value)).collect();
    world.add_node_with(&["--role", role], &[&own, more].concat()).await
}

/// Everything that the permissions are for: a chat that is stored, seen, persisted, read and erased.
async fn chat(world: &World, edges: [usize; 2]) {
    let [here, there] = edges.map(|index| &world.nodes()[index]);
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let direct = flow::open_direct(&here.rest(&ada), &ben).await;
    let (mut writing, mut listening) = (here.ws(&ada).await, there.ws(&ben).await);

    // The log, its tail, and presence between nodes.
    let said = writing.say(direct, "Hello").await;
    assert_eq!(id_of(&listening.messages(1).await[0]), id_of(&said));
    let rest = there.rest(&ada);
    let online = async || {
        let presence = rest.get(&format!("/presence?userIds={}", ben.id)).await.expect(200);
        (presence["presence"][0]["isOnline"] == true).then_some(())
    };
    eventually("Ben is online on both nodes", online).await;

    // Signals, from node to node.
    let typing = json!({"conversationId": direct, "isTyping": true});
    listening.request("typing", typing).await.expect("accepted");
    assert_eq!(writing.event("userTyping").await["data"]["userId"], json!(ben.id));

    // Postgres has it, and a deletion erases it from the log.
    let rest: Rest = there.rest(&ben);
    let kept = async || history(&rest, direct, 50).await.pop();
    assert_eq!(id_of(&eventually("in history", kept).await), id_of(&said));
    here.rest(&ada).delete(&format!("/messages/{}", id_of(&said))).await.expect(200);
    listening.event("messageDeleted").await;
    let database = world.database.client().await;
    let sql = "SELECT count(*) FROM messages WHERE id = $1 AND deleted_at IS NOT NULL
               AND NOT EXISTS (SELECT FROM erasures)";
    let erased = async || {
        let row = database.query_one(sql, &[&id_of(&said)]).await.expect("a row");
        (row.get::<_, i64>(0) == 1).then_some(())
    };
    eventually("the message is erased from the log", erased).await;
}

/// What another service says arrives, by the stream and by request, and what is wrong is kept for it alone.
async fn another_service(world: &World, shipped: &Shipped, edge: usize) {
    let node = &world.nodes()[edge];
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let direct = flow::open_direct(&node.rest(&ada), &ben).await;
    let mut listening = node.ws(&ada).await;
    let events = shipped.client("events").await;
    let stream = jetstream::new(events.clone());
    let subject = format!("messaging.system.events.conversation.{direct}");
    for content in ["Doors open at seven", " "] {
        let body = json!({ "content": content }).to_string();
        let sent = stream.publish(subject.clone(), body.into()).await.expect("sent");
        sent.await.expect("stored");
    }
    assert_eq!(listening.messages(1).await[0]["content"], json!("Doors open at seven"));

    let ask = async |subject: String, body: Value| -> Value {
        let answer = events.request(subject, body.to_string().into()).await.expect("an answer");
        serde_json::from_slice(&answer.payload).expect("JSON")
    };
    let asked = format!("messaging.api.system.events.user.{}", ada.id);
    let answer = ask(asked, json!({"content": "Your event is tomorrow"})).await;
    assert_eq!(answer["ok"], true, "{answer}");
    let dead = async |operation: &str, body: Value| {
        ask(format!("messaging.api.dead.events.{operation}"), body).await
    };
    let letter = eventually("a dead letter", async || {
        let answer = dead("list", json!({})).await;
        answer["letters"][0]["seq"].as_u64()
    });
    let letter = letter.await;
    for operation in ["show", "replay", "drop"] {
        let answer = dead(operation, json!({ "seq": letter })).await;
        assert!(answer["ok"].is_boolean(), "{operation}: {answer}");
    }
    let found = shipped.client("operator").await.request("$SRV.PING.messaging", "".into()).await;
    assert!(found.is_ok(), "the operator finds the service: {found:?}");
}

/// Somebody without a connection is alerted.
async fn alert(world: &World, fcm: &FakeFcm) {
    let (ada, chi) = (world.user("Ada"), world.user("Chi"));
    let token = device(world, &chi, "android").await;
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &chi).await;
    flow::send(&rest, direct, "Where are you?").await;
    fcm.find(|pushed| (pushed.token == token).then_some(())).await;
}

/// No process was refused anything, and all are ready.
async fn all_are_content(world: &World) {
    for node in world.nodes() {
        Rest::new(&node.url, None).get("//readyz").await.expect(200);
        let said = node.process.stderr.text();
        assert!(!said.contains("Permissions Violation"), "{said}");
    }
}

/// Every role in a process of its own, the edge in two, and all that they are for.
async fn every_role_works(world: &mut World, shipped: &Shipped) {
    let fcm = FakeFcm::start().await;
    let google = fcm.settings();
    let google: Vec<_> = google.iter().map(|(name, value)| (&**name, &**value)).collect();
    // The first node is where devices are registered.
    let edges = [
        start(world, shipped, "edge", &google).await,
        start(world, shipped, "edge", &google).await,
    ];
    start(world, shipped, "persister", &[]).await;
    start(world, shipped, "ingest", &[]).await;
    let push = [("MESSAGING_PUSH_GRACE", "1s"), ("MESSAGING_PRESENCE_NODE_TTL", "1s")];
    start(world, shipped, "push", &[&google[..], &push].concat()).await;
    chat(world, edges).await;
    another_service(world, shipped, edges[1]).await;
    alert(world, &fcm).await;
    all_are_content(world).await;
}

#[tokio::test]
async fn a_single_server_carries_all_roles_each_with_its_own_user() {
    let shipped = Shipped::single();
    let mut world = World::without_nodes().await;
    apply_topology(&world, &shipped).await;
    every_role_works(&mut world, &shipped).await;

    let output = run_as(&world, &shipped, "operator", &["topology", "show"]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("CHAT") && said.contains("as wanted"), "{said}");
}

#[tokio::test]
async fn a_cluster_of_three_does_so_too() {
    let shipped = Shipped::cluster();
    let mut world = World::without_nodes().await;
    // The servers have to find each other first.
    let applied = async || {
        let output = run_as(&world, &shipped, "topology", &["topology", "apply"]).await;
        output.status.success().then_some(())
    };
    eventually("three servers that replicate", applied).await;
    every_role_works(&mut world, &shipped).await;
}

#[tokio::test]
async fn all_roles_in_one_process_have_a_user_that_applies_the_topology_itself() {
    let shipped = Shipped::single();
    let fcm = FakeFcm::start().await;
    let mut world = World::without_nodes().await;
    let own = shipped.environment("messaging");
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, &**value)).collect();
    let google = fcm.settings();
    let google: Vec<_> = google.iter().map(|(name, value)| (&**name, &**value)).collect();
    let settings = [&own[..], &google].concat();
    let edges = [world.add_node(&settings).await, world.add_node(&settings).await];
    chat(&world, edges).await;
    another_service(&world, &shipped, 0).await;
    alert(&world, &fcm).await;
    all_are_content(&world).await;
}
