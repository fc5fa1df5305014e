//! Unread counts after random histories of several people and conversations, through two edges and a persister that
//! dies on the way: equal to what somebody with a pencil would say, and to what counting rows gives.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, id_of, open_direct};
use crate::harness::{Rest, User, Worker, World};

const USERS: usize = 4;

/// A conversation as somebody with a pencil knows it.
struct Talk {
    id: Uuid,
    /// Anybody may come and go, but the first, who is its admin.
    open: bool,
    /// Each with its sender.
    messages: Vec<(Uuid, usize)>,
    deleted: BTreeSet<Uuid>,
    /// How many messages each participant has behind them.
    read: BTreeMap<usize, usize>,
    muted: BTreeSet<usize>,
}

impl Talk {
    fn unread(&self, user: usize) -> Option<u64> {
        Some((self.messages.len() - self.read.get(&user)?) as u64)
    }

    fn reads(&mut self, user: usize, up_to: usize) {
        let marker = self.read.get_mut(&user).expect("a participant");
        *marker = (*marker).max(up_to);
    }
}

struct Scene {
    world: World,
    users: Vec<User>,
    persister: Option<Worker>,
    talks: Vec<Talk>,
    random: StdRng,
}

impl Scene {
    async fn start(seed: u64) -> Self {
        let mut world = World::without_nodes().await;
        let persister = Some(Worker::start(&world, UNPACED).await);
        for _ in 0..2 {
            world.add_node_with(&["--role", "edge"], UNPACED).await;
        }
        let users = (0..USERS).map(|n| world.user(&format!("U{n}"))).collect();
        let random = StdRng::seed_from_u64(seed);
        let mut scene = Self { world, users, persister, talks: Vec::new(), random };
        let first = scene.rest(0);
        for kind in ["community", "group"] {
            let members: Vec<Uuid> = scene.users[1..3].iter().map(|user| user.id).collect();
            let body = json!({"type": kind, "title": "Test", "participantIds": members});
            let id = id_of(&first.post("/conversations", body).await.expect(201));
            scene.begin(id, kind == "community", [0, 1, 2]);
        }
        let direct = open_direct(&first, &scene.users[3].clone()).await;
        scene.begin(direct, false, [0, 3]);
        scene
    }

    fn begin(&mut self, id: Uuid, open: bool, members: impl IntoIterator<Item = usize>) {
        let read = members.into_iter().map(|user| (user, 0)).collect();
        let (messages, deleted, muted) = Default::default();
        self.talks.push(Talk { id, open, messages, deleted, read, muted });
    }

    /// REST as a user, through either edge.
    fn rest(&mut self, user: usize) -> Rest {
        let node = self.random.random_range(0..2);
        self.world.nodes()[node].rest(&self.users[user])
    }

    /// Something happens. What needs the persister does not while that is away.
    async fn act(&mut self) {
        let (at, user) = (self.random.random_range(0..3), self.random.random_range(0..USERS));
        let chance = self.random.random_range(0..12);
        let rest = self.rest(user);
        let (is_in, open) = (self.talks[at].read.contains_key(&user), self.talks[at].open);
        match chance {
            _ if !is_in && open => self.join(at, user, &rest).await,
            _ if !is_in => {}
            0..4 => self.send(at, user, &rest).await,
            4 | 5 if user > 0 && open => self.leave(at, user, &rest).await,
            6 => self.edit_or_delete(at, user, &rest).await,
            7 => self.mute(at, user, &rest).await,
            _ if self.persister.is_some() => self.mark(at, user, &rest).await,
            _ => {}
        }
    }

    async fn join(&mut self, at: usize, user: usize, rest: &Rest) {
        let talk = &mut self.talks[at];
        rest.post(&format!("/conversations/{}/join", talk.id), json!({})).await.expect(200);
        talk.read.insert(user, talk.messages.len());
    }

    async fn leave(&mut self, at: usize, user: usize, rest: &Rest) {
        let talk = &mut self.talks[at];
        rest.post(&format!("/conversations/{}/leave", talk.id), json!({})).await.expect(200);
        talk.read.remove(&user);
        talk.muted.remove(&user);
    }

    async fn send(&mut self, at: usize, user: usize, rest: &Rest) {
        let talk = &mut self.talks[at];
        let message = flow::send(rest, talk.id, "hello").await;
        talk.messages.push((id_of(&message), user));
        talk.reads(user, talk.messages.len());
    }

    async fn edit_or_delete(&mut self, at: usize, user: usize, rest: &Rest) {
        let talk = &mut self.talks[at];
        let alive = |(id, sender): &&(Uuid, usize)| *sender == user && !talk.deleted.contains(id);
        let own: Vec<Uuid> = talk.messages.iter().filter(alive).map(|(id, _)| *id).collect();
        let Some(id) = own.choose(&mut self.random) else { return };
        let path = format!("/messages/{id}");
        if self.random.random_bool(0.5) {
            rest.put(&path, json!({"content": "changed"})).await.expect(200);
        } else {
            // A tombstone stays in its place, and counts.
            rest.delete(&path).await.expect(200);
            talk.deleted.insert(*id);
        }
    }

