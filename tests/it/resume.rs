//! Who comes back with a cursor gets what was missed: all of it, once, in order, whatever it comes from.

mod changes;
mod cursors;
mod membership;
mod storm;
mod sync;

use serde_json::Value;
use uuid::Uuid;

use crate::harness::flow::{UNPACED, open_group};
use crate::harness::{Node, User, Worker, World, Ws};

/// Where what was missed has to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Ring,
    Postgres,
    Log,
}

impl Source {
    /// As the metrics call it.
    fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Postgres => "postgres",
            Self::Log => "log",
        }
    }
}

const SOURCES: [Source; 3] = [Source::Ring, Source::Postgres, Source::Log];

/// A ring that holds nothing to speak of.
const NO_RING: (&str, &str) = ("MESSAGING_TAIL_RING_EVENTS", "1");

/// Ada and Ben in a group; Ben goes away and comes back.
struct Scene {
    world: World,
    source: Source,
    ada: User,
    ben: User,
    group: Uuid,
    /// Writes to Postgres, until it must not.
    persister: Option<Worker>,
}

impl Scene {
    async fn start(source: Source) -> Self {
        let mut world = World::without_nodes().await;
        let mut settings = UNPACED.to_vec();
        if source != Source::Ring {
            settings.push(NO_RING);
        }
        world.add_node_with(&["--role", "edge"], &settings).await;
        let persister = Some(Worker::start(&world, &[]).await);
        let (ada, ben) = (world.user("Ada"), world.user("Ben"));
        let group = open_group(&world.node().rest(&ada), std::slice::from_ref(&ben)).await;
        Self { world, source, ada, ben, group, persister }
    }

    /// Ben goes away: where he was.
    async fn ben_leaves(&mut self) -> String {
        let ben = self.world.node().ws(&self.ben).await;
        let cursor = cursor_of(&ben.connected);
        if self.source == Source::Log {
            // What happens from now on is nowhere but in the log.
            self.world.persisted().await;
            self.persister = None;
        }
        cursor
    }

    /// Waits until what was missed can be read where it is to be read.
    async fn settle(&self) {
        if self.source == Source::Postgres {
            self.world.persisted().await;
        }
    }

    async fn comes_back(&self, cursor: &str) -> Return {
        self.settle().await;
        let back = comes_back(self.world.node(), &self.ben, cursor).await;
        let url = format!("{}/metrics", self.world.node().url);
        let metrics = reqwest::get(url).await.expect("an answer").text().await.expect("text");
        let source = format!("messaging_replays_total{{source=\"{}\"}}", self.source.name());
        assert!(metrics.contains(&source), "not from {:?}:\n{metrics}", self.source);
        back
    }
}

/// What somebody got who came back.
struct Return {
    ws: Ws,
    /// Up to `caughtUp`, without it.
    frames: Vec<Value>,
    /// The cursor of `caughtUp`.
    cursor: String,
}

impl Return {
    /// The data of the events of that name.
    fn all(&self, name: &str) -> Vec<&Value> {
        self.frames.iter().filter(|frame| frame["event"] == name).map(|f| &f["data"]).collect()
    }

    /// The contents of the new messages.
    fn contents(&self) -> Vec<&str> {
        self.all("newMessage").iter().map(|m| m["content"].as_str().expect("text")).collect()
    }

    /// Names and places, for a look at the order.
    fn names(&self) -> Vec<&str> {
        self.frames.iter().map(|frame| frame["event"].as_str().expect("a name")).collect()
    }
}

async fn comes_back(node: &Node, user: &User, cursor: &str) -> Return {
    let mut ws = Ws::connect_to(&node.url, &format!("?cursor={cursor}"), &user.token).await;
    assert_eq!(ws.connected["recovered"], true, "{}", ws.connected);
    assert_eq!(ws.connected["cursor"], cursor, "until more has arrived, the old one stands");
    let cursor = cursor_of(&ws.event("caughtUp").await);
    let mut frames = Vec::new();
    while let Some(frame) = ws.take_kept() {
        frames.push(frame);
    }
    Return { ws, frames, cursor }
}

fn cursor_of(object: &Value) -> String {
    object["cursor"].as_str().unwrap_or_else(|| panic!("no cursor: {object}")).to_owned()
}

/// The place in a cursor.
fn seq_of(cursor: &str) -> u64 {
    cursor.split_once('.').and_then(|(_, seq)| seq.parse().ok()).expect("a cursor")
}

#[tokio::test]
async fn what_was_missed_comes_once_and_in_order_then_what_is_live() {
    for source in SOURCES {
        let mut scene = Scene::start(source).await;
        let cursor = scene.ben_leaves().await;
        let mut ada = scene.world.node().ws(&scene.ada).await;
        let mut said = Vec::new();
        for at in 0..40 {
            said.push(ada.say(scene.group, &format!("missed {at}")).await);
        }
        let mut back = scene.comes_back(&cursor).await;
        let missed = back.all("newMessage");
        assert_eq!(missed.len(), 40, "{source:?}");
        for (got, said) in missed.iter().zip(&said) {
            assert_eq!((&got["seq"], &got["id"]), (&said["seq"], &said["id"]), "{source:?}");
            assert_eq!(got["content"], said["content"]);
        }
        for frame in &back.frames {
            assert_eq!(seq_of(&cursor_of(frame)), frame["data"]["seq"].as_u64().expect("a place"));
        }
        let live = ada.say(scene.group, "live").await;
        let next = back.ws.event("newMessage").await;
        assert_eq!((&next["data"]["id"], &next["data"]["seq"]), (&live["id"], &live["seq"]));
        assert!(seq_of(&cursor_of(&next)) > seq_of(&back.cursor));
        // The cursor that came with the last of them leads on from there, and to nothing twice.
        drop(back);
        let again = scene.comes_back(&cursor_of(&next)).await;
        assert!(again.frames.is_empty(), "{source:?}: {:?}", again.frames);
    }
}

#[tokio::test]
async fn another_node_goes_on_where_one_was_killed_and_so_does_a_whole_new_one() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let group = open_group(&world.node().rest(&ada), std::slice::from_ref(&ben)).await;
    let mut phone = world.node().ws(&ben).await;
    let mut writer = world.nodes()[1].ws(&ada).await;
    writer.say(group, "seen").await;
    let cursor = cursor_of(&phone.event("newMessage").await);
    world.node_mut(0).kill9().await;
    writer.say(group, "missed").await;
    let back = comes_back(&world.nodes()[1], &ben, &cursor).await;
    assert_eq!(back.contents(), ["missed"]);
    drop(back);
    drop(writer);
    world.node_mut(1).kill9().await;
    world.nats.kill9();
    world.nats.start_again();
    let fresh = world.add_node(UNPACED).await;
    let back = comes_back(&world.nodes()[fresh], &ben, &cursor).await;
    assert_eq!(back.contents(), ["missed"], "everything has been started anew");
}
