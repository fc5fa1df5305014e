//! Clients that say nothing, and many that come at once.

use futures_util::future::join_all;

use super::*;
use crate::harness::raw::{NATIVE, Raw, SOCKET_IO};

#[tokio::test]
async fn a_client_that_has_gone_without_a_word_is_closed_after_two_heartbeats() {
    let mut world = World::without_nodes().await;
    world.add_node(&[("MESSAGING_HEARTBEAT", "400ms")]).await;
    // It does not read, so it does not answer pings either.
    let mut gone = world.node().ws(&world.user("Gone")).await;
    let mut there = world.node().ws(&world.user("There")).await;
    let closed = async || {
        let metrics = Rest::new(&world.node().url, None).get("//metrics").await;
        let text = metrics.body.as_str()?.to_owned();
        text.contains("messaging_disconnects_total{code=\"4408\"} 1").then_some(())
    };
    tokio::join!(
        eventually("it is closed", closed),
        there.no_event("nothing", Duration::from_millis(1500)),
    );
    assert_eq!(gone.closed().await, 4408);
    there.request("ping", json!({})).await.expect("whoever answers pings stays");
}

#[tokio::test]
async fn a_client_that_never_says_who_it_is_is_closed() {
    let mut world = World::without_nodes().await;
    world.add_node(&[("MESSAGING_OPENING_TIMEOUT", "300ms")]).await;
    for path in [NATIVE, SOCKET_IO] {
        let mut silent = Raw::open(&world.node().url, path, &[]).await;
        assert_eq!(silent.closed().await, 4401, "{path}");
    }
}

#[tokio::test]
async fn everybody_who_comes_back_at_once_is_let_in_at_a_steady_rate_and_has_missed_nothing() {
    const CLIENTS: usize = 120;
    const RATE: usize = 40;
    const MISSED: usize = 10;
    let mut world = World::without_nodes().await;
    let rate = RATE.to_string();
    let limits = [("RATE_LIMIT_CONNECTS_PER_SECOND", rate.as_str())];
    world.add_node(UNPACED).await;
    world.add_node(&[UNPACED, &limits].concat()).await;
    let ada = world.user("Ada");
    let users: Vec<User> = (0..CLIENTS).map(|n| world.user(&format!("U{n}"))).collect();
    let group = flow::open_group(&world.node().rest(&ada), &users).await;
    let here = world.node();
    let clients = join_all(users.iter().map(|user| here.ws(user))).await;
    let cursors: Vec<String> = clients
        .iter()
        .map(|ws| ws.connected["cursor"].as_str().expect("a cursor").to_owned())
        .collect();
    drop(clients);
    let mut ws = here.ws(&ada).await;
    let mut missed = Vec::new();
    for number in 0..MISSED {
        missed.push(place_of(&ws.say(group, &number.to_string()).await));
    }

    let there = &world.nodes()[1];
    let began = tokio::time::Instant::now();
    let missed = &missed;
    let returning = users.iter().zip(cursors).map(|(user, cursor)| async move {
        let query = format!("?cursor={cursor}");
        let mut ws = Ws::connect_to(&there.url, &query, &user.token).await;
        assert_eq!(ws.connected["recovered"], true);
        ws.event("caughtUp").await;
        let got = ws.take_events("newMessage");
        let got: Vec<_> = got.iter().map(|event| place_of(&event["data"])).collect();
        assert_eq!(got, *missed);
        ws
    });
    let back = join_all(returning).await;
    let took = began.elapsed();
    // A second's worth at once, the others at the rate.
    let least = Duration::from_secs_f64((CLIENTS - RATE) as f64 / RATE as f64 * 0.9);
    assert!(took > least, "{took:?}: the limit paces them");
    assert_eq!(back.len(), CLIENTS);
}
