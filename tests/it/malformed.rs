//! Whatever comes in: an answer with a code or a close with one, and nothing else is disturbed.
//!
//! proptest makes the input and shrinks what fails; the cases are few because each is a round trip.

use std::future::Future;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::harness::flow::{UNPACED, open_group};
use crate::harness::raw::{Raw, Said};
use crate::harness::{User, World, Ws};

/// Ada's connections take the beating; Bayo must not notice.
struct Stage {
    world: World,
    ada: User,
    conversation: Uuid,
    speaker: Ws,
    witness: Ws,
}

impl Stage {
    async fn set() -> Self {
        let world = World::start_with(UNPACED).await;
        let (ada, bayo, chidi) = (world.user("Ada"), world.user("Bayo"), world.user("Chidi"));
        let conversation =
            open_group(&world.node().rest(&ada), &[bayo.clone(), chidi.clone()]).await;
        let speaker = world.node().ws(&chidi).await;
        let witness = world.node().ws(&bayo).await;
        Self { world, ada, conversation, speaker, witness }
    }

    /// Nobody but the sender of nonsense has noticed anything.
    async fn nobody_noticed(mut self) {
        self.speaker.say(self.conversation, "all is well").await;
        while self.witness.event("newMessage").await["data"]["content"] != "all is well" {}
        let said = self.world.node().process.stderr.text();
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// Runs `check` with inputs of `strategy`, on the test's own runtime.
fn each<S: Strategy, F: Future<Output = Result<(), TestCaseError>>>(
    cases: u32,
    strategy: S,
    mut check: impl FnMut(S::Value) -> F,
) {
    let config =
        Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let check = std::cell::RefCell::new(&mut check);
    let outcome = TestRunner::new(config).run(&strategy, |input| {
        let checking = (check.borrow_mut())(input);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(checking))
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Any JSON, a few levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| serde_json::Number::from_f64(n).map_or(Value::Null, Value::from)),
        any::<String>().prop_map(Value::from),
        Just(json!("00000000-0000-4000-8000-000000000001")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Names that mean something here, so that values of a wrong kind get as far as they can.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "conversationId",
            "messageId",
            "content",
            "type",
            "metadata",
            "mentions",
            "attempt",
            "clientMessageId",
            "replyToMessageId",
            "isTyping",
            "token",
            "title",
            "participantIds",
            "userIds",
            "role",
            "contextType",
            "contextId",
            "until",
            "imageUrl",
            "location",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ]
}

/// An operation, real or not.
fn op() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "sendMessage", "editMessage", "deleteMessage", "typing", "markAsRead",
            "joinConversation", "leaveConversation", "refreshToken", "ping", "connect",
            "addReaction", "subscribePresence",
        ])
        .prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

/// The data of a request: right in part, so that some of it is accepted.
fn data(conversation: Uuid) -> impl Strategy<Value = Value> + use<> {
    let near = (prop::collection::hash_map(key(), any_json(), 0..5), any::<bool>(), any::<bool>())
        .prop_map(move |(map, here, text)| {
            let mut map: serde_json::Map<String, Value> = map.into_iter().collect();
            if here {
                map.insert("conversationId".into(), json!(conversation));
            }
            if text {
                map.insert("content".into(), json!("some text"));
            }
            Value::Object(map)
        });
    prop_oneof![3 => near, 1 => any_json()]
}

/// A text, cut off somewhere.
fn cut(text: String, share: f64) -> String {
    let keep = (text.chars().count() as f64 * share) as usize;
    text.chars().take(keep).collect()
}

/// Something to send, and the id whose reply must come if the frame is a request.
type Sent = (Message, Option<u64>);

