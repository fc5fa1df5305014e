//! Coming back again and again while everybody writes.

use std::collections::HashSet;

use super::{NO_RING, Scene, Source, cursor_of};
use crate::harness::flow::UNPACED;
use crate::harness::{Node, User, Ws};

const MESSAGES: u64 = 600;
const CLIENTS: usize = 6;

/// Connects over and over, leaving in the middle of what it is told, and notes every message until it has the last.
async fn reads_in_pieces(nodes: &[Node], user: &User, mut cursor: String, at: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    for turn in 0.. {
        let node = &nodes[(at + turn) % nodes.len()];
        let query = format!("?cursor={cursor}");
        let mut ws = Ws::connect_to(&node.url, &query, &user.token).await;
        assert_eq!(ws.connected["recovered"], true);
        // A prime, so that it leaves at ever other places.
        for _ in 0..(11 + 13 * at) {
            let frame = ws.next_frame().await.expect("nothing closes the connection");
            if let Some(next) = frame["cursor"].as_str() {
                cursor = next.to_owned();
            }
            if frame["event"] == "newMessage" {
                let number = frame["data"]["content"].as_str().expect("text").parse();
                seen.push(number.expect("a number"));
            }
            if seen.len() as u64 >= MESSAGES {
                return seen;
            }
        }
    }
    unreachable!("turns do not end");
}

#[tokio::test]
async fn who_keeps_coming_back_gets_every_message_exactly_once() {
    let mut scene = Scene::start(Source::Ring).await;
    // One node answers from its ring, one from Postgres.
    let settings = [UNPACED, &[NO_RING]].concat();
    scene.world.add_node_with(&["--role", "edge"], &settings).await;
    let cursor = cursor_of(&scene.world.node().ws(&scene.ben).await.connected);
    let mut ada = scene.world.node().ws(&scene.ada).await;
    let writing = async {
        for number in 0..MESSAGES {
            ada.say(scene.group, &number.to_string()).await;
        }
    };
    let nodes = scene.world.nodes();
    let reading = (0..CLIENTS).map(|at| reads_in_pieces(nodes, &scene.ben, cursor.clone(), at));
    let ((), seen) = tokio::join!(writing, futures_util::future::join_all(reading));
    for (client, seen) in seen.iter().enumerate() {
        let distinct: HashSet<u64> = seen.iter().copied().collect();
        assert_eq!(distinct.len(), seen.len(), "client {client} got something twice");
        assert!(seen.is_sorted(), "client {client} got something out of order");
        assert_eq!(seen.len() as u64, MESSAGES, "client {client} missed something");
    }
}
