//! Frames of no protocol, limits, and connections that must end while others go on.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::flow::{UNPACED, open_direct, open_group};
use crate::harness::raw::{NATIVE, Raw, SOCKET_IO, Said};
use crate::harness::{Node, Rest, World};

/// A number of `/metrics`.
async fn metric(node: &Node, name: &str) -> f64 {
    let text = Rest::new(&node.url, None).get("//metrics").await.expect(200);
    let text = text.as_str().expect("text").to_owned();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// Opens a native connection and reads its greeting.
async fn greeted(node: &Node, token: &str) -> Raw {
    let mut raw = Raw::native(&node.url, token).await;
    raw.text_with(r#"{"event":"connected""#).await;
    raw
}

#[tokio::test]
async fn a_frame_that_is_not_of_the_protocol_closes_with_4400_and_disturbs_nobody() {
    let world = World::start().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut bystander = world.node().ws(&bayo).await;
    let mut speaker = world.node().ws(&ada).await;
    let texts = [
        "",
        "hello",
        "null",
        "[]",
        "{}",
        r#"{"id":1}"#,
        r#"{"op":"ping"}"#,
        r#"{"id":null,"op":"ping"}"#,
        r#"{"id":{},"op":"ping"}"#,
        r#"{"id":1,"op":2}"#,
        r#"{"id":1,"op":"ping"}{"id":2,"op":"ping"}"#,
        r#"{"id":1,"op":"ping","data":{"#,
    ];
    let frames = texts.map(Message::text).into_iter().chain([
        Message::binary(&b"{\"id\":1,\"op\":\"ping\"}"[..]),
        Message::binary(&[0xff; 100][..]),
    ]);
    for frame in frames {
        let mut raw = greeted(world.node(), &ada.token).await;
        raw.send_message(frame.clone()).await;
        assert_eq!(raw.closed().await, 4400, "{frame:?}");
        speaker.say(conversation, "on it goes").await;
        assert_eq!(bystander.event("newMessage").await["data"]["content"], "on it goes");
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_closes_with_4413() {
    let world = World::start().await;
    let ada = world.user("Ada");
    let ping = |bytes: usize| {
        let frame = r#"{"id":1,"op":"ping","data":{"x":""}}"#;
        frame.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - frame.len())))
    };
    let mut raw = greeted(world.node(), &ada.token).await;
    raw.send(&ping(65_536)).await;
    assert_eq!(raw.text().await, r#"{"id":1,"ok":true,"data":{}}"#, "exactly the limit is fine");
    for bytes in [65_537, 200_000, 3_000_000] {
        let mut raw = greeted(world.node(), &ada.token).await;
        raw.send(&ping(bytes)).await;
        assert_eq!(raw.said().await, Said::Closed(4413), "{bytes} bytes");
    }
    let mut raw = Raw::socket_io(&world.node().url, &ada.token).await;
    raw.send(&format!("42/messaging,1[\"ping\",\"{}\"]", "x".repeat(65_536))).await;
    assert_eq!(raw.said().await, Said::Closed(4413), "whatever protocol");
}

#[tokio::test]
async fn the_largest_frame_is_configured() {
    let world = World::start_with(&[("MAX_FRAME_BYTES", "5000")]).await;
    let ada = world.user("Ada");
    let mut raw = greeted(world.node(), &ada.token).await;
    raw.send(&"x".repeat(5001)).await;
    assert_eq!(raw.said().await, Said::Closed(4413));
}

#[tokio::test]
async fn a_connection_ends_when_its_token_expires_unless_it_was_refreshed() {
    let world = World::start_with(&[("MESSAGING_JWT_LEEWAY", "0s")]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let soon = ada.with_token_for(3);
    let mut ends = greeted(world.node(), &soon.token).await;
    let mut ends_too = Raw::socket_io(&world.node().url, &soon.token).await;
    let mut stays = world.node().ws(&soon).await;
    let fresh = json!({"token": ada.with_token_for(600).token});
    stays.request("refreshToken", fresh).await.expect("taken");
    assert_eq!(ends.closed().await, 4401);
    assert_eq!(ends_too.closed().await, 4401);
    let mut sender = world.node().ws(&bayo).await;
    sender.say(conversation, "after the expiry").await;
    assert_eq!(stays.event("newMessage").await["data"]["content"], "after the expiry");
    stays.request("ping", Value::Null).await.expect("still open");
}

#[tokio::test]
async fn the_oldest_of_too_many_connections_of_a_user_gives_way() {
    let world = World::start_with(&[("MAX_CONNECTIONS_PER_USER", "2")]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut first = world.node().ws(&ada).await;
    let mut second = world.node().ws(&ada).await;
    let mut other = world.node().ws(&bayo).await;
    let mut third = world.node().ws(&ada).await;
    assert_eq!(first.closed().await, 4429);
    other.say(conversation, "to two").await;
    for ws in [&mut second, &mut third] {
        assert_eq!(ws.event("newMessage").await["data"]["content"], "to two");
    }
    let mut fourth = Raw::socket_io(&world.node().url, &ada.token).await;
    assert_eq!(second.closed().await, 4429, "whatever protocol they speak");
    other.say(conversation, "to two again").await;
    fourth.text_with("42/messaging,[\"newMessage\"").await;
    third.event("newMessage").await;
}

#[tokio::test]
async fn who_is_too_fast_is_told_so_and_the_others_are_not() {
    let settings = [
        ("RATE_LIMIT_MESSAGES_PER_SECOND", "1"),
        ("RATE_LIMIT_SIGNALS_PER_SECOND", "1"),
        ("RATE_LIMIT_REQUESTS_PER_SECOND", "5"),
    ];
    let world = World::start_with(&settings).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut hasty = world.node().ws(&ada).await;
    let mut calm = world.node().ws(&bayo).await;
    assert_eq!(hasty.connected["limits"]["messagesPerSecond"], 1);
    for (op, data) in [
        ("sendMessage", json!({"conversationId": conversation, "content": "x"})),
        ("typing", json!({"conversationId": conversation, "isTyping": true})),
        ("ping", json!({})),
    ] {
        let mut ids = Vec::new();
        for _ in 0..40 {
            ids.push(hasty.send(op, data.clone()).await);
        }
        let mut refusals = 0;
        for id in ids {
            match hasty.reply(id).await {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error["code"], "rate_limited", "{error}");
                    refusals += 1;
                }
            }
        }
        assert!((1..=38).contains(&refusals), "{op}: {refusals} of 40");
        calm.request(op, data).await.expect("another user has a limit of their own");
    }
}

#[tokio::test]
async fn a_limit_of_zero_is_none() {
    let world = World::start_with(&[("RATE_LIMIT_REQUESTS_PER_SECOND", "0")]).await;
    let mut ws = world.node().ws(&world.user("Ada")).await;
    let mut ids = Vec::new();
    for _ in 0..300 {
        ids.push(ws.send("ping", Value::Null).await);
    }
    for id in ids {
        ws.reply(id).await.expect("no limit");
    }
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_closed_with_4409_and_nobody_else_notices() {
    let settings = [("MAX_QUEUED_FRAMES", "16"), ("RATE_LIMIT_MESSAGES_PER_SECOND", "0")];
    let world = World::start_with(&settings).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let mut sender = world.node().ws(&ada).await;
    let mut quick = world.node().ws(&bayo).await;
    let mut slow = greeted(world.node(), &bayo.token).await;
    let mut slow_socket_io = Raw::socket_io(&world.node().url, &bayo.token).await;
    // The kernel takes some megabytes in before the node notices that nobody reads.
    let large = "x".repeat(8000);
    let mut sent = 0;
    while metric(world.node(), "messaging_queue_overflow_total").await < 2.0 {
        assert!(sent < 5000, "40 MB, and no queue was full");
        for _ in 0..50 {
            sender.say(conversation, &large).await;
            sender.event("newMessage").await;
            quick.event("newMessage").await;
            sent += 1;
        }
    }
    assert_eq!(slow.closed().await, 4409);
    assert_eq!(slow_socket_io.closed().await, 4409);
    sender.say(conversation, "the last").await;
    assert_eq!(quick.event("newMessage").await["data"]["content"], "the last");
}

#[tokio::test]
async fn many_connections_at_once_do_not_exceed_the_limit() {
    let world = World::start_with(&[("MAX_CONNECTIONS_PER_USER", "3")]).await;
    let ada = world.user("Ada");
    let opening = (0..12).map(|_| Raw::native(&world.node().url, &ada.token));
    let mut all = futures_util::future::join_all(opening).await;
    // Who was greeted was admitted, so all are decided on now.
    let greetings = all.iter_mut().map(|raw| raw.text_with(r#"{"event":"connected""#));
    futures_util::future::join_all(greetings).await;
    let mut answered = 0;
    for raw in &mut all {
        raw.send(r#"{"id":1,"op":"ping"}"#).await;
        loop {
            match raw.said().await {
                Said::Text(text) if text.starts_with("{\"id\":1") => answered += 1,
                Said::Text(_) => continue,
                Said::Closed(code) => assert_eq!(code, 4429),
            }
            break;
        }
    }
    assert_eq!(answered, 3);
}

#[tokio::test]
async fn connections_that_ended_leave_nothing_behind() {
    // The user hears one conversation by itself, and the other because it asks.
    let settings = [("MAX_CONVERSATIONS_PER_USER", "1"), ("MAX_QUEUED_FRAMES", "4")];
    let world = World::start_with(&settings).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let older = open_direct(&world.node().rest(&ada), &bayo).await;
    let newer = open_group(&world.node().rest(&ada), std::slice::from_ref(&bayo)).await;
    {
        let mut leaves = world.node().ws(&bayo).await;
        for conversation in [older, newer] {
            let which = json!({"conversationId": conversation});
            leaves.request("joinConversation", which).await.expect("a participant");
        }
    }
    let mut speaker = world.node().ws(&ada).await;
    let open = r#"messaging_connections{protocol="native"}"#;
    while metric(world.node(), open).await > 1.0 {
        tokio::task::yield_now().await;
    }
    for conversation in [older, newer] {
        for _ in 0..10 {
            speaker.say(conversation, "is anybody there?").await;
        }
    }
    speaker.request("ping", Value::Null).await.expect("fine");
    let overflows = metric(world.node(), "messaging_queue_overflow_total").await;
    assert!(overflows.abs() < f64::EPSILON, "something still fills the queue of one that left");
}

#[tokio::test]
async fn more_new_connections_than_a_node_takes_wait_and_the_rest_is_told_to_come_later() {
    let world = World::start_with(&[("RATE_LIMIT_CONNECTS_PER_SECOND", "1")]).await;
    let (url, ada) = (world.node().url.clone(), world.user("Ada"));
    let opening = (0..12).map(|number| {
        let (url, token) = (&url, &ada.token);
        async move {
            let began = Instant::now();
            let path = if number % 2 == 0 { NATIVE } else { SOCKET_IO };
            let bearer = format!("Bearer {token}");
            let mut raw = Raw::open(url, path, &[("authorization", &bearer)]).await;
            (raw.said().await, began.elapsed())
        }
    });
    let mut opening: FuturesUnordered<_> = opening.collect();
    let (mut waited, mut turned_away) = (0, 0);
    while waited == 0 || turned_away == 0 {
        match opening.next().await.expect("some wait and some are turned away") {
            (Said::Closed(code), _) => {
                assert_eq!(code, 4429);
                turned_away += 1;
            }
            (Said::Text(_), took) if took > Duration::from_millis(500) => waited += 1,
            (Said::Text(_), _) => {}
        }
    }
}

#[tokio::test]
async fn a_client_that_never_says_who_it_is_does_not_hold_up_a_node_that_leaves() {
    let mut world = World::start().await;
    let mut native = Raw::open(&world.node().url, NATIVE, &[]).await;
    let mut socket_io = Raw::open(&world.node().url, SOCKET_IO, &[]).await;
    socket_io.text_with("0{").await;
    let began = Instant::now();
    world.node().process.signal(libc::SIGTERM);
    assert_eq!(native.closed().await, 4503);
    assert_eq!(socket_io.closed().await, 4503);
    assert!(world.node_mut(0).ended().await.success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_hold_up_a_node_that_leaves() {
    // Its queue is long enough for everything, so only its socket is full.
    let mut world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let _asleep = greeted(world.node(), &bayo.token).await;
    let mut sender = world.node().ws(&ada).await;
    let large = "x".repeat(8000);
    for _ in 0..20 {
        let mut ids = Vec::new();
        for _ in 0..50 {
            let data = json!({"conversationId": conversation, "content": large});
            ids.push(sender.send("sendMessage", data).await);
        }
        for id in ids {
            sender.reply(id).await.expect("accepted");
            sender.event("newMessage").await;
        }
    }
    let began = Instant::now();
    assert!(world.node_mut(0).terminate().await.success());
    // Far below the hard deadline, which would end it by force.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}
