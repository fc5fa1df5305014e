//! Who wants to hear nothing of whom.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{eventually, id_of, open_direct, open_group, send};
use crate::harness::{Rest, User, World};

pub(super) async fn block(rest: &Rest, user: &User) {
    rest.call(Method::PUT, &format!("/blocks/{}", user.id), None).await.expect(204);
}

pub(super) async fn unblock(rest: &Rest, user: &User) {
    rest.delete(&format!("/blocks/{}", user.id)).await.expect(204);
}

/// Two people with a message of each in their direct conversation.
pub(super) struct Two {
    pub(super) world: World,
    pub(super) ada: User,
    pub(super) ben: User,
    pub(super) direct: Uuid,
    pub(super) of_ada: Value,
    pub(super) of_ben: Value,
}

impl Two {
    pub(super) async fn start() -> Self {
        let world = World::start().await;
        let (ada, ben) = (world.user("Ada"), world.user("Ben"));
        let direct = open_direct(&world.node().rest(&ada), &ben).await;
        let of_ada = send(&world.node().rest(&ada), direct, "from Ada").await;
        let of_ben = send(&world.node().rest(&ben), direct, "from Ben").await;
        Self { world, ada, ben, direct, of_ada, of_ben }
    }

    pub(super) fn rest(&self, user: &User) -> Rest {
        self.world.node().rest(user)
    }
}

#[tokio::test]
async fn nothing_passes_in_a_direct_conversation_either_way_until_it_is_undone() {
    let two = Two::start().await;
    let Two { world, ada, ben, direct, of_ada, of_ben } = &two;
    block(&two.rest(ada), ben).await;
    for (user, own, other) in [(ada, of_ada, of_ben), (ben, of_ben, of_ada)] {
        let rest = two.rest(user);
        let refused = async |method, path: &str, body| {
            let answer = rest.call(method, path, Some(&body)).await;
            answer.refused(StatusCode::FORBIDDEN, "forbidden");
        };
        let message = json!({"conversationId": direct, "content": "hello?"});
        refused(Method::POST, "/messages", message).await;
        let at = (jiff::Timestamp::now() + Duration::from_secs(60)).to_string();
        let later = json!({"conversationId": direct, "content": "hello?", "sendAt": at});
        refused(Method::POST, "/messages", later).await;
        let edit = format!("/messages/{}", id_of(own));
        refused(Method::PUT, &edit, json!({"content": "changed"})).await;
        refused(Method::PUT, &format!("/messages/{}/reactions/👍", id_of(other)), json!({})).await;
        let mut ws = world.node().ws(user).await;
        let typing = json!({"conversationId": direct, "isTyping": true});
        let error = ws.request("typing", typing).await.expect_err("refused");
        assert_eq!(error["code"], "forbidden");
        // What was said stays readable.
        let history = rest.get(&format!("/conversations/{direct}/messages")).await.expect(200);
        assert_eq!(history["messages"].as_array().map(Vec::len), Some(2));
    }
    unblock(&two.rest(ada), ben).await;
    for user in [ada, ben] {
        send(&two.rest(user), *direct, "again").await;
    }
}

