//! Reactions: events like any other, and one last word on each.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::chat::Chat;
use crate::harness::flow::{self, UNPACED, eventually, history, id_of, place_of};
use crate::harness::socketio::SocketIo;
use crate::harness::{Worker, World};

/// Long enough for what should not come to have come.
const MOMENT: Duration = Duration::from_millis(300);

fn path(message: Uuid, emoji: &str) -> String {
    format!("/messages/{message}/reactions/{emoji}")
}

impl World {
    /// Kind, user, emoji and direction of every reaction in the log.
    async fn logged_reactions(&self) -> Vec<(String, String, bool)> {
        let events = self.logged().await;
        let reactions = events.iter().filter(|event| event.kind == "reactionUpdated");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        reactions
            .map(|e| (text(&e.data["userId"]), text(&e.data["emoji"]), e.data["added"] == true))
            .collect()
    }
}

#[tokio::test]
async fn a_reaction_is_heard_by_all_and_shown_wherever_the_message_is() {
    let chat = Chat::start().await;
    let [first, second] = [&chat.world.nodes()[0], &chat.world.nodes()[1]];
    let (ada, bayo) = (first.rest(&chat.ada), second.rest(&chat.bayo));
    let message = flow::send(&ada, chat.id, "Hello!").await;
    let (seq, id) = place_of(&message);
    let mut listening = first.ws(&chat.ada).await;
    let mut acting = second.ws(&chat.bayo).await;
    let mut app = SocketIo::connect(first, &chat.ada).await;

    let asked = json!({"messageId": id, "emoji": "👍"});
    let reply = acting.request("addReaction", asked.clone()).await.expect("added");
    assert_eq!(reply, json!({}));
    let heard = listening.event("reactionUpdated").await;
    let expected = json!({"messageId": id, "conversationId": chat.id, "seq": seq, "emoji": "👍",
        "userId": chat.bayo.id, "added": true});
    assert_eq!(heard["data"], expected);
    assert!(heard["cursor"].is_string(), "reactions are replayed");
    assert_eq!(app.event("reactionUpdated").await, expected);
    assert_eq!(acting.event("reactionUpdated").await["data"], expected, "one's own devices too");

    assert_eq!(app.emit("addReaction", asked).await, json!({"success": true}));
    ada.put(&path(id, "%E2%9D%A4"), json!({})).await.expect(200);
    let both = json!({
        "👍": {"count": 2, "userIds": [chat.bayo.id, chat.ada.id]},
        "❤️": {"count": 1, "userIds": [chat.ada.id]},
    });
    for rest in [&ada, &bayo] {
        let one = rest.get(&format!("/messages/{id}")).await.expect(200);
        assert_eq!(one["reactions"], both);
        assert_eq!(history(rest, chat.id, 10).await[0]["reactions"], both);
        let list = rest.get("/conversations").await.expect(200);
        assert_eq!(list["conversations"][0]["lastMessage"]["reactions"], both);
        assert_eq!(list["conversations"][0]["lastMessage"]["updatedAt"], message["updatedAt"]);
    }
    assert_eq!(flow::unread(&bayo, chat.id).await, 1, "a reaction is nothing to read");

    let edited = ada.put(&format!("/messages/{id}"), json!({"content": "Hi!"})).await.expect(200);
    assert_eq!(edited["reactions"], both);
    let heard = listening.event("messageUpdated").await;
    assert_eq!(heard["data"]["reactions"], both, "an edit wipes nothing");

    bayo.delete(&path(id, "%F0%9F%91%8D")).await.expect(200);
    let ack = app.emit("removeReaction", json!({"messageId": id, "emoji": "❤️"})).await;
    assert_eq!(ack, json!({"success": true}));
    let left = json!({"👍": {"count": 1, "userIds": [chat.ada.id]}});
    assert_eq!(bayo.get(&format!("/messages/{id}")).await.expect(200)["reactions"], left);
}

