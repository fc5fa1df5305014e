//! What is shown is kept true: one notification a conversation, replaced and withdrawn as messages change and are read.

use super::*;

#[tokio::test]
async fn a_read_on_one_device_withdraws_the_notification_from_all() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let (bayo, phone) = scene.somebody("Bayo").await;
    let tablet = device(&scene.world, &bayo, "ios").await;
    let direct = flow::open_direct(&scene.rest(&ada), &bayo).await;
    let first = flow::send(&scene.rest(&ada), direct, "one").await;
    flow::send(&scene.rest(&ada), direct, "two").await;
    scene.settled().await;
    for token in [&phone, &tablet] {
        let shown: Vec<String> = scene.received(token).await.iter().map(says).collect();
        assert_eq!(shown, ["Ada: one", "Ada: two"]);
    }
    let behind = scene.last().await;

    // What is shown is still unread.
    scene.read(&bayo, direct, Some(flow::id_of(&first))).await;
    scene.read(&bayo, direct, None).await;
    for token in [&phone, &tablet] {
        let pushed = scene.next(token, behind).await;
        assert_eq!((pushed.kind(), pushed.shown()), ("dismiss", None));
        assert_eq!(pushed.message["data"]["conversationId"], json!(direct));
        assert_eq!(pushed.message["data"]["badge"], "0");
    }
    scene.settled().await;
    assert_eq!(scene.last().await, behind + 2, "each once");
    scene.read(&bayo, direct, None).await;
    scene.settled().await;
    assert_eq!(scene.last().await, behind + 2, "nothing is shown any more");
}

#[tokio::test]
async fn a_read_that_nobody_told_of_is_found() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let (bayo, phone) = scene.somebody("Bayo").await;
    let direct = flow::open_direct(&scene.rest(&ada), &bayo).await;
    flow::send(&scene.rest(&ada), direct, "one").await;
    let behind = scene.next(&phone, 0).await.number;
    scene.settled().await;
    // The same without a signal, as when it got lost.
    let database = scene.world.database.client().await;
    let sql = "UPDATE conversation_participants SET last_read_seq = 1000000 WHERE user_id = $1";
    database.execute(sql, &[&bayo.id]).await.expect("a row");
    assert_eq!(scene.next(&phone, behind).await.kind(), "dismiss");
}

#[tokio::test]
async fn an_answer_from_one_device_withdraws_what_the_others_show() {
    let scene = Scene::start().await;
    let (ada, adas) = scene.somebody("Ada").await;
    let (bayo, phone) = scene.somebody("Bayo").await;
    let direct = flow::open_direct(&scene.rest(&ada), &bayo).await;
    flow::send(&scene.rest(&ada), direct, "one").await;
    let behind = scene.next(&phone, 0).await.number;
    scene.settled().await;
    flow::send(&scene.rest(&bayo), direct, "two").await;
    assert_eq!(scene.next(&phone, behind).await.kind(), "dismiss");
    assert_eq!(says(&scene.next(&adas, behind).await), "Bayo: two");
}

#[tokio::test]
async fn an_edit_replaces_what_is_shown_without_a_sound_and_nothing_else() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let rest = scene.rest(&ada);
    let (bayo, phone) = scene.somebody("Bayo").await;
    let direct = flow::open_direct(&rest, &bayo).await;
    let first = flow::send(&rest, direct, "one").await;
    let second = flow::send(&rest, direct, "two").await;
    scene.settled().await;
    let behind = scene.last().await;
    let edit = async |message: &serde_json::Value, content: &str| {
        let path = format!("/messages/{}", flow::id_of(message));
        rest.put(&path, json!({ "content": content })).await.expect(200);
    };
    edit(&first, "one, edited").await;
    edit(&second, "two, edited").await;
    let pushed = scene.next(&phone, behind).await;
    assert_eq!((says(&pushed).as_str(), pushed.rings()), ("Ada: two, edited", false));
    assert_eq!(pushed.message["data"]["messageId"], second["id"]);
    scene.settled().await;
    assert_eq!(scene.last().await, behind + 1);
    scene.read(&bayo, direct, None).await;
    assert_eq!(scene.next(&phone, behind + 1).await.kind(), "dismiss");
    scene.settled().await;
    edit(&second, "two, edited when it was read").await;
    scene.settled().await;
    assert_eq!(scene.last().await, behind + 2);
}

#[tokio::test]
async fn a_deletion_withdraws_what_is_shown_or_shows_what_is_unread_before_it() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let rest = scene.rest(&ada);
    let (bayo, phone) = scene.somebody("Bayo").await;
    let direct = flow::open_direct(&rest, &bayo).await;
    let first = flow::send(&rest, direct, "one").await;
    let second = flow::send(&rest, direct, "two").await;
    scene.settled().await;
    let behind = scene.last().await;
    let delete = async |message: &serde_json::Value| {
        rest.delete(&format!("/messages/{}", flow::id_of(message))).await;
    };
    delete(&second).await;
    let pushed = scene.next(&phone, behind).await;
    assert_eq!((says(&pushed).as_str(), pushed.rings()), ("Ada: one", false));
    scene.settled().await;
    delete(&first).await;
    let pushed = scene.next(&phone, behind + 1).await;
    assert_eq!(pushed.kind(), "dismiss");
    scene.settled().await;
    assert_eq!(scene.last().await, behind + 2);
}

#[tokio::test]
async fn the_badge_is_what_is_unread_at_the_moment_of_sending() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let rest = scene.rest(&ada);
    let (bayo, phone) = scene.somebody("Bayo").await;
    let direct = flow::open_direct(&rest, &bayo).await;
    let group = flow::open_group(&rest, std::slice::from_ref(&bayo)).await;
    let muted = flow::open_group(&rest, std::slice::from_ref(&bayo)).await;
    scene.mute(&bayo, muted).await;
    let mut behind = 0;
    for (conversation, expected) in [(direct, 1), (group, 2), (direct, 3)] {
        flow::send(&rest, muted, "unheard").await;
        flow::send(&rest, conversation, "heard").await;
        let pushed = scene.next(&phone, behind).await;
        behind = pushed.number;
        assert_eq!(badge(&pushed), Some(expected));
        assert_eq!(scene.unread(&bayo).await, expected);
    }
    scene.read(&bayo, direct, None).await;
    let pushed = scene.next(&phone, behind).await;
    assert_eq!((pushed.kind(), pushed.message["data"]["badge"].as_str()), ("dismiss", Some("1")));
}
