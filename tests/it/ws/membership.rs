//! Conversations that a user gains or loses while connected, on the node that makes the change and on another.

use serde_json::json;
use uuid::Uuid;

use crate::harness::flow::{id_of, open_direct, open_group};
use crate::harness::{Node, Rest, User, World, Ws};

/// Where the change is made, and where those are connected whom it concerns.
struct Stage {
    world: World,
    /// The node of the second half.
    there: usize,
}

impl Stage {
    async fn same_node() -> Self {
        Self { world: World::start().await, there: 0 }
    }

    async fn two_nodes() -> Self {
        let mut world = World::start().await;
        let there = world.add_node(&[]).await;
        Self { world, there }
    }

    fn here(&self) -> &Node {
        self.world.node()
    }

    fn there(&self) -> &Node {
        &self.world.nodes()[self.there]
    }
}

/// Hears the message, having been told of the conversation before.
async fn hears(ws: &mut Ws, content: &str) {
    assert_eq!(ws.event("newMessage").await["data"]["content"], content);
}

/// Makes sure that nothing of `silent` arrived: what comes later in the log, through `other`, comes first.
async fn heard_nothing(ws: &mut Ws, other: Uuid, speaker: &mut Ws) {
    speaker.say(other, "a message elsewhere").await;
    hears(ws, "a message elsewhere").await;
}

async fn ok(rest: &Rest, path: &str, body: serde_json::Value) {
    let answer = rest.post(path, body).await;
    assert!((200..300).contains(&answer.status), "{path}: {}", answer.body);
}

async fn change(ws: &mut Ws, conversation: Uuid, change: &str) {
    loop {
        let data = ws.event("conversationUpdated").await["data"].take();
        if data["conversationId"] == json!(conversation) && data["change"] == change {
            return;
        }
    }
}

async fn created(stage: Stage) {
    let (ada, bayo) = (stage.world.user("Ada"), stage.world.user("Bayo"));
    let mut here = stage.here().ws(&ada).await;
    let mut phone = stage.there().ws(&bayo).await;
    let mut laptop = stage.there().ws(&bayo).await;
    for content in ["a direct one", "a group"] {
        let conversation = match content {
            "a group" => open_group(&stage.here().rest(&ada), std::slice::from_ref(&bayo)).await,
            _ => open_direct(&stage.here().rest(&ada), &bayo).await,
        };
        here.say(conversation, content).await;
        for ws in [&mut phone, &mut laptop] {
            change(ws, conversation, "created").await;
            hears(ws, content).await;
        }
        // And may speak in it at once.
        phone.say(conversation, "an answer").await;
        hears(&mut here, content).await;
        hears(&mut here, "an answer").await;
        hears(&mut phone, "an answer").await;
        hears(&mut laptop, "an answer").await;
    }
}

#[tokio::test]
async fn a_conversation_created_here_flows_at_once() {
    created(Stage::same_node().await).await;
}

#[tokio::test]
async fn a_conversation_created_on_another_node_flows_at_once() {
    created(Stage::two_nodes().await).await;
}

/// Ada, Bayo and Chidi; a group of Ada and Chidi, and a direct conversation of Ada and Bayo for comparison.
struct Cast {
    ada: User,
    bayo: User,
    group: Uuid,
    direct: Uuid,
    here: Ws,
    bayo_ws: Ws,
}

async fn cast(stage: &Stage) -> Cast {
    let world = &stage.world;
    let (ada, bayo, chidi) = (world.user("Ada"), world.user("Bayo"), world.user("Chidi"));
    let group = open_group(&stage.here().rest(&ada), std::slice::from_ref(&chidi)).await;
    let direct = open_direct(&stage.here().rest(&ada), &bayo).await;
    let here = stage.here().ws(&ada).await;
    let bayo_ws = stage.there().ws(&bayo).await;
    Cast { ada, bayo, group, direct, here, bayo_ws }
}