    async fn mute(&mut self, at: usize, user: usize, rest: &Rest) {
        let talk = &mut self.talks[at];
        let path = format!("/conversations/{}/mute", talk.id);
        let answer = if talk.muted.remove(&user) {
            rest.delete(&path).await
        } else {
            talk.muted.insert(user);
            rest.post(&path, json!({})).await
        };
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }

    async fn mark(&mut self, at: usize, user: usize, rest: &Rest) {
        let talk = &mut self.talks[at];
        let path = format!("/conversations/{}/mark-read", talk.id);
        let (body, up_to) = match talk.messages.len() {
            0 => (json!({}), 0),
            count if self.random.random_bool(0.3) => (json!({}), count),
            count => {
                let message = self.random.random_range(0..count);
                (json!({"messageId": talk.messages[message].0}), message + 1)
            }
        };
        let answer = rest.post(&path, body).await.expect(200);
        talk.reads(user, up_to);
        assert_eq!(answer["unreadCount"].as_u64(), talk.unread(user), "the answer to a mark");
    }

    /// The persister dies, and starts again in the course of events.
    async fn turn_persister(&mut self) {
        match self.persister.take() {
            Some(mut persister) => persister.0.kill9().await,
            None => self.persister = Some(Worker::start(&self.world, UNPACED).await),
        }
    }

    /// Compares everything that shows a count with the pencil's.
    async fn check(&mut self, when: &str) {
        self.world.persisted().await;
        let rows = self.counted().await;
        for user in 0..USERS {
            let rest = self.rest(user);
            let list = rest.get("/conversations?limit=100").await.expect(200);
            let listed = list["conversations"].as_array().expect("a list");
            let (mut total, mut conversations) = (0, 0);
            for talk in &self.talks {
                let entry = listed.iter().find(|entry| entry["id"] == json!(talk.id));
                let expected = talk.unread(user);
                let shown = entry.and_then(|entry| entry["unreadCount"].as_u64());
                assert_eq!(shown, expected, "{when}: user {user} in the list, {}", talk.id);
                let counted = rows.get(&(talk.id, self.users[user].id)).copied();
                assert_eq!(counted, expected, "{when}: rows of user {user}");
                let waits = expected.filter(|count| *count > 0 && !talk.muted.contains(&user));
                total += waits.unwrap_or(0);
                conversations += u64::from(waits.is_some());
            }
            let unread = rest.get("/unread").await.expect(200);
            let expected = json!({"total": total, "conversations": conversations});
            assert_eq!(unread, expected, "{when}: user {user} in all");
        }
    }

    /// Counts the rows behind the place up to which each has read, or at which they came.
    async fn counted(&self) -> BTreeMap<(Uuid, Uuid), u64> {
        let sql = "SELECT p.conversation_id, p.user_id,
                          (SELECT count(*) FROM messages m WHERE m.conversation_id = p.conversation_id
                               AND m.seq > GREATEST(p.last_read_seq, p.joined_seq))
                   FROM conversation_participants p";
        let database = self.world.database.client().await;
        let rows = database.query(sql, &[]).await.expect("an answer");
        let entry =
            |row: &tokio_postgres::Row| ((row.get(0), row.get(1)), row.get::<_, i64>(2) as u64);
        rows.iter().map(entry).collect()
    }
}

async fn random_history(seed: u64) {
    let mut scene = Scene::start(seed).await;
    for round in 0..3 {
        for _ in 0..20 {
            scene.act().await;
        }
        scene.check(&format!("seed {seed}, round {round}")).await;
        scene.turn_persister().await;
        for _ in 0..20 {
            scene.act().await;
        }
        scene.turn_persister().await;
        scene.check(&format!("seed {seed}, round {round}, after a restart")).await;
    }
}

#[tokio::test]
async fn unread_counts_are_right_after_random_histories_and_restarts() {
    random_history(1).await;
}

#[tokio::test]
async fn unread_counts_are_right_after_other_random_histories_and_restarts() {
    random_history(2).await;
}

#[tokio::test]
async fn whoever_leaves_and_comes_back_while_postgres_is_behind_begins_at_the_last_time() {
    let mut scene = Scene::start(3).await;
    let (community, first, second) = (scene.talks[0].id, scene.rest(0), scene.rest(1));
    scene.turn_persister().await;
    for round in 0..3 {
        for step in ["leave", "join"] {
            flow::send(&first, community, &format!("{step} {round}")).await;
            let path = format!("/conversations/{community}/{step}");
            second.post(&path, json!({})).await.expect(200);
        }
    }
    flow::send(&first, community, "unread").await;
    scene.turn_persister().await;
    scene.world.persisted().await;
    let view: Value = second.get(&format!("/conversations/{community}")).await.expect(200);
    assert_eq!(view["unreadCount"], 1);
}
