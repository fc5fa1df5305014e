//! Links and files of people who are new.

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::community;
use crate::harness::flow::{open_direct, open_group, send};
use crate::harness::{Rest, User, World};

/// A service that has been there for a while: a node that was started when somebody had been seen two days ago.
async fn settled() -> World {
    let mut world = World::start_with(&[("MESSAGING_YOUNG_USER_HOURS", "0")]).await;
    let old = world.user("Old");
    open_direct(&world.node().rest(&old), &world.user("Other")).await;
    has_been_here(&world, &old).await;
    world.add_node(&[]).await;
    world
}

async fn has_been_here(world: &World, user: &User) {
    let database = world.database.client().await;
    let sql = "UPDATE users SET created_at = now() - interval '2 days' WHERE id = $1";
    assert_eq!(database.execute(sql, &[&user.id]).await.expect("updated"), 1);
}

fn link(conversation: Uuid) -> Value {
    json!({"conversationId": conversation, "content": "look at www.example.com"})
}

fn image(conversation: Uuid) -> Value {
    json!({"conversationId": conversation, "type": "image", "content": "",
        "metadata": {"imageUrl": "https://example.org/a.jpg", "imageWidth": 4, "imageHeight": 3}})
}

async fn refused(rest: &Rest, message: Value) {
    let problem = rest.post("/messages", message).await.refused(StatusCode::FORBIDDEN, "forbidden");
    let detail = problem["detail"].as_str().expect("a sentence");
    assert!(detail.contains("new here") && detail.contains("24 h"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn newcomers_send_links_and_files_where_they_were_answered() {
    let world = settled().await;
    let node = &world.nodes()[1];
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let (rest, other) = (node.rest(&ada), node.rest(&bayo));
    let direct = open_direct(&rest, &bayo).await;
    let group = open_group(&rest, std::slice::from_ref(&bayo)).await;
    for conversation in [direct, group] {
        let sent = send(&rest, conversation, "hello, at 3.50 each").await;
        refused(&rest, link(conversation)).await;
        refused(&rest, image(conversation)).await;
        let edit = format!("/messages/{}", sent["id"].as_str().expect("an id"));
        let answer = rest.put(&edit, json!({"content": "https://example.com"})).await;
        answer.refused(StatusCode::FORBIDDEN, "forbidden");
        send(&other, conversation, "hello").await;
        rest.post("/messages", link(conversation)).await.expect(201);
        rest.post("/messages", image(conversation)).await.expect(201);
    }
    let community = community(&rest, &[&bayo]).await;
    send(&other, community, "welcome").await;
    refused(&rest, link(community)).await;
    rest.post("/messages", image(community)).await.expect(201);
    let mut socket = node.ws(&ada).await;
    let error = socket.request("sendMessage", link(community)).await.expect_err("refused");
    assert_eq!(error["code"], "forbidden");
    has_been_here(&world, &ada).await;
    rest.post("/messages", link(community)).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_everybody_is_new_and_where_it_is_off_nobody_is_held_back() {
    let mut world = World::start().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let direct = open_direct(&world.node().rest(&ada), &bayo).await;
    world.node().rest(&ada).post("/messages", link(direct)).await.expect(201);
    has_been_here(&world, &bayo).await;
    let off = world.add_node(&[("MESSAGING_YOUNG_USER_HOURS", "0")]).await;
    world.nodes()[off].rest(&ada).post("/messages", image(direct)).await.expect(201);
}
