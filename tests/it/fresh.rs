//! What was acknowledged is shown by every read that begins afterwards, on any node.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, id_of};
use crate::harness::{Rest, World, Ws};

/// Talk in other conversations, on both nodes, that the persister has to get through first.
struct Noise {
    talkers: Vec<(Ws, Uuid)>,
    unanswered: Vec<Vec<u64>>,
}

impl Noise {
    async fn begin(world: &World) -> Self {
        let mut talkers = Vec::new();
        for node in world.nodes() {
            let user = world.user("Noise");
            let direct = flow::open_direct(&node.rest(&user), &world.user("Nobody")).await;
            talkers.push((node.ws(&user).await, direct));
        }
        Self { unanswered: vec![Vec::new(); talkers.len()], talkers }
    }

    /// A burst that is not waited for, after the answers to the one before it.
    async fn burst(&mut self) {
        for ((ws, direct), unanswered) in self.talkers.iter_mut().zip(&mut self.unanswered) {
            for request in unanswered.drain(..) {
                ws.reply(request).await.expect("accepted");
            }
            for _ in 0..20 {
                let data = json!({"conversationId": direct, "content": "noise"});
                unanswered.push(ws.send("sendMessage", data).await);
            }
        }
    }
}

async fn newest(rest: &Rest, conversation: Uuid) -> Value {
    let path = format!("/conversations/{conversation}/messages?limit=1");
    rest.get(&path).await.expect(200)["messages"][0].take()
}

#[tokio::test]
async fn a_read_on_another_node_right_after_an_acknowledgement_shows_it() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let direct = flow::open_direct(&world.node().rest(&ada), &ben).await;
    let mut noise = Noise::begin(&world).await;
    let mut ws = world.node().ws(&ada).await;
    let there = world.nodes()[1].rest(&ben);
    for round in 0..60_u64 {
        noise.burst().await;
        let content = format!("message {round}");
        let id = id_of(&ws.say(direct, &content).await);
        let found = match round % 4 {
            0 => newest(&there, direct).await,
            1 => there.get(&format!("/messages/{id}")).await.expect(200),
            2 => {
                let view = there.get(&format!("/conversations/{direct}")).await.expect(200);
                assert_eq!(view["unreadCount"], round + 1);
                view["lastMessage"].clone()
            }
            _ => there.get("/conversations").await.expect(200)["conversations"][0]["lastMessage"]
                .take(),
        };
        assert_eq!((id_of(&found), &found["content"]), (id, &content.into()), "round {round}");
    }
}

#[tokio::test]
async fn edits_deletions_and_markers_show_at_once_on_another_node() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let direct = flow::open_direct(&world.node().rest(&ada), &ben).await;
    let mut noise = Noise::begin(&world).await;
    let here = world.node().rest(&ada);
    let there = world.nodes()[1].rest(&ben);
    for round in 0..20 {
        noise.burst().await;
        let id = id_of(&flow::send(&here, direct, "first").await);
        let path = format!("/messages/{id}");
        let content = format!("edited {round}");
        here.put(&path, json!({"content": content})).await.expect(200);
        assert_eq!(newest(&there, direct).await["content"], content, "round {round}");
        let marked = format!("/conversations/{direct}/mark-read");
        assert_eq!(there.post(&marked, json!({})).await.expect(200)["unreadCount"], 0);
        assert_eq!(flow::unread(&world.node().rest(&ben), direct).await, 0, "round {round}");
        here.delete(&path).await.expect(200);
        let gone = newest(&there, direct).await;
        assert_eq!((id_of(&gone), &gone["isDeleted"]), (id, &true.into()), "round {round}");
        let gone = there.get(&path).await.expect(200);
        assert_eq!((&gone["content"], &gone["isDeleted"]), (&"".into(), &true.into()));
    }
}
