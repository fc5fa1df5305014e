//! What was acknowledged is shown by every read that begins afterwards, on any node, whether or not it is in Postgres.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, id_of};
use crate::harness::{Rest, User, Worker, World, Ws};

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

/// Two edges with these settings and no persister; Ada on the first, Ben on the second.
struct Behind {
    world: World,
    ada: User,
    ben: User,
    direct: Uuid,
    /// What history must show, oldest first: id and content, empty for what was deleted.
    expected: Vec<(Uuid, String)>,
}

impl Behind {
    /// Some messages in Postgres, then as many that only the log has, and changes of both.
    async fn begin(settings: &[(&str, &str)]) -> Self {
        let settings = [UNPACED, settings].concat();
        let mut world = World::without_nodes().await;
        let worker = Worker::start(&world, &[]).await;
        for _ in 0..2 {
            world.add_node_with(&["--role", "edge"], &settings).await;
        }
        let (ada, ben) = (world.user("Ada"), world.user("Ben"));
        let here = world.node().rest(&ada);
        let direct = flow::open_direct(&here, &ben).await;
        let mut expected = Vec::new();
        for number in 0..12 {
            let content = format!("message {number}");
            expected.push((id_of(&flow::send(&here, direct, &content).await), content));
            if number == 5 {
                world.persisted().await;
                worker.0.process.stop(libc::SIGTERM);
            }
        }
        let there = world.nodes()[1].rest(&ada);
        for (place, number) in [(2, 0), (8, 1)] {
            let (id, content) = &mut expected[place];
            *content = format!("edited {number}");
            there.put(&format!("/messages/{id}"), json!({"content": content})).await.expect(200);
        }
        for place in [4, 10] {
            let (id, content) = &mut expected[place];
            content.clear();
            there.delete(&format!("/messages/{id}")).await.expect(200);
        }
        Self { world, ada, ben, direct, expected }
    }

    async fn page(&self, query: &str) -> (Vec<(Uuid, String)>, bool) {
        let path = format!("/conversations/{}/messages?{query}", self.direct);
        let page = self.world.nodes()[1].rest(&self.ben).get(&path).await.expect(200);
        let shown = |message: &Value| {
            let content = message["content"].as_str().expect("content").to_owned();
            assert_eq!(message["isDeleted"] == true, content.is_empty());
            (id_of(message), content)
        };
        let messages = page["messages"].as_array().expect("messages").iter().map(shown).collect();
        (messages, page["hasMore"] == true)
    }

    /// Makes sure that histories show what is expected, whichever way they are read.
    async fn histories_are_right(&self) {
        let newest_first: Vec<_> = self.expected.iter().rev().cloned().collect();
        for limit in [5, 7, 100] {
            let there = self.world.nodes()[1].rest(&self.ben);
            let all = flow::history(&there, self.direct, limit).await;
            let shown: Vec<Uuid> = all.iter().map(id_of).collect();
            let ids: Vec<Uuid> = self.expected.iter().map(|(id, _)| *id).collect();
            assert_eq!(shown, ids, "paged by {limit}");
        }
        for (page, size) in [(1, 4), (2, 4), (3, 4), (1, 5), (2, 5), (3, 5), (2, 12)] {
            let from = (page - 1) * size;
            let until = (from + size).min(newest_first.len());
            let expected = newest_first.get(from..until).unwrap_or_default().to_vec();
            let (shown, more) = self.page(&format!("page={page}&limit={size}")).await;
            assert_eq!((shown, more), (expected, until < newest_first.len()), "{page} of {size}");
        }
        let (all, more) = self.page("after=0&limit=9").await;
        assert_eq!((all, more), (self.expected[..9].to_vec(), true));
        let (middle, _) = self.expected[6];
        let (around, more) = self.page(&format!("around={middle}&limit=5")).await;
        assert_eq!((around, more), (newest_first[3..8].to_vec(), true));
    }
}

#[tokio::test]
async fn while_the_persister_is_down_histories_and_messages_are_right_on_every_node() {
    let behind = Behind::begin(&[]).await;
    behind.histories_are_right().await;
    let there = behind.world.nodes()[1].rest(&behind.ben);
    for (id, content) in &behind.expected {
        let message = there.get(&format!("/messages/{id}")).await.expect(200);
        assert_eq!(message["content"], *content);
    }
    let asked = tokio::time::Instant::now();
    let nowhere = there.get(&format!("/messages/{}", Uuid::new_v4())).await;
    nowhere.refused(reqwest::StatusCode::NOT_FOUND, "not_found");
    assert!(asked.elapsed() < Duration::from_secs(1), "it is certain at once");
    let stranger = behind.world.nodes()[1].rest(&behind.world.user("Cem"));
    let (id, _) = behind.expected[9];
    let hidden = stranger.get(&format!("/messages/{id}")).await;
    hidden.refused(reqwest::StatusCode::NOT_FOUND, "not_found");
    let quoted = json!({"conversationId": behind.direct, "content": "re", "replyToMessageId": id});
    let here = behind.world.node().rest(&behind.ada);
    let reply = here.post("/messages", quoted).await.expect(201);
    assert_eq!(reply["replyTo"]["content"], "message 9");
}

#[tokio::test]
async fn what_the_persister_left_undone_is_shown_the_same_once_it_is_back() {
    let behind = Behind::begin(&[]).await;
    behind.histories_are_right().await;
    let worker = Worker::start(&behind.world, &[]).await;
    worker.leads().await;
    behind.world.persisted().await;
    behind.world.counters_are_dense(behind.direct).await;
    behind.histories_are_right().await;
}

#[tokio::test]
async fn histories_are_right_even_when_memory_does_not_reach_back_to_where_postgres_is() {
    // What changes is kept while it changes, and the first of what Postgres lacks is not.
    let behind = Behind::begin(&[("MESSAGING_TAIL_RING_EVENTS", "6")]).await;
    behind.histories_are_right().await;
}

#[tokio::test]
async fn while_the_log_does_not_answer_nobody_is_told_that_a_message_does_not_exist() {
    let world = World::start_with(UNPACED).await;
    let rest = world.node().rest(&world.user("Ada"));
    let path = format!("/messages/{}", Uuid::new_v4());
    rest.get(&path).await.refused(StatusCode::NOT_FOUND, "not_found");
    world.nats.pause();
    rest.get(&path).await.refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    world.nats.resume();
}
