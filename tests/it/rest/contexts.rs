//! Conversations about events, businesses and listings.

use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::{fields, id_of, say, unhurried};

#[tokio::test(flavor = "multi_thread")]
async fn a_context_route_gets_or_creates_and_suggests_a_first_message() {
    let world = unhurried().await;
    let (ada, owner) = (world.user("Ada"), world.user("Owner"));
    let rest = world.node().rest(&ada);
    for (kind, parameter, suggested) in [
        ("event", "organizerId", "Hi! I'm interested in your event: Lagos Jazz Night"),
        (
            "business",
            "ownerId",
            "Hi! I'm interested in your services. I'd like to inquire about...",
        ),
        ("listing", "sellerId", "Hi! Is \"Lagos Jazz Night\" still available?"),
    ] {
        let id = Uuid::new_v4();
        let path = format!(
            "/conversations/{kind}/{id}?{parameter}={}&title=Lagos%20Jazz%20Night",
            owner.id
        );
        let got = rest.get(&path).await.expect(200);
        assert_eq!((&got["type"], &got["contextType"]), (&json!("direct"), &json!(kind)));
        assert_eq!(got["context"]["title"], json!("Lagos Jazz Night"));
        assert_eq!(got["suggestedMessage"], json!(suggested));
        let posted = rest.post(&path, json!({})).await.expect(200);
        assert_eq!(posted["id"], got["id"]);
        say(&rest, &id_of(&got), suggested).await;
        let got = rest.get(&path).await.expect(200);
        assert_eq!(got.get("suggestedMessage"), None);
        let fresh = format!("/conversations/{kind}/{}?{parameter}={}", Uuid::new_v4(), owner.id);
        rest.post(&fresh, json!({})).await.expect(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_owner_is_binding() {
    let world = unhurried().await;
    let (ada, owner, other) = (world.user("Ada"), world.user("Owner"), world.user("Other"));
    let rest = world.node().rest(&ada);
    let id = Uuid::new_v4();
    let database = world.database.client().await;
    let sql = "INSERT INTO contexts (type, id, title, owner_id, url) VALUES ('event', $1, 'Stored', $2, 'https://x/e')";
    database.execute(sql, &[&id, &owner.id]).await.expect("stored");
    let path =
        |organizer: Uuid| format!("/conversations/event/{id}?organizerId={organizer}&title=Told");
    let answer = rest.get(&path(other.id)).await;
    answer.refused(StatusCode::FORBIDDEN, "forbidden");
    let got = rest.get(&path(owner.id)).await.expect(200);
    // What the owning service says counts, not what a caller told.
    assert_eq!(
        (&got["context"]["title"], &got["context"]["url"]),
        (&json!("Stored"), &json!("https://x/e"))
    );
    let unnamed = rest.get(&format!("/conversations/event/{id}")).await.expect(200);
    assert_eq!(unnamed["id"], got["id"]);
    let direct = json!({
        "type": "direct", "participantIds": [other.id], "contextType": "event", "contextId": id,
    });
    rest.post("/conversations", direct).await.refused(StatusCode::FORBIDDEN, "forbidden");
    let own = world.node().rest(&owner).get(&format!("/conversations/event/{id}")).await;
    own.refused(StatusCode::BAD_REQUEST, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_needs_another_person() {
    let world = unhurried().await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    let id = Uuid::new_v4();
    for (path, wrong) in [
        (format!("/conversations/event/{id}?organizerId={}", ada.id), "organizerId"),
        (format!("/conversations/event/{id}"), "organizerId"),
        (format!("/conversations/business/{id}?ownerId=7"), "ownerId"),
        (format!("/conversations/listing/{id}?organizerId={}", Uuid::new_v4()), "sellerId"),
        (format!("/conversations/listing/7?sellerId={}", Uuid::new_v4()), "listingId"),
        (
            format!(
                "/conversations/event/{id}?organizerId={}&title={}",
                Uuid::new_v4(),
                "x".repeat(201)
            ),
            "title",
        ),
    ] {
        let problem = rest.get(&path).await.refused(StatusCode::BAD_REQUEST, "invalid");
        assert_eq!(fields(&problem), [wrong], "{path}");
    }
}
