//! Everything at once: servers and processes are killed one after another while people talk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, Place, UNPACED, eventually, place_of};
use crate::harness::{User, Worker, World};

/// What clients know and say.
struct Talk {
    /// Where edges are now.
    urls: Mutex<Vec<String>>,
    conversation: Uuid,
    accepted: AtomicUsize,
    enough: AtomicBool,
}

impl Talk {
    /// Sends one message after another, each until it is accepted.
    async fn client(self: Arc<Self>, user: User) -> Vec<Place> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(15)).build();
        let http = http.expect("a client");
        let mut places = Vec::new();
        while !self.enough.load(Ordering::Relaxed) {
            let name = places.len().to_string();
            let mut attempt = 1_usize;
            let place = loop {
                let body = json!({"conversationId": self.conversation, "content": name,
                    "clientMessageId": name, "attempt": attempt});
                if let Some(place) = self.post(&http, &user, attempt, &body).await {
                    break place;
                }
                attempt += 1;
                assert!(attempt < 400, "never accepted");
                // As long as a client pauses that was refused.
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            places.push(place);
            self.accepted.fetch_add(1, Ordering::Relaxed);
        }
        places
    }

    async fn post(
        &self,
        http: &reqwest::Client,
        user: &User,
        attempt: usize,
        body: &Value,
    ) -> Option<Place> {
        let url = {
            let urls = self.urls.lock();
            format!("{}/messaging/messages", urls[attempt % urls.len()])
        };
        let answer = http.post(url).bearer_auth(&user.token).json(body).send().await.ok()?;
        let status = answer.status().as_u16();
        assert!(
            [200, 201, 503].contains(&status),
            "{status}: {}",
            answer.text().await.unwrap_or_default()
        );
        (status < 300).then_some(())?;
        Some(place_of(&answer.json().await.ok()?))
    }

    async fn goes_on(&self, what: &str) {
        let before = self.accepted.load(Ordering::Relaxed);
        let more = async || (self.accepted.load(Ordering::Relaxed) > before + 20).then_some(());
        eventually(&format!("talk after {what}"), more).await;
    }
}

#[derive(Debug, Clone, Copy)]
enum Blow {
    Nats,
    Postgres,
    Persister,
    Edge,
}

async fn strike(blow: Blow, world: &mut World, workers: &mut Vec<Worker>, talk: &Talk) {
    match blow {
        Blow::Nats => tokio::task::block_in_place(|| {
            world.nats.kill9();
            world.nats.start_again();
        }),
        Blow::Postgres => tokio::task::block_in_place(|| {
            world.database.server().kill();
            world.database.server().start_again();
        }),
        Blow::Persister => {
            workers.remove(0).0.kill9().await;
            workers.push(Worker::start(world, &[]).await);
        }
        Blow::Edge => {
            let oldest = world.nodes().len() - 2;
            world.node_mut(oldest).kill9().await;
            talk.urls.lock().remove(0);
            let new = world.add_node_with(&["--role", "edge"], UNPACED).await;
            talk.urls.lock().push(world.nodes()[new].url.clone());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_while_people_talk_every_accepted_message_is_there_once_and_in_order() {
    let mut random = StdRng::seed_from_u64(7);
    let mut world = World::with_own_postgres().await;
    for _ in 0..2 {
        world.add_node_with(&["--role", "edge"], UNPACED).await;
    }
    let mut workers = vec![Worker::start(&world, &[]).await, Worker::start(&world, &[]).await];
    let users: Vec<User> = (0..4).map(|n| world.user(&format!("U{n}"))).collect();
    let group = flow::open_group(&world.node().rest(&users[0]), &users[1..]).await;
    let talk = Arc::new(Talk {
        urls: Mutex::new(world.nodes().iter().map(|node| node.url.clone()).collect()),
        conversation: group,
        accepted: AtomicUsize::new(0),
        enough: AtomicBool::new(false),
    });
    let clients: Vec<_> =
        users.iter().map(|user| tokio::spawn(talk.clone().client(user.clone()))).collect();
    let mut blows = [Blow::Nats, Blow::Postgres, Blow::Persister, Blow::Edge].repeat(2);
    blows.shuffle(&mut random);
    talk.goes_on("the start").await;
    for blow in blows {
        strike(blow, &mut world, &mut workers, &talk).await;
        talk.goes_on(&format!("{blow:?} was killed")).await;
    }
    talk.enough.store(true, Ordering::Relaxed);
    let mut accepted = Vec::new();
    for client in clients {
        let places = client.await.expect("no panic");
        assert!(places.is_sorted_by(|a, b| a.0 < b.0), "in the order of sending");
        accepted.extend(places);
    }
    accepted.sort_unstable();
    assert_eq!(world.log_and_table_agree(group).await, accepted.len());
    let stored: Vec<Place> = world.rows(group).await.iter().map(|r| (r.seq, r.id)).collect();
    assert_eq!(stored, accepted);
    let rest = world.nodes()[world.nodes().len() - 1].rest(&users[1]);
    let history = flow::history(&rest, group, 100).await;
    assert_eq!(history.iter().map(place_of).collect::<Vec<_>>(), accepted);
}