async fn added_and_removed(stage: Stage) {
    let mut c = cast(&stage).await;
    let rest = stage.here().rest(&c.ada);
    let participants = format!("/conversations/{}/participants", c.group);
    for round in ["first", "second"] {
        c.here.say(c.group, "before").await;
        ok(&rest, &participants, json!({"userIds": [c.bayo.id]})).await;
        c.here.say(c.group, round).await;
        change(&mut c.bayo_ws, c.group, "participantsAdded").await;
        hears(&mut c.bayo_ws, round).await;

        let answer = rest.delete(&format!("{participants}/{}", c.bayo.id)).await;
        assert!((200..300).contains(&answer.status), "{}", answer.body);
        c.here.say(c.group, "not for Bayo").await;
        change(&mut c.bayo_ws, c.group, "participantsRemoved").await;
        heard_nothing(&mut c.bayo_ws, c.direct, &mut c.here).await;
        let send = json!({"conversationId": c.group, "content": "may I?"});
        let error = c.bayo_ws.request("sendMessage", send).await.expect_err("no longer in");
        assert_eq!(error["code"], "not_a_participant");
    }
}

#[tokio::test]
async fn who_is_added_hears_at_once_and_who_is_removed_no_more() {
    added_and_removed(Stage::same_node().await).await;
}

#[tokio::test]
async fn who_is_added_on_another_node_hears_at_once_and_who_is_removed_no_more() {
    added_and_removed(Stage::two_nodes().await).await;
}

async fn joined_and_left(stage: Stage) {
    let mut c = cast(&stage).await;
    let body = json!({"type": "community", "title": "A community"});
    let community =
        id_of(&stage.here().rest(&c.ada).post("/conversations", body).await.expect(201));
    // Bayo's requests go to Ada's node, Bayo's socket is on the other.
    let rest = stage.here().rest(&c.bayo);
    let path = format!("/conversations/{community}");
    c.here.say(community, "before").await;
    ok(&rest, &format!("{path}/join"), json!({})).await;
    c.here.say(community, "welcome").await;
    change(&mut c.bayo_ws, community, "participantsAdded").await;
    hears(&mut c.bayo_ws, "welcome").await;
    ok(&rest, &format!("{path}/leave"), json!({})).await;
    c.here.say(community, "gone").await;
    heard_nothing(&mut c.bayo_ws, c.direct, &mut c.here).await;
}

#[tokio::test]
async fn who_joins_a_community_hears_it_until_leaving() {
    joined_and_left(Stage::same_node().await).await;
}

#[tokio::test]
async fn who_joins_a_community_on_another_node_hears_it_until_leaving() {
    joined_and_left(Stage::two_nodes().await).await;
}

#[tokio::test]
async fn who_was_removed_cannot_listen_on_by_having_joined_its_live_events() {
    let stage = Stage::two_nodes().await;
    let mut c = cast(&stage).await;
    let rest = stage.here().rest(&c.ada);
    let participants = format!("/conversations/{}/participants", c.group);
    ok(&rest, &participants, json!({"userIds": [c.bayo.id]})).await;
    change(&mut c.bayo_ws, c.group, "participantsAdded").await;
    let which = json!({"conversationId": c.group});
    c.bayo_ws.request("joinConversation", which.clone()).await.expect("a participant");
    let answer = rest.delete(&format!("{participants}/{}", c.bayo.id)).await;
    assert!((200..300).contains(&answer.status), "{}", answer.body);
    change(&mut c.bayo_ws, c.group, "participantsRemoved").await;
    let error = c.bayo_ws.request("joinConversation", which).await.expect_err("no longer in");
    assert_eq!(error["code"], "not_a_participant");
    c.here.say(c.group, "secret").await;
    heard_nothing(&mut c.bayo_ws, c.direct, &mut c.here).await;
}

#[tokio::test]
async fn all_signals_of_one_node_reach_the_other() {
    let stage = Stage::two_nodes().await;
    let mut c = cast(&stage).await;
    let typing = json!({"conversationId": c.direct, "isTyping": true});
    c.here.request("typing", typing).await.expect("fine");
    assert_eq!(c.bayo_ws.event("userTyping").await["data"]["userId"], c.ada.id.to_string());
    let message = c.here.say(c.direct, "read me").await;
    hears(&mut c.bayo_ws, "read me").await;
    let read = c.bayo_ws.request("markAsRead", json!({"conversationId": c.direct})).await;
    assert_eq!(read.expect("marked"), json!({"unreadCount": 0}));
    assert_eq!(c.here.event("messageRead").await["data"]["seq"], message["seq"]);
}
