//! How a native connection begins, and with what it is refused.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::flow::open_direct;
use crate::harness::raw::{NATIVE, Raw, Said};
use crate::harness::world::sign;
use crate::harness::{Rest, User, World, Ws};

fn frame(text: &str) -> Value {
    serde_json::from_str(text).expect("frames are JSON")
}

fn connect(token: &str) -> String {
    json!({"id": 0, "op": "connect", "data": {"token": token}}).to_string()
}

/// The same claims, said to be unsigned.
fn unsigned(user: &User) -> String {
    let payload = user.token.split('.').nth(1).expect("a payload");
    // {"alg":"none"}
    format!("eyJhbGciOiJub25lIn0.{payload}.")
}

fn unwelcome(user: &User) -> [(&'static str, String); 6] {
    let claims = json!({"sub": user.id, "exp": 4_000_000_000_u64});
    let no_user = sign(&json!({"sub": "ada", "exp": 4_000_000_000_u64}), "a secret of the tests");
    [
        ("another secret", sign(&claims, "guess")),
        ("expired", user.with_token_for(-60).token),
        ("alg none", unsigned(user)),
        ("no expiry", sign(&json!({"sub": user.id}), "a secret of the tests")),
        ("no user", no_user),
        ("no token at all", "a.b.c".to_owned()),
    ]
}

#[tokio::test]
async fn a_token_in_the_header_opens_and_the_first_frame_says_everything() {
    let world = World::start().await;
    let ada = world.user("Ada");
    let mut raw = Raw::native(&world.node().url, &ada.token).await;
    let text = raw.text().await;
    assert!(text.starts_with(r#"{"event":"connected","data":{"#), "{text}");
    let data = &frame(&text)["data"];
    assert!(uuid::Uuid::parse_str(data["connectionId"].as_str().expect("an id")).is_ok());
    assert_eq!(data["userId"], ada.id.to_string());
    assert_eq!(data["recovered"], false);
    assert_eq!(data["heartbeatSeconds"], 25);
    let (epoch, seq) = data["cursor"].as_str().expect("a cursor").split_once('.').expect("a dot");
    assert!(!epoch.is_empty() && seq.parse::<u64>().is_ok());
    let limits = &data["limits"];
    for (name, default) in [
        ("messagesPerSecond", 20),
        ("signalsPerSecond", 10),
        ("requestsPerSecond", 50),
        ("maxContentChars", 8000),
        ("maxFrameBytes", 65536),
        ("maxGroupParticipants", 1000),
    ] {
        assert_eq!(limits[name], default, "{name}");
    }
}

#[tokio::test]
async fn each_connection_has_an_id_of_its_own() {
    let world = World::start().await;
    let ada = world.user("Ada");
    let (one, other) = (world.node().ws(&ada).await, world.node().ws(&ada).await);
    assert_ne!(one.connected["connectionId"], other.connected["connectionId"]);
}

#[tokio::test]
async fn a_browser_brings_its_token_as_a_subprotocol_and_gets_ours_back() {
    let world = World::start().await;
    let ada = world.user("Ada");
    let offered = format!("messaging.v1, bearer.{}", ada.token);
    let headers = [("sec-websocket-protocol", offered.as_str())];
    let mut raw = Raw::open(&world.node().url, NATIVE, &headers).await;
    assert_eq!(raw.subprotocol.as_deref(), Some("messaging.v1"));
    assert_eq!(frame(&raw.text().await)["data"]["userId"], ada.id.to_string());
    let headers = [("sec-websocket-protocol", "messaging.v1, bearer.nonsense")];
    let mut raw = Raw::open(&world.node().url, NATIVE, &headers).await;
    assert_eq!(raw.said().await, Said::Closed(4401));
}

#[tokio::test]
async fn a_first_frame_may_bring_the_token_and_gets_its_reply_behind_connected() {
    let world = World::start().await;
    let ada = world.user("Ada");
    let mut raw = Raw::open(&world.node().url, NATIVE, &[]).await;
    raw.send(&connect(&ada.token)).await;
    let first = raw.text().await;
    assert!(first.starts_with(r#"{"event":"connected","data":{"#), "{first}");
    assert_eq!(frame(&first)["data"]["userId"], ada.id.to_string());
    assert_eq!(raw.text().await, r#"{"id":0,"ok":true,"data":{}}"#);
    raw.send(r#"{"id":"next","op":"ping"}"#).await;
    assert_eq!(raw.text().await, r#"{"id":"next","ok":true,"data":{}}"#);
}

#[tokio::test]
async fn a_token_that_is_not_good_is_closed_with_4401() {
    let world = World::start().await;
    let ada = world.user("Ada");
    for (what, token) in unwelcome(&ada) {
        let mut raw = Raw::native(&world.node().url, &token).await;
        assert_eq!(raw.said().await, Said::Closed(4401), "in the header: {what}");
        let mut raw = Raw::open(&world.node().url, NATIVE, &[]).await;
        raw.send(&connect(&token)).await;
        let reply = raw.text().await;
        assert!(reply.starts_with(r#"{"id":0,"ok":false,"error":{"code":"unauthenticated""#));
        assert_eq!(raw.said().await, Said::Closed(4401), "in the first frame: {what}");
    }
}

#[tokio::test]
async fn a_first_frame_that_says_nothing_of_who_it_is_is_refused() {
    let world = World::start().await;
    let first_frames = [
        (r#"{"id":1,"op":"ping"}"#, 4401),
        (r#"{"id":1,"op":"sendMessage","data":{"content":"hi"}}"#, 4401),
        (r#"{"id":0,"op":"connect"}"#, 4401),
        (r#"{"id":0,"op":"connect","data":{"token":7}}"#, 4401),
        ("hello", 4400),
        ("", 4400),
        (r#"{"op":"connect"}"#, 4400),
    ];
    for (text, code) in first_frames {
        let mut raw = Raw::open(&world.node().url, NATIVE, &[]).await;
        raw.send(text).await;
        assert_eq!(raw.closed().await, code, "{text}");
    }
    let mut raw = Raw::open(&world.node().url, NATIVE, &[]).await;
    raw.send_message(Message::binary(&b"{}"[..])).await;
    assert_eq!(raw.said().await, Said::Closed(4400));
}

#[tokio::test]
async fn a_request_that_is_no_websocket_is_an_ordinary_refusal() {
    let world = World::start().await;
    let rest = Rest::new(&world.node().url, None);
    let status = rest.get("/ws").await.status;
    assert!((400..500).contains(&status), "{status}");
}

#[tokio::test]
async fn the_sockets_are_served_on_a_port_of_their_own_as_well() {
    let port = {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        probe.local_addr().expect("an address").port()
    };
    let world = World::start_with(&[("MESSAGING_WS_PORT", &port.to_string())]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let conversation = open_direct(&world.node().rest(&ada), &bayo).await;
    let own = format!("http://127.0.0.1:{port}");
    let mut apart = Ws::connect(&own, &ada.token).await;
    let mut apart_socket_io = Raw::socket_io(&own, &ada.token).await;
    let mut main = world.node().ws(&bayo).await;
    main.say(conversation, "to the other port").await;
    assert_eq!(apart.event("newMessage").await["data"]["content"], "to the other port");
    apart_socket_io.text_with(r#"42/messaging,["newMessage","#).await;
    apart.say(conversation, "and back").await;
    assert_eq!(main.event("newMessage").await["data"]["content"], "to the other port");
    assert_eq!(main.event("newMessage").await["data"]["content"], "and back");
    let rest = Rest::new(&own, Some(&ada.token)).get("/conversations").await;
    assert_eq!(rest.status, StatusCode::NOT_FOUND, "REST is served elsewhere");
}