#[tokio::test]
async fn a_crowd_is_counted_and_whoever_asks_is_named_in_it() {
    let chat = Chat::start().await;
    let (ada, bayo) = (chat.world.node().rest(&chat.ada), chat.world.nodes()[1].rest(&chat.bayo));
    let (seq, id) = place_of(&flow::send(&ada, chat.id, "Hello!").await);
    chat.world.persisted().await;
    let database = chat.world.database.client().await;
    let sql = "INSERT INTO reactions (message_id, user_id, emoji, conversation_id, message_seq, seq, added)
               SELECT $1, gen_random_uuid(), '👍', $2, $3, 1, true FROM generate_series(1, 60)";
    let seq = i64::try_from(seq).expect("small");
    database.execute(sql, &[&id, &chat.id, &seq]).await.expect("a crowd");
    ada.put(&path(id, "👍"), json!({})).await.expect(200);
    for (rest, user, shown) in [(&ada, &chat.ada, 51), (&bayo, &chat.bayo, 50)] {
        for message in [
            rest.get(&format!("/messages/{id}")).await.expect(200),
            history(rest, chat.id, 1).await[0].take(),
        ] {
            let reacted = &message["reactions"]["👍"];
            let named = reacted["userIds"].as_array().expect("a list");
            assert_eq!((&reacted["count"], named.len()), (&json!(61), shown));
            assert_eq!(named.contains(&json!(user.id)), shown == 51);
        }
    }
}

#[tokio::test]
async fn what_is_so_already_is_told_to_nobody() {
    let chat = Chat::start().await;
    let rests: Vec<_> = chat.world.nodes().iter().map(|node| node.rest(&chat.bayo)).collect();
    let (_, id) = place_of(&flow::send(&rests[0], chat.id, "Hello!").await);
    let (node, mut listening) = (chat.world.node(), chat.world.node().ws(&chat.ada).await);
    let path = path(id, "👍");

    rests[0].delete(&path).await.expect(200);
    // The same on several devices at the same moment, through both nodes.
    let racing = (0..8).map(|n| rests[n % 2].put(&path, json!({})));
    for answer in futures_util::future::join_all(racing).await {
        answer.expect(200);
    }
    rests[1].put(&path, json!({})).await.expect(200);
    assert_eq!(chat.world.logged_reactions().await.len(), 1);
    rests[1].delete(&path).await.expect(200);
    rests[0].delete(&path).await.expect(200);
    rests[0].put(&path, json!({})).await.expect(200);
    let directions: Vec<bool> =
        chat.world.logged_reactions().await.into_iter().map(|(_, _, added)| added).collect();
    assert_eq!(directions, [true, false, true]);
    for added in directions {
        assert_eq!(listening.event("reactionUpdated").await["data"]["added"], added);
    }
    listening.no_event("reactionUpdated", MOMENT).await;
    let shown = node.rest(&chat.ada).get(&format!("/messages/{id}")).await.expect(200);
    assert_eq!(shown["reactions"]["👍"]["count"], 1);
}

#[tokio::test]
async fn what_is_no_reaction_is_refused_and_strangers_learn_nothing() {
    let chat = Chat::start().await;
    let (ada, bayo) = (chat.world.node().rest(&chat.ada), chat.world.node().rest(&chat.bayo));
    let stranger = chat.world.node().rest(&chat.world.user("Stranger"));
    let (_, id) = place_of(&flow::send(&ada, chat.id, "Hello!").await);
    for text in ["a", "%F0%9F%91%8D%F0%9F%91%8D", ":thumbsup:", "%20", &"x".repeat(2000), "%FF"] {
        let refused = bayo.put(&path(id, text), json!({})).await;
        refused.refused(StatusCode::BAD_REQUEST, "invalid");
    }
    bayo.put("/messages/7/reactions/x", json!({}))
        .await
        .refused(StatusCode::BAD_REQUEST, "invalid");
    for nobody in [&path(id, "👍"), &path(Uuid::new_v4(), "👍")] {
        let refused = stranger.put(nobody, json!({})).await;
        refused.refused(StatusCode::NOT_FOUND, "not_found");
    }
    let mut ws = chat.world.node().ws(&chat.bayo).await;
    let error = ws.request("addReaction", json!({"messageId": id, "emoji": "no"})).await;
    assert_eq!(error.expect_err("refused")["errors"][0]["field"], "emoji");
    let error = ws.request("removeReaction", json!({"messageId": id})).await;
    assert_eq!(error.expect_err("refused")["errors"][0]["field"], "emoji");

    let many = [
        "😀", "😁", "😂", "😃", "😄", "😅", "😆", "😇", "😈", "😉", "😊", "😋", "😌", "😍", "😎",
        "😏", "😐", "😑", "😒", "😓",
    ];
    for emoji in many {
        bayo.put(&path(id, emoji), json!({})).await.expect(200);
    }
    let refused = ada.put(&path(id, "👍"), json!({})).await;
    let problem = refused.refused(StatusCode::BAD_REQUEST, "invalid");
    assert_eq!(problem["errors"][0]["field"], "emoji");
    ada.put(&path(id, "😀"), json!({})).await.expect(200);

    ada.delete(&format!("/messages/{id}")).await.expect(200);
    for emoji in ["😀", "👍"] {
        let refused = bayo.put(&path(id, emoji), json!({})).await;
        refused.refused(StatusCode::CONFLICT, "conflict");
    }
}

