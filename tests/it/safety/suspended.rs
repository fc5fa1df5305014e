//! What somebody may do who is suspended: nothing, by no way in.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::done;
use crate::harness::flow::{UNPACED, history, id_of, open_group, send};
use crate::harness::socketio::SocketIo;
use crate::harness::{Rest, World, Ws};

/// Every request with a token that `/openapi.json` describes.
async fn described(world: &World) -> Vec<(Method, String)> {
    let document = Rest::new(&world.node().url, None).get("//openapi.json").await.expect(200);
    let anonymous = |operation: &Value| operation["security"] == json!([]);
    let paths = document["paths"].as_object().expect("paths").iter();
    let of = |path: &str, operations: &Value| -> Vec<(Method, String)> {
        let operations = operations.as_object().expect("operations").iter();
        let wanted = operations.filter(|(_, operation)| !anonymous(operation));
        let verb = |verb: &str| verb.to_uppercase().parse().ok();
        wanted.filter_map(|(name, _)| Some((verb(name)?, path.to_owned()))).collect()
    };
    let all = paths.filter_map(|(path, operations)| {
        path.strip_prefix("/messaging").map(|path| of(path, operations))
    });
    all.flatten().filter(|(_, path)| path != "/ws").collect()
}

/// A path with something for each of its parameters; the refusal comes before anybody looks at them.
fn filled(path: &str) -> String {
    let mut path = path.to_owned();
    while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
        path.replace_range(from..=to, &Uuid::new_v4().to_string());
    }
    path
}

#[tokio::test]
async fn every_request_of_a_suspended_user_is_refused_until_the_suspension_is_lifted() {
    let world = World::start_with(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.node().rest(&ada);
    let group = open_group(&rest, std::slice::from_ref(&ben)).await;
    let message = id_of(&send(&rest, group, "before").await);
    let id = ada.id.to_string();
    done(&world, &["user", "suspend", &id, "--reason", "spam"]).await;

    let requests = described(&world).await;
    assert!(requests.len() > 50, "{requests:?}");
    for (method, path) in requests {
        let answer = rest.call(method.clone(), &filled(&path), None).await;
        let refusal = (answer.status, &answer.body["code"], &answer.body["detail"]);
        let expected = (403, &json!("forbidden"), &json!("this account is suspended"));
        assert_eq!(refusal, expected, "{method} {path}");
    }
    // And with ids that are there.
    let said = json!({"conversationId": group, "content": "me again"});
    let reaction = format!("/messages/{message}/reactions/👍");
    let other = json!({"type": "direct", "participantIds": [ben.id]});
    for answer in [
        rest.post("/messages", said.clone()).await,
        rest.put(&format!("/messages/{message}"), json!({"content": "after"})).await,
        rest.put(&reaction, json!({})).await,
        rest.delete(&format!("/messages/{message}")).await,
        rest.post("/conversations", other).await,
    ] {
        answer.refused(StatusCode::FORBIDDEN, "forbidden");
    }

    let there = history(&world.node().rest(&ben), group, 50).await;
    let [only] = &there[..] else { panic!("{there:?}") };
    assert_eq!((&only["content"], &only["reactions"]), (&json!("before"), &json!({})));
    done(&world, &["user", "restore", &id]).await;
    rest.post("/messages", said).await.expect(201);
}

#[tokio::test]
async fn no_socket_of_a_suspended_user_stays_or_comes_back() {
    let world = World::start_with(UNPACED).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let group = open_group(&world.node().rest(&ada), std::slice::from_ref(&ben)).await;
    let mut hears = world.node().ws(&ben).await;
    let mut native = world.node().ws(&ada).await;
    let mut stock = SocketIo::connect(world.node(), &ada).await;
    let typing = json!({"conversationId": group, "isTyping": true});
    native.request("typing", typing.clone()).await.expect("let in");
    hears.event("userTyping").await;

    let id = ada.id.to_string();
    let answer = done(&world, &["user", "suspend", &id, "--for", "1h", "--reason", "spam"]).await;
    assert_eq!(answer["closedConnections"], 2, "{answer}");
    assert_eq!(native.closed().await, 4403);
    stock.event("disconnect").await;
    for (op, data) in [
        ("typing", typing),
        ("sendMessage", json!({"conversationId": group, "content": "me again"})),
        ("markAsRead", json!({"conversationId": group})),
    ] {
        let mut again = Ws::open(&world.node().url, "", Some(&ada.token)).await;
        // It may be closed already.
        let _ = again.try_send(op, data).await;
        assert_eq!(again.closed().await, 4403, "{op}");
        let answered: Vec<_> = again.kept().iter().filter(|frame| frame["ok"] == true).collect();
        assert!(answered.is_empty(), "{op}: {answered:?}");
    }
    let options = json!({"auth": {"token": ada.token}, "reconnection": false});
    let refusal = SocketIo::open(world.node(), &options).event("connect_error").await;
    assert_eq!(refusal["data"]["code"], "forbidden", "{refusal}");
    // Of all that nothing reaches the others, but that she types no more.
    hears.say(group, "are you there?").await;
    let typing = hears.take_events("userTyping");
    assert!(typing.iter().all(|event| event["data"]["isTyping"] == false), "{typing:?}");
    assert_eq!(history(&world.node().rest(&ben), group, 50).await.len(), 1);
}
