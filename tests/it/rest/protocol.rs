//! What holds for every route: tokens, limits, malformed requests, and what operators ask.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{conversation, unhurried, unhurried_with};
use crate::harness::world::sign;
use crate::harness::{Rest, World};

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_token_opens_the_door() {
    let world = unhurried().await;
    let ada = world.user("Ada");
    let node = world.node();
    let far = 4_102_444_800_u64;
    let secret = crate::harness::world::SECRET;
    let unsigned = {
        let signed = sign(&json!({ "sub": ada.id, "exp": far }), secret);
        let payload = signed.split('.').nth(1).expect("a payload").to_owned();
        // {"alg":"none"}
        format!("eyJhbGciOiJub25lIn0.{payload}.")
    };
    for token in [
        ada.with_token_for(-60).token,
        sign(&json!({ "sub": ada.id, "exp": far }), "a guess"),
        sign(&json!({ "sub": "ada", "exp": far }), secret),
        sign(&json!({ "sub": ada.id }), secret),
        unsigned,
        "nonsense".to_owned(),
    ] {
        let answer = Rest::new(&node.url, Some(&token)).get("/conversations").await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        answer.refused(StatusCode::UNAUTHORIZED, "unauthenticated");
    }
    node.rest(&ada).get("/conversations").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_tokens_become_profiles() {
    let world = unhurried().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let node = world.node();
    // Seen over REST, or over a socket.
    let bayo_rest = node.rest(&bayo);
    let id = conversation(&bayo_rest, "direct", &[&ada]).await;
    let _socket = node.ws(&ada).await;
    bayo_rest.get("/unread").await.expect(200);
    let shown = bayo_rest.get(&format!("/conversations/{id}")).await.expect(200);
    let people = shown["participants"].as_array().expect("a list");
    let mut names: Vec<_> = people.iter().filter_map(|p| p["displayName"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Ada", "Bayo"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_fast_is_told_when_to_come_back() {
    let world = World::start_with(&[
        ("RATE_LIMIT_REQUESTS_PER_SECOND", "2"),
        ("RATE_LIMIT_MESSAGES_PER_SECOND", "0"),
    ])
    .await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let mut refused = None;
    for _ in 0..50 {
        let answer = rest.get("/unread").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("50 requests are more than a burst of 6");
    assert_eq!(refused.headers["retry-after"], "1");
    refused.refused(StatusCode::TOO_MANY_REQUESTS, "rate_limited");
    world.node().rest(&bayo).get("/unread").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_routes_methods_and_large_bodies_are_problems() {
    let world = unhurried().await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    for path in ["/nothing", "//nothing", "/conversations/a/b/c"] {
        rest.get(path).await.refused(StatusCode::NOT_FOUND, "not_found");
    }
    let wrong = rest.call(Method::PUT, "/conversations", None).await;
    wrong.refused(StatusCode::METHOD_NOT_ALLOWED, "invalid");
    let huge = json!({ "conversationId": Uuid::new_v4(), "content": "x".repeat(4 << 20) });
    let answer = rest.post("/messages", huge).await;
    answer.refused(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");
}

/// Bodies that are nearly right, and bodies that are nothing like it.
fn malformed() -> Vec<Vec<u8>> {
    let good =
        br#"{"type":"group","conversationId":"x","userIds":["y"],"content":"z","role":"admin"}"#;
    let mut bodies: Vec<Vec<u8>> = (0..good.len()).map(|end| good[..end].to_vec()).collect();
    bodies.extend([
        b"null".to_vec(),
        b"[]".to_vec(),
        b"7".to_vec(),
        b"\"text\"".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        "[".repeat(10_000).into_bytes(),
        br#"{"content":"\ud800"}"#.to_vec(),
        br#"{"type":{"type":{}},"participantIds":{},"content":[],"until":{},"messageId":[]}"#
            .to_vec(),
        br#"{"limit":1e999,"attempt":-1,"metadata":"x"}"#.to_vec(),
    ]);
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_get_a_code_and_harm_nobody() {
    let world = unhurried().await;
    let ada = world.user("Ada");
    let node = world.node();
    let id = conversation(&node.rest(&ada), "group", &[&world.user("Bayo")]).await;
    let client = Client::new();
    let routes = [
        (Method::POST, "/conversations".to_owned()),
        (Method::PATCH, format!("/conversations/{id}")),
        (Method::POST, format!("/conversations/{id}/participants")),
        (Method::PATCH, format!("/conversations/{id}/participants/{}", ada.id)),
        (Method::POST, "/messages".to_owned()),
        (Method::PUT, format!("/messages/{}", Uuid::new_v4())),
    ];
    for (method, path) in &routes {
        for body in malformed() {
            let url = format!("{}/messaging{path}", node.url);
            let request = client.request(method.clone(), url).bearer_auth(&ada.token);
            let answer = request.body(body.clone()).send().await.expect("an answer");
            let what = format!("{method} {path} {}", String::from_utf8_lossy(&body));
            assert_eq!(answer.status(), 400, "{what}");
            let problem: Value = answer.json().await.expect("JSON");
            assert_eq!(problem["code"], json!("invalid"), "{what}");
        }
    }
    node.rest(&ada).get("/conversations").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_carries_what_is_inside() {
    let mut world = World::with_own_postgres().await;
    world.add_node(&[]).await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    rest.get("/conversations").await.expect(200);
    world.database.server().kill();
    let answer = rest.get("/conversations").await;
    assert!(answer.headers.contains_key("retry-after"));
    let problem = answer.refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable").to_string();
    for inside in ["postgres", "SELECT", "sql", "/tmp", "5432", "connection"] {
        assert!(!problem.to_lowercase().contains(&inside.to_lowercase()), "{problem}");
    }
    let ready = rest.get("//readyz").await;
    assert_eq!((ready.status, &ready.body["status"]), (503, &json!("unavailable")));
    assert_eq!(ready.body["reasons"], json!(["Postgres does not answer"]));
    rest.get("//healthz").await.expect(200);
    world.database.server().start_again();
    let again = tokio::time::timeout(Duration::from_secs(20), async {
        while rest.get("/conversations").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    again.await.expect("the service recovers by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_need_no_token() {
    let world = unhurried().await;
    let nobody = Rest::new(&world.node().url, None);
    nobody.get("//healthz").await.expect(200);
    let ready = nobody.get("//readyz").await.expect(200);
    assert_eq!(ready, json!({ "status": "ready" }));
    world.node().rest(&world.user("Ada")).get("/unread").await.expect(200);
    let metrics = nobody.get("//metrics").await.expect(200);
    let metrics = metrics.as_str().expect("text").to_owned();
    let line = "messaging_http_requests_total{route=\"/messaging/unread\",status=\"200\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_of_allowed_origins_may_call() {
    let world = unhurried_with(&[("WS_CORS_ORIGIN", "https://app.example.com")]).await;
    let preflight = |origin: &'static str| {
        Client::new()
            .request(Method::OPTIONS, format!("{}/messaging/messages", world.node().url))
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "authorization,content-type")
            .send()
    };
    let allowed = preflight("https://app.example.com").await.expect("an answer");
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://app.example.com");
    let other = preflight("https://evil.example.com").await.expect("an answer");
    assert!(!other.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_and_does_not_finish_a_request_is_not_kept() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = unhurried_with(&[("MESSAGING_HEADER_TIMEOUT", "200ms")]).await;
    let address = world.node().url.strip_prefix("http://").expect("a URL");
    for said in ["", "GET /healthz HT", "GET /healthz HTTP/1.1\r\nhost: here\r\n"] {
        let mut socket = tokio::net::TcpStream::connect(address).await.expect("connected");
        socket.write_all(said.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut answer));
        ended.await.expect("the node ends it").expect("in order");
    }
    // A socket that was upgraded stays.
    let mut ws = world.node().ws(&world.user("Ada")).await;
    ws.no_event("reconnect", Duration::from_millis(400)).await;
    ws.request("ping", json!({})).await.expect("it lives");
}
