//! Users whom an operator keeps out.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::{admin, done};
use crate::harness::flow::{self, open_direct};
use crate::harness::{Rest, World, Ws};

async fn two_nodes() -> World {
    let mut world = World::start().await;
    world.add_node(&[]).await;
    world
}

#[tokio::test]
async fn a_banned_user_is_cut_off_on_every_node_and_stays_out_until_restored() {
    let world = two_nodes().await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let mut here = world.nodes()[0].ws(&ada).await;
    let mut there = world.nodes()[1].ws(&ada).await;
    let other = world.nodes()[1].ws(&ben).await;
    let id = ada.id.to_string();

    let answer = done(&world, &["user", "ban", &id, "--reason", "spam"]).await;
    assert_eq!(answer["closedConnections"], 2, "{answer}");
    assert_eq!((here.closed().await, there.closed().await), (4403, 4403));
    for node in world.nodes() {
        let refusal = node.rest(&ada).get("/conversations").await;
        let refusal = refusal.refused(StatusCode::FORBIDDEN, "forbidden");
        assert_eq!(refusal["detail"], "this account is banned");
        assert_eq!(Ws::open(&node.url, "", Some(&ada.token)).await.closed().await, 4403);
        Rest::new(&node.url, Some(&ben.token)).get("/conversations").await.expect(200);
    }
    drop(other);

    let answer = done(&world, &["user", "restore", &id]).await;
    assert_eq!(answer["before"], "banned");
    for node in world.nodes() {
        node.rest(&ada).get("/conversations").await.expect(200);
        node.ws(&ada).await;
    }
    let audit = done(&world, &["audit", "--target", &id]).await;
    assert_eq!(
        (&audit[0]["action"], &audit[1]["action"]),
        (&json!("user restore"), &json!("user ban"))
    );
    assert_eq!((&audit[1]["reason"], &audit[1]["operator"]), (&json!("spam"), &json!("tess")));
}

#[tokio::test]
async fn a_suspension_ends_by_itself() {
    let world = World::start().await;
    let ada = world.user("Ada");
    world.node().ws(&ada).await;
    let id = ada.id.to_string();
    done(&world, &["user", "suspend", &id, "--for", "2s", "--reason", "calm down"]).await;
    let refusal = world.node().rest(&ada).get("/unread").await;
    let refusal = refusal.refused(StatusCode::FORBIDDEN, "forbidden");
    let detail = refusal["detail"].as_str().expect("a sentence");
    assert!(detail.starts_with("this account is suspended until 20"), "{detail}");
    let back = async {
        while world.node().rest(&ada).get("/unread").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), back).await.expect("let in again");
}

#[tokio::test]
async fn a_node_that_did_not_hear_of_it_finds_out_within_seconds() {
    let world = World::start().await;
    let ada = world.user("Ada");
    let mut ws = world.node().ws(&ada).await;
    let sql = "INSERT INTO user_standing (user_id, state, changed_at) VALUES ($1, 'suspended', clock_timestamp())";
    world.database.client().await.execute(sql, &[&ada.id]).await.expect("a row");
    assert_eq!(ws.closed().await, 4403);
}

#[tokio::test]
async fn disconnected_is_not_kept_out() {
    let world = World::start().await;
    let ada = world.user("Ada");
    let mut ws = world.node().ws(&ada).await;
    let answer = done(&world, &["user", "disconnect", &ada.id.to_string()]).await;
    assert_eq!(answer["closedConnections"], 1);
    assert_eq!(ws.closed().await, 4403);
    world.node().ws(&ada).await;
}

#[tokio::test]
async fn what_a_suspended_user_has_scheduled_is_not_sent() {
    let world = World::start().await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let mut hears = world.node().ws(&ben).await;
    let rest = world.node().rest(&ada);
    let conversation = open_direct(&rest, &ben).await;
    let at = jiff::Timestamp::now() + Duration::from_secs(2);
    let later =
        json!({"conversationId": conversation, "content": "later", "sendAt": at.to_string()});
    let id = rest.post("/messages", later).await.expect(201)["id"].clone();
    done(&world, &["user", "suspend", &ada.id.to_string(), "--reason", "spam"]).await;
    let state = format!(
        "SELECT state FROM scheduled_messages WHERE id = '{}'",
        id.as_str().expect("an id")
    );
    let client = world.database.client().await;
    flow::eventually("the message fails", async || {
        let row = client.query_one(&state, &[]).await.expect("a row");
        (row.get::<_, &str>(0) == "failed").then_some(())
    })
    .await;
    hears.no_event("newMessage", Duration::ZERO).await;
}

#[tokio::test]
async fn what_makes_no_sense_changes_nothing_and_says_why() {
    let world = World::start().await;
    let ada = world.user("Ada");
    world.node().rest(&ada).get("/conversations").await.expect(200);
    let id = ada.id.to_string();
    let nobody = uuid::Uuid::new_v4().to_string();
    for (arguments, complaint) in [
        (vec!["user", "ban", &nobody, "--reason", "spam"], "There is no user"),
        (vec!["user", "ban", "ada", "--reason", "spam"], "invalid value 'ada'"),
        (vec!["user", "ban", &id], "--reason"),
        (
            vec!["user", "suspend", &id, "--reason", "x", "--until", "2020-01-01T00:00:00Z"],
            "in the future",
        ),
        (vec!["user", "suspend", &id, "--reason", "x", "--for", "soon"], "no duration"),
    ] {
        let (success, _, said) = admin(&world, &arguments).await;
        assert!(!success && said.contains(complaint), "{arguments:?}: {said}");
    }
    let tried = done(&world, &["user", "ban", &id, "--reason", "spam", "--dry-run"]).await;
    assert_eq!(tried["standing"], "banned");
    world.node().rest(&ada).get("/conversations").await.expect(200);
    assert_eq!(done(&world, &["audit", "--target", &id]).await, json!([]));
}
