//! Three NATS servers: the loss of the log's leader costs a pause and nothing else.

use serde_json::json;

use crate::harness::cluster::Cluster;
use crate::harness::flow::{self, UNPACED, eventually, history, id_of, place_of};
use crate::harness::{World, Ws};

async fn write(
    ws: &mut Ws,
    conversation: uuid::Uuid,
    messages: std::ops::Range<usize>,
) -> Vec<u64> {
    let mut requests = Vec::new();
    for number in messages {
        let data = json!({"conversationId": conversation, "content": number.to_string()});
        requests.push(ws.send("sendMessage", data).await);
    }
    requests
}

#[tokio::test]
async fn a_killed_leader_of_the_log_loses_doubles_and_reorders_nothing() {
    let cluster = Cluster::start().await;
    let mut world = World::without_nodes().await;
    let replicated = [("NATS_URL", cluster.urls.as_str()), ("MESSAGING_NATS_REPLICAS", "3")];
    world.add_node(&[UNPACED, &replicated].concat()).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let direct = flow::open_direct(&world.node().rest(&ada), &ben).await;
    let (mut writing, mut listening) = (world.node().ws(&ada).await, world.node().ws(&ben).await);

    let mut requests = write(&mut writing, direct, 0..40).await;
    cluster.kill_leader("CHAT").await;
    requests.extend(write(&mut writing, direct, 40..80).await);

    let mut accepted = Vec::new();
    for request in requests {
        let answer = writing.reply(request).await.expect("accepted after the election");
        accepted.push(place_of(&answer["message"]));
    }
    assert!(accepted.is_sorted(), "in the order of sending");
    let mut heard = Vec::new();
    while heard.len() < accepted.len() {
        let event = listening.event("newMessage").await;
        heard.push((event["data"]["seq"].as_u64().expect("a seq"), id_of(&event["data"])));
    }
    assert_eq!(heard, accepted, "live, once, in order");
    // The persister finds the new leader a little later than the edge does.
    let rest = world.node().rest(&ben);
    let kept = eventually("all in Postgres", async || {
        let kept: Vec<_> = history(&rest, direct, 50).await.iter().map(place_of).collect();
        (kept.len() >= accepted.len()).then_some(kept)
    });
    let kept = kept.await;
    assert_eq!(kept, accepted, "and in history");
}
