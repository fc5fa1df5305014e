//! What lies below the events: the handshakes, name spaces, refusals, and coming back.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::pair;
use crate::harness::raw::{Raw, SOCKET_IO, Said};
use crate::harness::socketio::SocketIo;
use crate::harness::{Rest, User, World};

async fn opened(world: &World) -> Raw {
    let mut raw = Raw::open(&world.node().url, SOCKET_IO, &[]).await;
    raw.text_with("0{").await;
    raw
}

fn connect(namespace: &str, user: &User) -> String {
    format!("40{namespace}{}", json!({"token": user.token}))
}

fn json_behind(prefix: &str, text: &str) -> Value {
    let rest = text.strip_prefix(prefix).unwrap_or_else(|| panic!("{text}"));
    serde_json::from_str(rest).expect("JSON")
}

#[tokio::test]
async fn both_handshakes_say_what_the_protocols_want() {
    let world = World::start().await;
    let ada = world.user("Ada");
    let mut raw = Raw::open(&world.node().url, SOCKET_IO, &[]).await;
    let open = json_behind("0", &raw.text().await);
    assert!(open["sid"].is_string());
    assert_eq!(open["upgrades"], json!([]));
    assert_eq!(open["pingInterval"], 25_000);
    assert!(open["pingTimeout"].is_u64());
    assert_eq!(open["maxPayload"], 65_536);
    raw.send(&connect("/messaging,", &ada)).await;
    let accepted = json_behind("40/messaging,", &raw.text().await);
    assert!(accepted["sid"].is_string() && accepted["pid"].is_string(), "{accepted}");
}

#[tokio::test]
async fn other_protocols_and_transports_are_refused_in_engine_ios_own_words() {
    let world = World::start().await;
    let outside = Rest::new(&world.node().url, None);
    for (query, code, message) in [
        ("EIO=4&transport=polling&t=x", 0, "Transport unknown"),
        ("EIO=4", 0, "Transport unknown"),
        ("EIO=3&transport=websocket", 5, "Unsupported protocol version"),
    ] {
        let answer = outside.get(&format!("//socket.io/?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.body, json!({"code": code, "message": message}));
    }
    let ada = world.user("Ada");
    let options = json!({"auth": {"token": ada.token}, "transports": ["polling"]});
    let mut client = SocketIo::open(world.node(), &options);
    assert_eq!(client.event("connect_error").await["message"], "xhr poll error");
}

#[tokio::test]
async fn who_was_refused_may_try_again_on_the_same_transport_a_few_times() {
    let world = World::start().await;
    let ada = world.user("Ada");
    let expired = ada.with_token_for(-60);
    let mut raw = opened(&world).await;
    raw.send(&connect("/messaging,", &expired)).await;
    let refusal = json_behind("44/messaging,", &raw.text().await);
    assert_eq!(refusal["data"], json!({"code": "unauthenticated"}));
    raw.send(&connect("/messaging,", &ada)).await;
    raw.text_with("40/messaging,{").await;

    let mut raw = opened(&world).await;
    for _ in 0..5 {
        raw.send(&connect("/messaging,", &expired)).await;
        raw.text_with("44/messaging,{").await;
    }
    assert_eq!(raw.said().await, Said::Closed(4401));
}

#[tokio::test]
async fn another_name_space_is_refused_and_ours_goes_on() {
    let world = World::start().await;
    let ada = world.user("Ada");
    let mut raw = opened(&world).await;
    raw.send(&connect("/admin,", &ada)).await;
    assert_eq!(raw.text().await, r#"44/admin,{"message":"Invalid namespace"}"#);
    raw.send(&connect("", &ada)).await;
    assert_eq!(raw.text().await, r#"44{"message":"Invalid namespace"}"#);
    raw.send(&connect("/messaging,", &ada)).await;
    raw.text_with("40/messaging,{").await;
    raw.send("40/admin,").await;
    assert_eq!(raw.text().await, r#"44/admin,{"message":"Invalid namespace"}"#);
    raw.send(r#"42/messaging,1["ping"]"#).await;
    assert_eq!(raw.text().await, r#"43/messaging,1[{"success":true}]"#);
}

#[tokio::test]
async fn without_a_number_nothing_is_acknowledged_and_it_happens_all_the_same() {
    let world = World::start().await;
    let (ada, _, conversation) = pair(&world).await;
    let mut raw = Raw::socket_io(&world.node().url, &ada.token).await;
    let data = json!({"conversationId": conversation, "content": "no callback"});
    raw.send(&format!("42/messaging,{}", json!(["sendMessage", data]))).await;
    raw.send(&format!("42/messaging,{}", json!(["sendMessage", {}]))).await;
    let message = raw.text().await;
    assert!(message.starts_with(r#"42/messaging,["newMessage","#), "{message}");
    let update = raw.text().await;
    assert!(update.starts_with(r#"42/messaging,["conversationUpdated","#), "{update}");
    raw.send(r#"42/messaging,7["ping"]"#).await;
    assert_eq!(raw.text().await, r#"43/messaging,7[{"success":true}]"#);
}

#[tokio::test]
async fn a_packet_that_is_not_of_the_protocol_closes_with_4400() {
    let world = World::start().await;
    let ada = world.user("Ada");
    let texts = [
        "",
        "hello",
        "4",
        "42",
        "42/messaging,",
        r#"42["ping"]"#,
        r#"42/other,["ping"]"#,
        "42/messaging,[]",
        "42/messaging,[1]",
        r#"42/messaging,x["ping"]"#,
        // A binary event announces attachments, which this protocol does not have.
        r#"451-/messaging,["sendMessage",{"_placeholder":true,"num":0}]"#,
        "5",
        "40/messaging,{}",
    ];
    let frames = texts.map(Message::text).into_iter().chain([Message::binary(&b"2"[..])]);
    for frame in frames {
        let mut raw = Raw::socket_io(&world.node().url, &ada.token).await;
        raw.send_message(frame.clone()).await;
        assert_eq!(raw.said().await, Said::Closed(4400), "{frame:?}");
    }
    let mut raw = opened(&world).await;
    raw.send(r#"42/messaging,["ping"]"#).await;
    assert_eq!(raw.said().await, Said::Closed(4400), "an event before CONNECT");
}

#[tokio::test]
async fn a_stock_client_survives_a_restart_at_the_same_address_by_itself() {
    let mut world = World::start().await;
    let (ada, bayo, conversation) = pair(&world).await;
    let options = json!({"auth": {"token": ada.token}, "reconnectionDelay": 50,
        "reconnectionDelayMax": 200});
    let mut client = SocketIo::open(world.node(), &options);
    client.event("connect").await;
    let url = world.node().url.clone();
    assert!(world.node_mut(0).terminate().await.success());
    let after = client.event("reconnect").await["afterMs"].as_u64().expect("a delay");
    assert!(after <= 100, "within the drain window: {after}");
    // "io server disconnect" would keep the client away for good.
    assert_eq!(client.event("disconnect").await, "transport close");
    let port = url.rsplit(':').next().expect("a port").to_owned();
    let again = world.add_node(&[("MESSAGING_PORT", &port)]).await;
    client.event("connect").await;
    let mut other = world.nodes()[again].ws(&bayo).await;
    let data = json!({"conversationId": conversation, "content": "back again"});
    assert_eq!(client.emit("sendMessage", data).await["success"], true);
    assert_eq!(other.event("newMessage").await["data"]["content"], "back again");
}
