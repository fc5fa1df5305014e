//! One order for everyone, each message once.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, Place, UNPACED, eventually, history, place_of};
use crate::harness::proxy::Mode;
use crate::harness::{Rest, User, World, Ws};

const SENDERS: usize = 50;
const EACH: usize = 8;

#[tokio::test]
async fn fifty_senders_on_two_nodes_are_seen_in_one_order_by_everyone_and_in_history() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let users: Vec<User> = (0..SENDERS).map(|n| world.user(&format!("U{n}"))).collect();
    let group = flow::open_group(&world.node().rest(&users[0]), &users[1..]).await;

    let mut connections = Vec::new();
    for (at, user) in users.iter().enumerate() {
        connections.push(world.nodes()[at % 2].ws(user).await);
    }
    let talking = connections.into_iter().enumerate().map(|(at, ws)| talk(ws, group, at));
    let seen: Vec<Observed> = futures_util::future::join_all(talking).await;

    let everything = &seen[0].places;
    assert_eq!(everything.len(), SENDERS * EACH);
    assert!(everything.is_sorted_by(|a, b| a.0 < b.0), "ascending seq: {everything:?}");
    let ids: HashSet<Uuid> = everything.iter().map(|place| place.1).collect();
    assert_eq!(ids.len(), everything.len(), "each once");
    for (at, observed) in seen.iter().enumerate() {
        assert_eq!(&observed.places, everything, "observer {at} saw the same");
        let own: Vec<Place> =
            everything.iter().filter(|place| observed.accepted.contains(place)).copied().collect();
        assert_eq!(own, observed.accepted, "what was acknowledged, in the order it was sent");
    }
    for node in world.nodes() {
        all_pagings_agree(&node.rest(&users[7]), group, everything).await;
    }
    assert_eq!(world.log_and_table_agree(group).await, SENDERS * EACH);
}

/// What one participant saw, and what was acknowledged to them in the order of sending.
struct Observed {
    places: Vec<Place>,
    accepted: Vec<Place>,
}

/// Sends without waiting, then takes in everything.
async fn talk(mut ws: Ws, group: Uuid, sender: usize) -> Observed {
    let mut requests = Vec::new();
    for number in 0..EACH {
        let content = format!("{sender}:{number}");
        let data = json!({"conversationId": group, "content": content, "clientMessageId": content});
        requests.push(ws.send("sendMessage", data).await);
    }
    let messages = ws.messages(SENDERS * EACH).await;
    in_order_of_each_sender(&messages);
    let mut accepted = Vec::new();
    for id in requests {
        accepted.push(place_of(&ws.reply(id).await.expect("accepted")["message"]));
    }
    Observed { places: messages.iter().map(place_of).collect(), accepted }
}

/// Contents are `<sender>:<number>`.
fn in_order_of_each_sender(messages: &[Value]) {
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    for message in messages {
        let content = message["content"].as_str().expect("text");
        let (sender, number) = content.split_once(':').expect("a sender");
        let due = next.entry(sender).or_default();
        assert_eq!(number, due.to_string(), "of sender {sender}");
        *due += 1;
    }
}

async fn all_pagings_agree(rest: &Rest, group: Uuid, expected: &[Place]) {
    let backwards = history(rest, group, 64).await;
    in_order_of_each_sender(&backwards);
    assert_eq!(backwards.iter().map(place_of).collect::<Vec<_>>(), expected, "by before");

    let (mut forwards, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/conversations/{group}/messages?limit=100&after={after}");
        let page = rest.get(&path).await.expect(200);
        forwards.extend(page["messages"].as_array().expect("messages").iter().map(place_of));
        after = forwards.last().map_or(0, |place| place.0);
        if page["hasMore"] == false {
            break;
        }
    }
    assert_eq!(forwards, expected, "by after");

    let (mut numbered, mut page) = (Vec::new(), 1);
    loop {
        let path = format!("/conversations/{group}/messages?limit=90&page={page}");
        let found = rest.get(&path).await.expect(200);
        numbered.extend(found["messages"].as_array().expect("messages").iter().map(place_of));
        if found["hasMore"] == false {
            break;
        }
        page += 1;
    }
    numbered.reverse();
    assert_eq!(numbered, expected, "by page");
}

