//! The same text into many conversations.

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::flow::open_direct;
use crate::harness::{World, Ws};

const TEXT: &str = "Cheap phones, cheap phones, write to me";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_text_does_not_go_into_every_conversation() {
    let world = World::start_with(&[("MAX_SAME_TEXT_CONVERSATIONS", "3")]).await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    let mut socket = Ws::connect(&world.node().url, &ada.token).await;
    assert_eq!(socket.connected["limits"]["sameTextConversations"], 3);
    assert_eq!(socket.connected["limits"]["sameTextSeconds"], 60);
    assert_eq!(socket.connected["limits"]["maxConnectionsPerUser"], 20);
    let mut conversations = Vec::new();
    for n in 0..4 {
        conversations.push(open_direct(&rest, &world.user(&format!("User {n}"))).await);
    }
    // Over both ways together.
    for conversation in &conversations[..2] {
        socket.say(*conversation, TEXT).await;
    }
    let message =
        |at: usize, text: &str| json!({"conversationId": conversations[at], "content": text});
    rest.post("/messages", message(2, TEXT)).await.expect(201);
    rest.post("/messages", message(2, TEXT)).await.expect(201);
    let answer = rest.post("/messages", message(3, TEXT)).await;
    let seconds: u64 = answer.headers["retry-after"].to_str().expect("text").parse().expect("s");
    assert!((1..=60).contains(&seconds), "{seconds}");
    let problem = answer.refused(StatusCode::TOO_MANY_REQUESTS, "rate_limited");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("same text")));
    let error = socket.request("sendMessage", message(3, TEXT)).await.expect_err("refused");
    assert_eq!(error["code"], "rate_limited");
    socket.say(conversations[3], "Something of its own").await;
}