#[tokio::test]
async fn a_deletion_takes_the_reactions_along_and_what_comes_behind_it_is_void() {
    let chat = Chat::start().await;
    let (ada, bayo) = (chat.world.node().rest(&chat.ada), chat.world.nodes()[1].rest(&chat.bayo));
    let message = flow::send(&ada, chat.id, "Hello!").await;
    let (seq, id) = place_of(&message);
    bayo.put(&path(id, "👍"), json!({})).await.expect(200);
    ada.delete(&format!("/messages/{id}")).await.expect(200);
    let mut listening = chat.world.nodes()[1].ws(&chat.ada).await;
    let late = json!({"messageId": id, "conversationId": chat.id, "seq": seq, "emoji": "❤️",
        "userId": chat.bayo.id, "added": true});
    chat.world.put_into_log(chat.id, "reactionUpdated", &late).await;
    let after = flow::send(&ada, chat.id, "after").await;
    assert_eq!(id_of(&listening.event("newMessage").await["data"]), id_of(&after));
    listening.has_no_more("reactionUpdated");
    for rest in [&ada, &bayo] {
        assert_eq!(history(rest, chat.id, 10).await[0]["reactions"], json!({}));
    }
    let database = chat.world.database.client().await;
    let rows = database.query("SELECT 1 FROM reactions", &[]).await.expect("rows");
    assert!(rows.is_empty());
}

#[tokio::test]
async fn a_log_that_is_read_again_changes_no_reaction() {
    let mut world = World::without_nodes().await;
    world.add_node_with(&["--role", "edge"], UNPACED).await;
    let mut first = Worker::start(&world, &[("MESSAGING_PERSISTER_BATCH_SIZE", "1")]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &bayo).await;
    let (_, kept) = place_of(&flow::send(&rest, direct, "kept").await);
    let (_, gone) = place_of(&flow::send(&rest, direct, "gone").await);
    for id in [kept, gone] {
        rest.put(&path(id, "👍"), json!({})).await.expect(200);
        rest.delete(&path(id, "👍")).await.expect(200);
        rest.put(&path(id, "❤️"), json!({})).await.expect(200);
    }
    rest.delete(&format!("/messages/{gone}")).await.expect(200);
    world.persisted().await;
    let before = world.reaction_rows().await;
    assert_eq!(before.len(), 2, "what was taken back is remembered: {before:?}");
    first.0.kill9().await;

    let database = world.database.client().await;
    database.execute("UPDATE progress SET last_seq = 0", &[]).await.expect("moved back");
    let _second = Worker::start(&world, &[("MESSAGING_PERSISTER_BATCH_SIZE", "1")]).await;
    world.persisted().await;
    assert_eq!(world.reaction_rows().await, before);
    let shown = history(&rest, direct, 10).await;
    assert_eq!(shown[0]["reactions"], json!({"❤️": {"count": 1, "userIds": [ada.id]}}));
    assert_eq!(shown[1]["reactions"], json!({}));
}

#[tokio::test]
async fn reactions_are_accepted_while_the_persister_is_away_and_the_last_word_stands() {
    let mut world = World::without_nodes().await;
    world.add_node_with(&["--role", "edge"], UNPACED).await;
    let mut first = Worker::start(&world, &[]).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &bayo).await;
    let (_, id) = place_of(&flow::send(&rest, direct, "Hello!").await);
    world.persisted().await;
    first.0.kill9().await;
    // Each of these finds Postgres behind what the log holds; what stands there is then no reason to do nothing.
    rest.put(&path(id, "👍"), json!({})).await.expect(200);
    rest.delete(&path(id, "👍")).await.expect(200);
    let _second = Worker::start(&world, &[]).await;
    world.persisted().await;
    let message = format!("/messages/{id}");
    let none =
        async || (rest.get(&message).await.expect(200)["reactions"] == json!({})).then_some(());
    eventually("it was taken back", none).await;
    assert_eq!(world.logged_reactions().await.len(), 2);
}

impl World {
    async fn reaction_rows(&self) -> Vec<(Uuid, String, i64, bool)> {
        let database = self.database.client().await;
        let sql = "SELECT message_id, emoji, seq, added FROM reactions ORDER BY seq";
        let rows = database.query(sql, &[]).await.expect("rows");
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
    }
}