#[tokio::test]
async fn another_node_refuses_a_moment_later_and_one_that_starts_then_from_the_start() {
    let mut two = Two::start().await;
    let there = two.world.add_node(&[]).await;
    let rest = two.world.nodes()[there].rest(&two.ben);
    block(&two.rest(&two.ada), &two.ben).await;
    let message = json!({"conversationId": two.direct, "content": "hello?"});
    eventually("a refusal", async || {
        (rest.post("/messages", message.clone()).await.status == 403).then_some(())
    })
    .await;
    let new = two.world.add_node(&[]).await;
    let rest = two.world.nodes()[new].rest(&two.ben);
    rest.post("/messages", message.clone()).await.refused(StatusCode::FORBIDDEN, "forbidden");
    unblock(&two.rest(&two.ada), &two.ben).await;
    eventually("no refusal", async || {
        (rest.post("/messages", message.clone()).await.status == 201).then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_conversation_is_opened_with_whoever_has_blocked_or_was_blocked() {
    let two = Two::start().await;
    let (ada, ben, cem) = (&two.ada, &two.ben, two.world.user("Cem"));
    two.rest(&cem).get("/conversations").await.expect(200);
    block(&two.rest(ada), ben).await;
    block(&two.rest(ada), &cem).await;
    for (asks, other) in [(&cem, ada), (ada, &cem)] {
        let direct = json!({"type": "direct", "participantIds": [other.id]});
        let refusal = two.rest(asks).post("/conversations", direct).await;
        refusal.refused(StatusCode::FORBIDDEN, "forbidden");
        let group = json!({"type": "group", "title": "x", "participantIds": [other.id, ben.id]});
        let refusal = two.rest(asks).post("/conversations", group).await;
        refusal.refused(StatusCode::FORBIDDEN, "forbidden");
    }
    // One that they have is found; nothing passes in it.
    let direct = json!({"type": "direct", "participantIds": [ada.id]});
    let found = two.rest(ben).post("/conversations", direct).await.expect(200);
    assert_eq!(id_of(&found), two.direct);
}

#[tokio::test]
async fn in_a_group_messages_flow_and_nobody_sees_the_other_there_or_typing() {
    let world = World::start().await;
    let (ada, ben, cem) = (world.user("Ada"), world.user("Ben"), world.user("Cem"));
    let node = world.node();
    let group = open_group(&node.rest(&ada), &[ben.clone(), cem.clone()]).await;
    let (mut of_ada, mut of_ben) = (node.ws(&ada).await, node.ws(&ben).await);
    let mut of_cem = node.ws(&cem).await;
    block(&node.rest(&ada), &ben).await;

    // The devices of who blocks are told, so that they can fold; nobody else's.
    let told = loop {
        let event = of_ada.event("conversationUpdated").await["data"].take();
        if event["change"] == "blocked" {
            break event;
        }
    };
    let blocked = |conversation: &Value, user: &User| {
        let participants = conversation["participants"].as_array().expect("people").clone();
        let found = participants.into_iter().find(|p| p["userId"] == json!(user.id));
        let found = found.expect("there");
        (found["isBlocked"] == true, found["isOnline"] == true)
    };
    assert_eq!(blocked(&told["conversation"], &ben), (true, false));
    let path = format!("/conversations/{group}");
    let seen = node.rest(&ben).get(&path).await.expect(200);
    assert_eq!(blocked(&seen, &ada), (false, false), "who is blocked does not learn it");
    let seen = node.rest(&cem).get(&path).await.expect(200);
    assert_eq!(blocked(&seen, &ben), (false, true));

    let presence = format!("/presence?userIds={}", ada.id);
    let status = node.rest(&ben).get(&presence).await.expect(200)["presence"][0].take();
    assert_eq!((&status["isOnline"], &status["lastSeenAt"]), (&json!(false), &Value::Null));

    let typing = json!({"conversationId": group, "isTyping": true});
    of_ben.request("typing", typing).await.expect("a group is open");
    assert_eq!(of_cem.event("userTyping").await["data"]["userId"], json!(ben.id));
    let said = of_ben.say(group, "still here").await;
    assert_eq!(of_ada.event("newMessage").await["data"]["id"], said["id"]);
    // Signals and events have no order among one another, so it is waited for a moment.
    of_ada.no_event("userTyping", Duration::from_millis(200)).await;
    assert!(
        of_ben.take_events("conversationUpdated").iter().all(|e| e["data"]["change"] != "blocked")
    );
}

#[tokio::test]
async fn what_was_scheduled_before_the_block_is_not_sent() {
    let two = Two::start().await;
    let at = (jiff::Timestamp::now() + Duration::from_secs(2)).to_string();
    let later = json!({"conversationId": two.direct, "content": "later", "sendAt": at});
    let id = id_of(&two.rest(&two.ben).post("/messages", later).await.expect(201));
    block(&two.rest(&two.ada), &two.ben).await;
    let client = two.world.database.client().await;
    eventually("the message fails", async || {
        let sql = "SELECT state FROM scheduled_messages WHERE id = $1";
        let row = client.query_one(sql, &[&id]).await.expect("a row");
        (row.get::<_, &str>(0) == "failed").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_list_is_ones_own_and_what_makes_no_sense_is_refused() {
    let two = Two::start().await;
    let (ada, ben) = (&two.ada, &two.ben);
    let rest = two.rest(ada);
    assert_eq!(rest.get("/blocks").await.expect(200), json!({"blocks": []}));
    block(&rest, ben).await;
    block(&rest, ben).await;
    let listed = rest.get("/blocks").await.expect(200);
    assert_eq!(listed["blocks"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["blocks"][0]["userId"], json!(ben.id));
    assert_eq!(two.rest(ben).get("/blocks").await.expect(200), json!({"blocks": []}));
    // Taking back what is not one's own changes nothing.
    unblock(&two.rest(ben), ada).await;
    assert_eq!(rest.get("/blocks").await.expect(200), listed);

    let put = async |id: String| rest.call(Method::PUT, &format!("/blocks/{id}"), None).await;
    put(ada.id.to_string()).await.refused(StatusCode::BAD_REQUEST, "invalid");
    put("ben".to_owned()).await.refused(StatusCode::BAD_REQUEST, "invalid");
    put(Uuid::new_v4().to_string()).await.refused(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn an_operator_makes_no_direct_conversation_around_it() {
    let two = Two::start().await;
    block(&two.rest(&two.ada), &two.ben).await;
    let (a, b) = (two.ada.id.to_string(), two.ben.id.to_string());
    let create = ["conversation", "create", "--type", "direct", "--creator", &a, "--with", &b];
    let there = two.world.run_admin_json(&create).await;
    assert_eq!((id_of(&there), &there["created"]), (two.direct, &json!(false)));
    let about = format!("event/{}", Uuid::new_v4());
    let another = [&create[..], &["--context", &about]].concat();
    two.world.run_admin(&another).await.refused(&["One of the two has blocked the other"]);
    unblock(&two.rest(&two.ada), &two.ben).await;
    assert_eq!(two.world.run_admin_json(&another).await["created"], true);
}
