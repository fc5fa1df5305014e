//! Mentions name participants, and nobody else.

use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::harness::World;
use crate::harness::flow::{self, UNPACED, history, id_of};
use crate::harness::socketio::SocketIo;

#[tokio::test]
async fn only_participants_can_be_mentioned() {
    let mut world = World::start_with(UNPACED).await;
    world.add_node(UNPACED).await;
    let (ada, bayo, chidi) = (world.user("Ada"), world.user("Bayo"), world.user("Chidi"));
    let rest = world.node().rest(&ada);
    let group = flow::open_group(&rest, std::slice::from_ref(&bayo)).await;
    let mut app = SocketIo::connect(world.node(), &ada).await;
    let mut ws = world.nodes()[1].ws(&ada).await;
    let body = |who: &[Uuid]| json!({"conversationId": group, "content": "@x", "mentions": who});

    // Connected here, connected elsewhere or not at all.
    let _connected = world.node().ws(&bayo).await;
    for (node, who) in [(0, vec![bayo.id]), (1, vec![bayo.id, ada.id]), (0, vec![ada.id])] {
        let sent = world.nodes()[node].rest(&ada).post("/messages", body(&who)).await.expect(201);
        assert_eq!(sent["mentions"], json!(who));
    }
    for who in [vec![chidi.id], vec![bayo.id, chidi.id], vec![Uuid::new_v4()]] {
        let refused = rest.post("/messages", body(&who)).await;
        let problem = refused.refused(StatusCode::BAD_REQUEST, "invalid");
        assert_eq!(problem["errors"][0]["field"], "mentions");
        let error = ws.request("sendMessage", body(&who)).await.expect_err("refused");
        assert_eq!(
            (&error["code"], &error["errors"][0]["field"]),
            (&json!("invalid"), &json!("mentions"))
        );
        let ack = app.emit("sendMessage", body(&who)).await;
        assert_eq!((&ack["success"], &ack["code"]), (&json!(false), &json!("invalid")), "{ack}");
    }

    // With those who come and go.
    let added = json!({"userIds": [chidi.id]});
    rest.post(&format!("/conversations/{group}/participants"), added).await;
    rest.post("/messages", body(&[chidi.id])).await.expect(201);
    rest.delete(&format!("/conversations/{group}/participants/{}", chidi.id)).await;
    rest.post("/messages", body(&[chidi.id])).await.refused(StatusCode::BAD_REQUEST, "invalid");
    assert_eq!(history(&rest, group, 50).await.len(), 4, "nothing of what was refused was sent");
}

#[tokio::test]
async fn mentions_survive_an_edit_and_end_with_the_message() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &bayo).await;
    let mut listening = world.node().ws(&bayo).await;
    let body = json!({"conversationId": direct, "content": "@Bayo", "mentions": [bayo.id]});
    let id = id_of(&rest.post("/messages", body).await.expect(201));
    let path = format!("/messages/{id}");
    let edited = rest.put(&path, json!({"content": "@Bayo!"})).await.expect(200);
    assert_eq!(edited["mentions"], json!([bayo.id]));
    assert_eq!(listening.event("messageUpdated").await["data"]["mentions"], json!([bayo.id]));
    assert_eq!(rest.get(&path).await.expect(200)["mentions"], json!([bayo.id]));
    assert_eq!(rest.delete(&path).await.expect(200)["mentions"], json!([]));
    assert_eq!(rest.get(&path).await.expect(200)["mentions"], json!([]));
}
