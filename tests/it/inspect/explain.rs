//! What became of a message is told, and what nobody knows is said to be unknown.

use serde_json::{Value, json};

use super::{document, said};
use crate::harness::World;
use crate::harness::flow::{self, UNPACED, eventually, id_of, place_of};

/// The participant's part of the answer.
fn of(told: &Value, user: uuid::Uuid) -> Value {
    let all = told["participants"].as_array().expect("participants");
    all.iter().find(|p| p["userId"] == user.to_string()).expect("a participant").clone()
}

async fn explain(world: &World, id: uuid::Uuid) -> Value {
    let output = world.admin(&["explain", &id.to_string(), "--json"]).await;
    assert!(output.status.success(), "{}", said(&output));
    document(&output)
}

#[tokio::test]
async fn the_way_of_a_message_is_told_with_its_times_and_nodes() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node_with(&["--role", "edge"], UNPACED).await;
    let (ada, ben, eve) = (world.user("Ada"), world.user("Ben"), world.user("Eve"));
    let rest = world.node().rest(&ada);
    let group = flow::open_group(&rest, &[ben.clone(), eve.clone()]).await;
    let mut listening = world.nodes()[1].ws(&ben).await;
    let message = flow::send(&rest, group, "hello").await;
    let (seq, id) = place_of(&message);
    listening.event("newMessage").await;
    // Whoever reads answers pings, and that proves it.
    let _reading = listening.listen();
    world.persisted().await;

    let delivered = async || {
        let told = explain(&world, id).await;
        (!of(&told, ben.id)["deliveredAt"].is_null()).then_some(told)
    };
    let told = eventually("it is proven to be delivered", delivered).await;
    assert_eq!((&told["seq"], &told["senderId"]), (&json!(seq), &json!(ada.id)));
    assert_eq!(told["sentAt"], message["createdAt"]);
    let accepted = told["accepted"]["process"].as_str().expect("an edge");
    assert!(told["accepted"]["tookMicros"].as_u64().is_some_and(|micros| micros > 0), "{told}");
    assert!(told["storedAt"].as_str() >= told["sentAt"].as_str(), "{told}");
    assert!(told["persistedAt"].as_str() >= told["storedAt"].as_str(), "{told}");
    let routed = told["routed"].as_array().expect("edges");
    assert_eq!(routed.len(), 2, "{told}");
    for trail in routed {
        let to = u64::from(trail["process"] != accepted);
        assert_eq!(
            (&trail["routedTo"], trail["routedAt"].is_string()),
            (&json!(to), true),
            "{told}"
        );
        assert_eq!(trail["connections"].as_array().map(Vec::len), usize::try_from(to).ok());
    }
    assert_eq!(of(&told, ben.id)["connections"], 1);
    assert_eq!(of(&told, ada.id)["notification"], "none: the sender");
    let eves = of(&told, eve.id);
    assert_eq!(
        (&eves["deliveredAt"], &eves["notification"]),
        (&Value::Null, &json!("none: no device"))
    );

    let body = json!({"token": "a token of Eve's", "platform": "android"});
    world.node().rest(&eve).post("/devices", body).await;
    world.node().rest(&eve).post(&format!("/conversations/{group}/mute"), json!({})).await;
    world.node().rest(&ben).post(&format!("/conversations/{group}/mark-read"), json!({})).await;
    rest.delete(&format!("/messages/{id}")).await.expect(200);
    world.persisted().await;
    world.erased(seq).await;
    let told = explain(&world, id).await;
    assert!(told["storedAt"].is_null() && told["deletedAt"].is_string(), "{told}");
    assert!(of(&told, ben.id)["readAt"].is_string(), "{told}");
    let text = world.admin(&["explain", &id.to_string()]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("the log does not hold it any more"), "{text}");
    assert!(text.contains("nobody knows when: the message was changed since"), "{text}");
    let of = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what} in {text}"));
    assert!(of("persisted") < of("participant "), "the way comes before the people");
    assert!(!text.contains("hello"), "it says nothing of what was said");
}

#[tokio::test]
async fn what_a_process_knew_is_unknown_when_it_is_gone_and_an_unknown_message_is_said_to_be_one() {
    let mut world = World::start_with(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &ben).await;
    let id = id_of(&flow::send(&rest, direct, "hello").await);
    world.persisted().await;
    world.node_mut(0).kill9().await;
    let output = world.admin(&["explain", &id.to_string()]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", said(&output));
    assert!(text.contains("no edge remembers it") && text.contains("no edge answers"), "{text}");

    let unknown = world.admin(&["explain", "00000000-0000-4000-8000-000000000001"]).await;
    assert!(!unknown.status.success() && said(&unknown).contains("Postgres has no message"));
    let wrong = world.admin(&["explain", "'; DROP TABLE messages"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
}