fn native_frames(conversation: Uuid) -> impl Strategy<Value = Sent> + use<> {
    let request = (1_u64..1_000_000, op(), data(conversation))
        .prop_map(|(id, op, data)| (json!({"id": id, "op": op, "data": data}).to_string(), id))
        .boxed();
    prop_oneof![
        5 => request.clone().prop_map(|(text, id)| (Message::text(text), Some(id))),
        2 => (request, 0.0..1.0_f64)
            .prop_map(|((text, _), share)| (Message::text(cut(text, share)), None)),
        1 => any_json().prop_map(|json| (Message::text(json.to_string()), None)),
        1 => any::<String>().prop_map(|text| (Message::text(text), None)),
        1 => prop::collection::vec(any::<u8>(), 0..200)
            .prop_map(|bytes| (Message::binary(bytes), None)),
    ]
}

/// Answers may be of any code that says whose fault it was, and it is never ours.
fn fair(error: &Value) -> Result<(), TestCaseError> {
    let code = error["code"].as_str().unwrap_or_default();
    let known = [
        "unauthenticated",
        "forbidden",
        "not_a_participant",
        "not_found",
        "conflict",
        "invalid",
        "payload_too_large",
    ];
    prop_assert!(known.contains(&code), "{}", error);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_native_frame_gets_a_reply_or_a_close_code() {
    let stage = Stage::set().await;
    let connection = tokio::sync::Mutex::new(None);
    let (url, token) = (stage.world.node().url.clone(), stage.ada.token.clone());
    each(200, native_frames(stage.conversation), |(frame, id)| {
        let (connection, url, token) = (&connection, &url, &token);
        async move {
            let mut connection = connection.lock().await;
            let raw = match &mut *connection {
                Some(raw) => raw,
                None => connection.insert(Raw::native(url, token).await),
            };
            raw.send_message(frame).await;
            raw.send(r#"{"id":"probe","op":"ping"}"#).await;
            let (mut missing, mut probed) = (id, false);
            while missing.is_some() || !probed {
                let text = match raw.said().await {
                    Said::Text(text) => text,
                    Said::Closed(code) => {
                        *connection = None;
                        prop_assert_eq!(code, 4400);
                        prop_assert!(id.is_none(), "a request is answered, not closed");
                        return Ok(());
                    }
                };
                let said: Value = serde_json::from_str(&text).expect("frames are JSON");
                if said["id"] == "probe" {
                    probed = true;
                } else if said.get("event").is_none() {
                    prop_assert_eq!(said["id"].as_u64(), missing.take(), "one reply: {}", text);
                    if said["ok"] == false {
                        fair(&said["error"])?;
                    }
                }
            }
            Ok(())
        }
    });
    stage.nobody_noticed().await;
}

fn socketio_packets(conversation: Uuid) -> impl Strategy<Value = Sent> + use<> {
    let request = (1_u64..1_000_000, op(), data(conversation))
        .prop_map(|(id, op, data)| (format!("42/messaging,{id}{}", json!([op, data])), id))
        .boxed();
    prop_oneof![
        5 => request.clone().prop_map(|(text, id)| (Message::text(text), Some(id))),
        2 => (request, 0.0..1.0_f64)
            .prop_map(|((text, _), share)| (Message::text(cut(text, share)), None)),
        2 => ("[0-9]{1,3}(/[a-z]{0,9},?)?[0-9]{0,20}", any_json())
            .prop_map(|(head, json)| (Message::text(format!("{head}{json}")), None)),
        1 => any::<String>().prop_map(|text| (Message::text(text), None)),
        1 => prop::collection::vec(any::<u8>(), 0..200)
            .prop_map(|bytes| (Message::binary(bytes), None)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_socketio_packet_gets_an_acknowledgement_or_a_close_code() {
    let stage = Stage::set().await;
    let connection = tokio::sync::Mutex::new(None);
    let (url, token) = (stage.world.node().url.clone(), stage.ada.token.clone());
    each(200, socketio_packets(stage.conversation), |(frame, id)| {
        let (connection, url, token) = (&connection, &url, &token);
        async move {
            let mut connection = connection.lock().await;
            let raw = match &mut *connection {
                Some(raw) => raw,
                None => connection.insert(Raw::socket_io(url, token).await),
            };
            // Engine.IO's and Socket.IO's goodbyes are no mistakes.
            let text = frame.to_text().unwrap_or_default().to_owned();
            let leaves = text == "1" || text.starts_with("41");
            raw.send_message(frame).await;
            raw.send(r#"42/messaging,0["ping"]"#).await;
            let (mut missing, mut probed) = (id, false);
            while missing.is_some() || !probed {
                let text = match raw.said().await {
                    Said::Text(text) => text,
                    Said::Closed(code) => {
                        *connection = None;
                        prop_assert!(code == 4400 || leaves, "{}", code);
                        prop_assert!(id.is_none(), "a request is answered, not closed");
                        return Ok(());
                    }
                };
                let Some(ack) = text.strip_prefix("43/messaging,") else { continue };
                let (number, answer) = ack.split_at(ack.find('[').expect("arguments"));
                if number == "0" {
                    probed = true;
                    continue;
                }
                if let Some(id) = missing.take() {
                    prop_assert_eq!(number, id.to_string());
                }
                let answer: Value = serde_json::from_str(answer).expect("JSON");
                if answer[0]["success"] == false {
                    fair(&answer[0])?;
                }
            }
            Ok(())
        }
    });
    stage.nobody_noticed().await;
}

/// A REST call with a body that may be anything.
fn calls(conversation: Uuid) -> impl Strategy<Value = (Method, String, Vec<u8>)> + use<> {
    let id = prop_oneof![
        3 => Just(conversation.to_string()),
        1 => Just("00000000-0000-4000-8000-000000000001".to_owned()),
        1 => "[a-zA-Z0-9%._-]{1,12}",
    ];
    let route = prop::sample::select(vec![
        (Method::POST, "/messages"),
        (Method::PUT, "/messages/{id}"),
        (Method::POST, "/conversations"),
        (Method::PATCH, "/conversations/{id}"),
        (Method::POST, "/conversations/{id}/mute"),
        (Method::POST, "/conversations/{id}/mark-read"),
        (Method::POST, "/conversations/{id}/participants"),
        (Method::PATCH, "/conversations/{id}/participants/{id}"),
        (Method::GET, "/conversations"),
        (Method::GET, "/conversations/{id}/messages"),
        (Method::GET, "/conversations/{id}/participants"),
        (Method::GET, "/conversations/event/{id}"),
        (Method::GET, "/messages/{id}"),
    ]);
    let names = vec![
        "page",
        "limit",
        "before",
        "after",
        "around",
        "cursor",
        "q",
        "archived",
        "contextType",
        "type",
        "organizerId",
        "title",
    ];
    let parameter = (
        prop::sample::select(names),
        prop_oneof![any::<i64>().prop_map(|number| number.to_string()), "[a-z%0-9+&=._-]{0,10}",],
    );
    let query = prop::collection::vec(parameter, 0..3).prop_map(|pairs| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    });
    let body = prop_oneof![
        3 => data(conversation).prop_map(|data| data.to_string().into_bytes()),
        1 => (data(conversation), 0.0..1.0_f64)
            .prop_map(|(data, share)| cut(data.to_string(), share).into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ];
    (route, id, query, body).prop_map(|((method, path), id, query, body)| {
        (method, format!("{}?{query}", path.replace("{id}", &id)), body)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_rest_body_gets_an_answer_that_blames_the_right_side() {
    let stage = Stage::set().await;
    let client = reqwest::Client::new();
    let (base, token) = (format!("{}/messaging", stage.world.node().url), &stage.ada.token);
    each(200, calls(stage.conversation), |(method, path, body)| {
        let call = client.request(method, format!("{base}{path}")).bearer_auth(token).body(body);
        async move {
            let answer = call.send().await.expect("the node answers");
            let status = answer.status().as_u16();
            let kind = answer.headers().get("content-type").cloned();
            let body: Value = answer.json().await.unwrap_or_default();
            prop_assert!((200..500).contains(&status), "{} {}", status, body);
            if status >= 400 {
                prop_assert_eq!(kind.expect("a type"), "application/problem+json");
                prop_assert_eq!(body["status"].as_u64(), Some(u64::from(status)));
                fair(&body)?;
            }
            Ok(())
        }
    });
    stage.nobody_noticed().await;
}
