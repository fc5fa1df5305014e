//! Connection state recovery: an unmodified client that loses its node.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::pair;
use crate::harness::flow::UNPACED;
use crate::harness::socketio::SocketIo;
use crate::harness::{Node, World};

/// What stands before the nodes in production: one address, and whichever of them is there.
struct Balancer {
    url: String,
    target: watch::Sender<SocketAddr>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Balancer {
    async fn before(node: &Node) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/messaging", listener.local_addr().expect("an address"));
        let (target, seen) = watch::channel(address(node));
        let accepting = tokio::spawn(async move {
            let seen = Arc::new(seen);
            while let Ok((mut client, _)) = listener.accept().await {
                let target = *seen.borrow();
                tokio::spawn(async move {
                    if let Ok(mut node) = TcpStream::connect(target).await {
                        // Whichever side ends it, ends both.
                        let _ = copy_bidirectional(&mut client, &mut node).await;
                    }
                });
            }
        });
        Self { url, target, accepting }
    }

    fn turn_to(&self, node: &Node) {
        self.target.send_replace(address(node));
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn address(node: &Node) -> SocketAddr {
    node.url.strip_prefix("http://").and_then(|at| at.parse().ok()).expect("an address")
}

#[tokio::test]
async fn a_stock_client_that_loses_its_node_gets_what_it_missed_and_reports_recovered() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let (ada, bayo, conversation) = pair(&world).await;
    let balancer = Balancer::before(world.node()).await;
    let options = json!({
        "auth": {"token": bayo.token}, "reconnectionDelay": 20, "reconnectionDelayMax": 50,
    });
    // One of two clients has seen an event, the other has not seen any.
    let mut client = SocketIo::open_at(&balancer.url, &options);
    assert_eq!(client.event("connect").await["recovered"], false);
    let mut writer = world.nodes()[1].ws(&ada).await;
    let conversation = conversation.parse().expect("an id");
    writer.say(conversation, "seen").await;
    client.event("newMessage").await;
    client.event("conversationUpdated").await;
    let mut fresh = SocketIo::open_at(&balancer.url, &options);
    assert_eq!(fresh.event("connect").await["recovered"], false);

    balancer.turn_to(&world.nodes()[1]);
    world.node_mut(0).kill9().await;
    writer.say(conversation, "missed").await;
    for client in [&mut client, &mut fresh] {
        client.event("disconnect").await;
        assert_eq!(client.event("connect").await["recovered"], true);
        let missed = client.event("newMessage").await;
        assert_eq!(missed["content"], "missed");
        let update = client.event("conversationUpdated").await;
        assert_eq!(update["lastMessage"]["id"], missed["id"], "the list view relies on it");
        client.event("caughtUp").await;
    }
    writer.say(conversation, "live").await;
    for client in [&mut client, &mut fresh] {
        assert_eq!(client.event("newMessage").await["content"], "live");
    }
}

#[tokio::test]
async fn a_forged_identifier_is_not_recovered_and_told_so() {
    let world = World::start().await;
    let (ada, bayo, conversation) = pair(&world).await;
    for (pid, offset) in [("forged", None), ("a.b.c", None), ("forged", Some("nonsense"))] {
        let auth = json!({"token": bayo.token, "pid": pid, "offset": offset});
        let mut client = SocketIo::open(world.node(), &json!({"auth": auth}));
        assert_eq!(client.event("connect").await["recovered"], false);
        assert!(client.event("reset").await["reason"].is_string());
        world.node().ws(&ada).await.say(conversation.parse().expect("an id"), pid).await;
        assert_eq!(client.event("newMessage").await["content"], pid);
    }
}
