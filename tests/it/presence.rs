//! Who is online: told to those whom it concerns, once, and to nobody else.

mod degraded;
mod nodes;
mod visible;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, eventually};
use crate::harness::{Rest, User, World, Ws};

/// Quick enough for tests; a node's key lasts at least a second.
const QUICK: &[(&str, &str)] =
    &[("MESSAGING_PRESENCE_GRACE", "300ms"), ("MESSAGING_PRESENCE_NODE_TTL", "2s")];

impl Ws {
    /// The next change of somebody's status: who, and whether online.
    async fn status(&mut self) -> (Uuid, bool) {
        let data = self.event("userStatusChanged").await["data"].take();
        let online = data["isOnline"].as_bool().expect("a flag");
        assert_eq!(data["lastSeenAt"].is_null(), online, "{data}");
        assert!(data["timestamp"].is_string(), "{data}");
        (flow::uuid_of(&data["userId"]), online)
    }

    /// The states of users, and from now on their changes.
    async fn follow(&mut self, users: &[&User]) -> Value {
        let ids: Vec<Uuid> = users.iter().map(|user| user.id).collect();
        let reply = self.request("subscribePresence", json!({"userIds": ids})).await;
        reply.expect("states")["presence"].take()
    }
}

/// What `GET /presence` says.
async fn states(rest: &Rest, users: &[&User]) -> Value {
    let ids: Vec<String> = users.iter().map(|user| user.id.to_string()).collect();
    rest.get(&format!("/presence?userIds={}", ids.join(","))).await.expect(200)["presence"].take()
}

/// Waits until `rest` sees somebody online, or offline.
async fn seen(rest: &Rest, user: &User, online: bool) {
    eventually(&format!("{} online: {online}", user.name), async || {
        (states(rest, &[user]).await[0]["isOnline"] == online).then_some(())
    })
    .await;
}

async fn community(rest: &Rest) -> Uuid {
    let body = json!({"type": "community", "title": "All"});
    flow::id_of(&rest.post("/conversations", body).await.expect(201))
}

#[tokio::test]
async fn friends_hear_of_the_first_device_and_of_the_end_of_the_last_one() {
    let world = World::start_with(QUICK).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.node().rest(&ben);
    let direct = flow::open_direct(&rest, &ada).await;
    // Two conversations with the same people: told once all the same.
    flow::open_group(&rest, std::slice::from_ref(&ada)).await;
    let mut friend = world.node().ws(&ben).await;
    let phone = world.node().ws(&ada).await;
    assert_eq!(friend.status().await, (ada.id, true));
    let mut tablet = world.node().ws(&ada).await;
    assert_eq!(states(&rest, &[&ada]).await[0]["isOnline"], true);
    let view = rest.get(&format!("/conversations/{direct}")).await.expect(200);
    let people = view["participants"].as_array().expect("people");
    assert!(people.iter().all(|p| p["isOnline"] == true && p["lastSeenAt"].is_null()), "{view}");

    drop(phone);
    // The tablet's word comes after everything that the phone's end could have caused, grace included.
    tablet.say(direct, "still here").await;
    friend.messages(1).await;
    drop(tablet);
    assert_eq!(friend.status().await, (ada.id, false), "one word for both devices");
    seen(&rest, &ada, false).await;
    let state = states(&rest, &[&ada]).await;
    assert!(state[0]["lastSeenAt"].is_string(), "{state}");
    friend.has_no_more("userStatusChanged");
}

#[tokio::test]
async fn who_comes_back_within_the_grace_was_never_away() {
    let world = World::start_with(&[("MESSAGING_PRESENCE_GRACE", "1s")]).await;
    let (ada, ben, cem) = (world.user("Ada"), world.user("Ben"), world.user("Cem"));
    let rest = world.node().rest(&ben);
    flow::open_group(&rest, &[ada.clone(), cem.clone()]).await;
    let mut friend = world.node().ws(&ben).await;
    let first = world.node().ws(&ada).await;
    assert_eq!(friend.status().await, (ada.id, true));
    let other = world.node().ws(&cem).await;
    assert_eq!(friend.status().await, (cem.id, true));
    drop(first);
    let _second = world.node().ws(&ada).await;
    drop(other);
    // Cem's grace ends after the one that Ada did not need.
    assert_eq!(friend.status().await, (cem.id, false));
    friend.has_no_more("userStatusChanged");
    assert_eq!(states(&rest, &[&ada, &cem]).await[0]["isOnline"], true);
}