#[tokio::test]
async fn frames_written_without_waiting_are_stored_and_answered_in_their_order() {
    const FRAMES: usize = 600;
    let world = World::start_with(UNPACED).await;
    let (ada, ben, cem) = (world.user("Ada"), world.user("Ben"), world.user("Cem"));
    let rest = world.node().rest(&ada);
    let conversations =
        [flow::open_direct(&rest, &ben).await, flow::open_direct(&rest, &cem).await];
    let mut ws = world.node().ws(&ada).await;
    let mut ben = world.node().ws(&ben).await;

    let mut requests = Vec::new();
    for number in 0..FRAMES {
        let conversation = conversations[number % 2];
        let data = json!({"conversationId": conversation, "content": format!("0:{number}")});
        requests.push(ws.send("sendMessage", data).await);
    }
    let mut last = 0;
    for id in requests {
        let reply = ws.reply(id).await.expect("accepted");
        let (seq, _) = place_of(&reply["message"]);
        assert!(seq > last, "across conversations as well");
        last = seq;
    }
    let heard = ben.messages(FRAMES / 2).await;
    let contents: Vec<&str> = heard.iter().filter_map(|m| m["content"].as_str()).collect();
    let sent: Vec<String> = (0..FRAMES).step_by(2).map(|number| format!("0:{number}")).collect();
    assert_eq!(contents, sent);
    for conversation in conversations {
        assert_eq!(world.log_and_table_agree(conversation).await, FRAMES / 2);
    }
}

/// More than the buffers between the node and the log hold, so that some of it has not left the node when the
/// connection breaks, and some of it has and is lost.
#[tokio::test]
async fn sends_keep_their_order_when_the_connection_to_the_log_breaks_behind_some_of_them() {
    const SENDERS: usize = 12;
    const EACH: usize = 60;
    let mut world = World::without_nodes().await;
    let proxy = world.nats.proxy().await;
    let url = format!("nats://{}", proxy.address);
    world.add_node(&[UNPACED, &[("NATS_URL", &url)]].concat()).await;
    let ben = world.user("Ben");
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        let user = world.user(&format!("U{number}"));
        let direct = flow::open_direct(&world.node().rest(&user), &ben).await;
        senders.push((world.node().ws(&user).await, direct, Vec::new()));
    }
    proxy.set(Mode::Stall);
    let long = "€".repeat(7_900);
    for number in 0..EACH {
        for (ws, direct, requests) in &mut senders {
            let content = format!("{number} {long}");
            let data = json!({"conversationId": direct, "content": content, "clientMessageId": number.to_string()});
            requests.push(ws.send("sendMessage", data).await);
        }
    }
    let metrics = Rest::new(&world.node().url, None);
    eventually("the node has noticed that nothing is answered", async || {
        let text = metrics.get("//metrics").await.body.as_str()?.to_owned();
        let line = text.lines().find(|l| l.starts_with("messaging_publish_retries_total "))?;
        (!line.ends_with(" 0")).then_some(())
    })
    .await;
    proxy.set(Mode::Cut);
    eventually("the connections are broken", async || {
        (metrics.get("//readyz").await.status == 503).then_some(())
    })
    .await;
    proxy.set(Mode::Pass);
    for (ws, direct, requests) in &mut senders {
        let mut last = 0;
        for (number, id) in requests.drain(..).enumerate() {
            let reply = ws.reply(id).await.expect("accepted");
            let (seq, _) = place_of(&reply["message"]);
            assert!(seq > last, "message {number} has seq {seq}, and the one before it {last}");
            last = seq;
        }
        assert_eq!(world.log_and_table_agree(*direct).await, EACH);
    }
}
