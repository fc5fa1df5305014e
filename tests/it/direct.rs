//! Two people have one direct conversation, however often and from wherever it is opened.

use std::collections::HashSet;

use serde_json::json;
use uuid::Uuid;

use crate::harness::World;
use crate::harness::flow::{UNPACED, id_of};

#[tokio::test]
async fn fifty_opens_of_one_pair_from_both_sides_and_nodes_make_one_conversation() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let mut listening = world.nodes()[1].ws(&ben).await;
    let opens = (0..50).map(|at| {
        let (who, whom) = if at % 4 < 2 { (&ada, &ben) } else { (&ben, &ada) };
        let rest = world.nodes()[at % 2].rest(who);
        let body = json!({"type": "direct", "participantIds": [whom.id]});
        async move { rest.post("/conversations", body).await }
    });
    let answers = futures_util::future::join_all(opens).await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 201)), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "one is new");
    let ids: HashSet<Uuid> = answers.iter().map(|answer| id_of(&answer.body)).collect();
    assert_eq!(ids.len(), 1);
    for node in world.nodes() {
        for user in [&ada, &ben] {
            let list = node.rest(user).get("/conversations").await.expect(200);
            assert_eq!(list["total"], 1);
        }
    }
    let created = listening.event("conversationUpdated").await;
    assert_eq!(created["data"]["change"], "created");
    // What comes after everything else shows that nothing else came.
    let id = ids.into_iter().next().expect("one");
    world.node().ws(&ada).await.say(id, "hello").await;
    listening.event("newMessage").await;
    listening.has_no_more("conversationUpdated");
    let events = world.logged().await;
    let updates = events.iter().filter(|event| event.kind == "conversationUpdated");
    assert_eq!(updates.count(), 1, "announced once");
}

#[tokio::test]
async fn the_same_pair_may_talk_about_several_things_in_one_conversation_each() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let events = [Uuid::new_v4(), Uuid::new_v4()];
    let opens = (0..40).map(|at| {
        let rest = world.nodes()[at % 2].rest(&ada);
        let path = format!(
            "/conversations/event/{}?organizerId={}&title=Night",
            events[at / 2 % 2],
            ben.id
        );
        async move { rest.get(&path).await }
    });
    let answers = futures_util::future::join_all(opens).await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 201)), "{answers:?}");
    for event in events {
        let about = answers.iter().filter(|a| a.body["contextId"] == event.to_string());
        let ids: HashSet<Uuid> = about.map(|answer| id_of(&answer.body)).collect();
        assert_eq!(ids.len(), 1);
    }
    assert_eq!(world.node().rest(&ben).get("/conversations").await.expect(200)["total"], 2);
}
