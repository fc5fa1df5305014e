//! The list of one's conversations: order, pages, filters.

use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::{conversation, fields, ids, say, unhurried};

#[tokio::test(flavor = "multi_thread")]
async fn pinned_come_first_then_the_newest_activity() {
    let world = unhurried().await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(conversation(&rest, "direct", &[&world.user(&format!("Friend {n}"))]).await);
    }
    let list = rest.get("/conversations").await.expect(200);
    let newest_first: Vec<_> = made.iter().rev().cloned().collect();
    assert_eq!(ids(&list["conversations"]), newest_first);
    assert_eq!((&list["total"], &list["page"]), (&json!(5), &json!(1)));
    assert_eq!((&list["limit"], &list["nextCursor"]), (&json!(20), &json!(null)));
    say(&rest, &made[1], "up").await;
    rest.post(&format!("/conversations/{}/pin", made[0]), json!({})).await.expect(200);
    let list = rest.get("/conversations").await.expect(200);
    let order = [0, 1, 4, 3, 2].map(|n| made[n].clone());
    assert_eq!(ids(&list["conversations"]), order);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_cursors_show_each_conversation_once() {
    let world = unhurried().await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    for _ in 0..7 {
        conversation(&rest, "group", &[&world.user("Friend")]).await;
    }
    let all = ids(&rest.get("/conversations").await.expect(200)["conversations"]);
    let mut paged = Vec::new();
    for page in 1..=4 {
        let list = rest.get(&format!("/conversations?page={page}&limit=2")).await.expect(200);
        assert_eq!(list["total"], json!(7));
        paged.extend(ids(&list["conversations"]));
    }
    assert_eq!(paged, all);
    let mut followed = Vec::new();
    let mut path = "/conversations?limit=3".to_owned();
    loop {
        let list = rest.get(&path).await.expect(200);
        followed.extend(ids(&list["conversations"]));
        match list["nextCursor"].as_str() {
            Some(cursor) => path = format!("/conversations?limit=3&before={cursor}"),
            None => break,
        }
    }
    assert_eq!(followed, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose() {
    let world = unhurried().await;
    let (ada, zoe) = (world.user("Ada"), world.user("Zoë 100%"));
    let rest = world.node().rest(&ada);
    // Names are known once their owners came by.
    world.node().rest(&zoe).get("/conversations").await.expect(200);
    let direct = conversation(&rest, "direct", &[&zoe]).await;
    let group = conversation(&rest, "group", &[&world.user("Friend")]).await;
    let about = format!(
        "/conversations/event/{}?organizerId={}&title=Jazz",
        Uuid::new_v4(),
        Uuid::new_v4()
    );
    let event = super::id_of(&rest.get(&about).await.expect(200));
    let archived = conversation(&rest, "group", &[&world.user("Friend")]).await;
    rest.post(&format!("/conversations/{archived}/archive"), json!({})).await.expect(200);
    for (query, expected) in [
        ("archived=true", vec![&archived]),
        ("archived=false", vec![&event, &group, &direct]),
        ("type=group", vec![&group]),
        ("type=direct", vec![&event, &direct]),
        ("contextType=event", vec![&event]),
        ("q=jAzZ", vec![&event]),
        ("q=a%20title", vec![&group]),
        ("q=%25", vec![&direct]),
        ("q=ZO", vec![&direct]),
        ("q=1_0", vec![]),
        ("q=nothing", vec![]),
    ] {
        let list = rest.get(&format!("/conversations?{query}")).await.expect(200);
        let found = ids(&list["conversations"]);
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
        assert_eq!(list["total"], json!(expected.len()), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_query_is_named() {
    let world = unhurried().await;
    let rest = world.node().rest(&world.user("Ada"));
    for (query, wrong) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("page=0", "page"),
        ("before=forged", "before"),
        ("archived=perhaps", "archived"),
        ("type=club", "type"),
        ("contextType=party", "contextType"),
        ("q=a%00b", "q"),
    ] {
        let answer = rest.get(&format!("/conversations?{query}")).await;
        assert_eq!(fields(&answer.refused(StatusCode::BAD_REQUEST, "invalid")), [wrong], "{query}");
    }
}
