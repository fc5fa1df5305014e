//! Unread counts, compared with what counting by hand gives.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, id_of};
use crate::harness::{Rest, User, World};

/// What somebody with a pencil would know of a conversation.
#[derive(Default)]
struct Pencil {
    messages: Vec<(Uuid, usize)>,
    /// How many messages each participant has behind them: read, sent after, or there before they came.
    read: BTreeMap<usize, usize>,
}

impl Pencil {
    fn unread(&self, user: usize) -> Option<u64> {
        Some((self.messages.len() - self.read.get(&user)?) as u64)
    }

    fn reads(&mut self, user: usize, upto: usize) {
        let marker = self.read.get_mut(&user).expect("a participant");
        *marker = (*marker).max(upto);
    }
}

async fn act(random: &mut StdRng, pencil: &mut Pencil, community: Uuid, rest: &[Rest]) {
    let user = random.random_range(0..rest.len());
    let own = &rest[user];
    let path = format!("/conversations/{community}");
    if !pencil.read.contains_key(&user) {
        own.post(&format!("{path}/join"), json!({})).await.expect(200);
        pencil.read.insert(user, pencil.messages.len());
        return;
    }
    match random.random_range(0..10) {
        0..5 => {
            let id = id_of(&flow::send(own, community, "hello").await);
            pencil.messages.push((id, user));
            pencil.reads(user, pencil.messages.len());
        }
        5 => {
            let answer = own.post(&format!("{path}/mark-read"), json!({})).await.expect(200);
            assert_eq!(answer["unreadCount"], 0);
            pencil.reads(user, pencil.messages.len());
        }
        6 | 7 if !pencil.messages.is_empty() => {
            let at = random.random_range(0..pencil.messages.len());
            let body = json!({"messageId": pencil.messages[at].0});
            own.post(&format!("{path}/mark-read"), body).await.expect(200);
            pencil.reads(user, at + 1);
        }
        // The admin who made it stays.
        8 if user > 0 => {
            let left = own.post(&format!("{path}/leave"), json!({})).await;
            assert!(matches!(left.status, 200 | 204), "{left:?}");
            pencil.read.remove(&user);
        }
        _ => {
            let mine = pencil.messages.iter().rfind(|message| message.1 == user);
            let Some((id, _)) = mine else { return };
            own.delete(&format!("/messages/{id}")).await.expect(200);
        }
    }
}

#[tokio::test]
async fn unread_counts_are_what_counting_by_hand_gives_after_any_history() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let users: Vec<User> = (0..5).map(|n| world.user(&format!("U{n}"))).collect();
    let rest: Vec<Rest> =
        users.iter().enumerate().map(|(at, user)| world.nodes()[at % 2].rest(user)).collect();
    for seed in [1, 2, 3] {
        let mut random = StdRng::seed_from_u64(seed);
        let body = json!({"type": "community", "title": "Test", "participantIds": [users[1].id]});
        let community = id_of(&rest[0].post("/conversations", body).await.expect(201));
        let mut pencil = Pencil { read: [(0, 0), (1, 0)].into(), ..Pencil::default() };
        for step in 0..80 {
            act(&mut random, &mut pencil, community, &rest).await;
            let user = random.random_range(0..rest.len());
            let node = &world.nodes()[random.random_range(0..2)];
            if let Some(expected) = pencil.unread(user) {
                let shown = flow::unread(&node.rest(&users[user]), community).await;
                assert_eq!(shown, expected, "seed {seed}, step {step}, user {user}");
            }
        }
        for (user, own) in rest.iter().enumerate() {
            match pencil.unread(user) {
                Some(expected) => assert_eq!(flow::unread(own, community).await, expected),
                None => {
                    assert_eq!(own.get(&format!("/conversations/{community}")).await.status, 403)
                }
            }
        }
        world.persisted().await;
        world.counters_are_dense(community).await;
    }
}

#[tokio::test]
async fn what_was_said_before_somebody_joined_is_not_unread_for_them_however_busy_it_is() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let owner = world.user("Owner");
    let rest = world.node().rest(&owner);
    let body = json!({"type": "community", "title": "Busy"});
    let community = id_of(&rest.post("/conversations", body).await.expect(201));
    let mut ws = world.node().ws(&owner).await;
    let joiners: Vec<User> = (0..6).map(|n| world.user(&format!("J{n}"))).collect();

    let talking = async {
        for _ in 0..12 {
            let mut requests = Vec::new();
            for _ in 0..25 {
                let data = json!({"conversationId": community, "content": "hello"});
                requests.push(ws.send("sendMessage", data).await);
            }
            for request in requests {
                ws.reply(request).await.expect("accepted");
            }
        }
    };
    let joining = async {
        for (at, user) in joiners.iter().enumerate() {
            let rest = world.nodes()[at % 2].rest(user);
            rest.post(&format!("/conversations/{community}/join"), json!({})).await.expect(200);
        }
    };
    tokio::join!(talking, joining);
    world.persisted().await;
    let events = world.logged().await;
    for user in &joiners {
        let joined = events.iter().find(|event| {
            event.data["change"] == "participantsAdded"
                && event.data["userIds"].as_array().is_some_and(|ids| ids.contains(&json!(user.id)))
        });
        let place = joined.expect("announced").seq;
        let later = events.iter().filter(|e| e.kind == "newMessage" && e.seq > place).count();
        for node in world.nodes() {
            assert_eq!(flow::unread(&node.rest(user), community).await, later as u64);
        }
    }
}

/// An announcement is published twice when its node dies between the two steps and nobody else looks into the
/// outbox for longer than the log remembers ids.
#[tokio::test]
async fn an_announcement_that_is_repeated_after_the_duplicate_window_leaves_counts_alone() {
    let world = World::start_with(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.node().rest(&ada);
    let group = flow::open_group(&rest, std::slice::from_ref(&ben)).await;
    let announced = world.last_seq().await;
    for _ in 0..5 {
        flow::send(&rest, group, "hello").await;
    }
    assert_eq!(flow::unread(&world.node().rest(&ben), group).await, 5);
    let raw = world.log().await.get_raw_message(announced).await.expect("stored");
    let context = async_nats::jetstream::new(world.nats.client().await);
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Event", "conversationUpdated");
    let repeated = context.publish_with_headers(raw.subject, headers, raw.payload).await;
    repeated.expect("sent").await.expect("stored");
    world.persisted().await;
    assert_eq!(flow::unread(&world.node().rest(&ben), group).await, 5);
}
