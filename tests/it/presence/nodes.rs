//! Several nodes, and the death of one.

use super::{QUICK, seen, states};
use crate::harness::World;
use crate::harness::flow::{self, eventually};

#[tokio::test]
async fn a_device_on_each_of_two_nodes_is_one_person() {
    let mut world = World::start_with(QUICK).await;
    world.add_node(QUICK).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.nodes()[1].rest(&ben);
    flow::open_direct(&rest, &ada).await;
    let mut friend = world.nodes()[1].ws(&ben).await;
    let phone = world.nodes()[0].ws(&ada).await;
    assert_eq!(friend.status().await, (ada.id, true));
    seen(&rest, &ada, true).await;
    let tablet = world.nodes()[1].ws(&ada).await;
    // The tablet's key is in the bucket before the phone's goes.
    let metrics = world.nodes()[1].rest(&ben);
    eventually("both keys are written", async || {
        let text = metrics.get("//metrics").await.body;
        text.as_str()?.contains("messaging_presence_writes_total 2").then_some(())
    })
    .await;
    drop(phone);
    let gone = world.nodes()[0].rest(&ben);
    eventually("the phone's key is gone", async || {
        let text = gone.get("//metrics").await.body;
        text.as_str()?.contains("messaging_presence_writes_total 2").then_some(())
    })
    .await;
    assert_eq!(states(&rest, &[&ada]).await[0]["isOnline"], true);
    drop(tablet);
    assert_eq!(friend.status().await, (ada.id, false), "nothing in between");
    seen(&world.nodes()[0].rest(&ben), &ada, false).await;
    friend.has_no_more("userStatusChanged");
}

#[tokio::test]
async fn the_users_of_a_killed_node_go_offline_unless_they_are_on_another_one() {
    let mut world = World::start_with(QUICK).await;
    for _ in 0..2 {
        world.add_node(QUICK).await;
    }
    let names = ["Ada", "Ben", "Cem", "Dan"];
    let [ada, ben, cem, dan] = names.map(|name| world.user(name));
    let rest = world.nodes()[1].rest(&dan);
    flow::open_group(&rest, &[ada.clone(), ben.clone(), cem.clone()]).await;
    let mut friends = [world.nodes()[1].ws(&dan).await, world.nodes()[2].ws(&dan).await];
    let _ada = world.nodes()[0].ws(&ada).await;
    let _ben = (world.nodes()[0].ws(&ben).await, world.nodes()[2].ws(&ben).await);
    for friend in &mut friends {
        let mut came = [friend.status().await, friend.status().await];
        came.sort_unstable();
        let mut expected = [(ada.id, true), (ben.id, true)];
        expected.sort_unstable();
        assert_eq!(came, expected);
    }
    seen(&world.nodes()[2].rest(&dan), &ada, true).await;
    world.node_mut(0).kill9().await;
    for friend in &mut friends {
        assert_eq!(friend.status().await, (ada.id, false));
    }
    seen(&rest, &ada, false).await;
    let state = states(&rest, &[&ada, &ben]).await;
    assert!(state[0]["lastSeenAt"].is_string(), "{state}");
    assert_eq!(state[1]["isOnline"], true, "{state}");
    // What comes after everything that the death has caused.
    let _cem = world.nodes()[1].ws(&cem).await;
    for friend in &mut friends {
        assert_eq!(friend.status().await, (cem.id, true), "one word about Ada, and none about Ben");
    }
}
