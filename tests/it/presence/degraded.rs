//! The bucket is lost, or away.

use serde_json::json;

use super::{QUICK, seen, states};
use crate::harness::flow::{self, eventually};
use crate::harness::{Rest, World};

async fn metric(rest: &Rest, line: &str) {
    eventually(line, async || {
        rest.get("//metrics").await.body.as_str()?.lines().any(|l| l == line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_restart_of_nats_loses_the_bucket_and_nobody_notices() {
    let mut world = World::start_with(QUICK).await;
    world.add_node(QUICK).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rests = [world.nodes()[0].rest(&ben), world.nodes()[1].rest(&ben)];
    flow::open_direct(&rests[1], &ada).await;
    let mut friend = world.nodes()[1].ws(&ben).await;
    let phone = world.nodes()[0].ws(&ada).await;
    assert_eq!(friend.status().await, (ada.id, true));
    world.nats.stop();
    for rest in &rests {
        metric(rest, "messaging_presence_attached 0").await;
    }
    world.nats.start_again();
    for rest in &rests {
        metric(rest, "messaging_presence_attached 1").await;
        // Both users have their keys in the new bucket.
        metric(rest, "messaging_presence_online 2").await;
    }
    for rest in &rests {
        assert_eq!(states(rest, &[&ada]).await[0]["isOnline"], true);
    }
    friend.has_no_more("userStatusChanged");
    drop(phone);
    assert_eq!(friend.status().await, (ada.id, false), "nothing in between");
    seen(&rests[1], &ada, false).await;
}

#[tokio::test]
async fn without_the_bucket_chat_goes_on_and_it_comes_back_by_itself() {
    let mut world = World::start_with(QUICK).await;
    // This one makes no streams, and waits for the other, or an operator, to do so.
    let second = [QUICK, &[("MESSAGING_NATS_APPLY_TOPOLOGY", "false")]].concat();
    world.add_node(&second).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rests = [world.nodes()[0].rest(&ada), world.nodes()[1].rest(&ada)];
    let direct = flow::open_direct(&rests[0], &ben).await;
    world.node_mut(0).terminate().await;
    let jetstream = async_nats::jetstream::new(world.nats.client().await);
    jetstream.delete_stream("KV_PRESENCE").await.expect("deleted");
    metric(&rests[1], "messaging_presence_attached 0").await;
    let mut ws = world.nodes()[1].ws(&ada).await;
    let mut other = world.nodes()[1].ws(&ben).await;
    ws.say(direct, "hello").await;
    other.messages(1).await;
    let state = states(&rests[1], &[&ben]).await;
    assert_eq!(state[0]["isOnline"], true, "users of the same node are known");
    ws.request("subscribePresence", json!({"userIds": [ben.id]})).await.expect("states");

    world.add_node(QUICK).await;
    metric(&rests[1], "messaging_presence_attached 1").await;
    seen(&world.nodes()[2].rest(&ada), &ben, true).await;
}
