//! Who is alerted, when, and who is not.

use super::*;

#[tokio::test]
async fn somebody_without_a_connection_is_alerted_at_once_on_each_device() {
    let scene = Scene::start_with(&[LONG_GRACE]).await;
    let ada = scene.world.user("Ada");
    let (bayo, phone) = scene.somebody("Bayo").await;
    let browser = device(&scene.world, &bayo, "web").await;
    let direct = flow::open_direct(&scene.rest(&ada), &bayo).await;
    // Presence counts as known a moment after the start; whoever was alerted at once proves that it is.
    eventually("alerts come at once", async || {
        flow::send(&scene.rest(&ada), direct, "are you there?").await;
        let pushed = scene.fcm.wait_for(1, Duration::from_millis(300)).await;
        (!pushed.is_empty()).then_some(())
    })
    .await;
    let behind = scene.last().await;
    let message = flow::send(&scene.rest(&ada), direct, "Hello!").await;
    for token in [&phone, &browser] {
        let is_it = |p: &Pushed| {
            (p.token == *token && p.number > behind && says(p) == "Ada: Hello!").then(|| p.clone())
        };
        let pushed = scene.fcm.find(is_it).await;
        let data = &pushed.message["data"];
        assert_eq!(data["conversationId"], json!(direct));
        assert_eq!(data["messageId"], message["id"]);
        assert_eq!(data["type"], "new_message");
        assert!(pushed.rings());
        assert_eq!(badge(&pushed), Some(scene.unread(&bayo).await));
    }
}

#[tokio::test]
async fn whoever_has_received_it_is_left_alone_and_whoever_only_seems_connected_is_alerted_later() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let (bayo, bayos) = scene.somebody("Bayo").await;
    let (chi, chis) = scene.somebody("Chi").await;
    let (dayo, dayos) = scene.somebody("Dayo").await;
    let group = flow::open_group(&scene.rest(&ada), &[bayo.clone(), chi.clone(), dayo]).await;
    let listening = scene.ws(&bayo).await.listen();
    // Nobody reads this one, so nothing answers the server's pings.
    let dead = scene.ws(&chi).await;
    flow::send(&scene.rest(&ada), group, "Hello!").await;
    let last = scene.next(&dayos, 0).await;
    assert_eq!(says(&last), "Test: Ada: Hello!");
    let late = scene.next(&chis, 0).await;
    scene.settled().await;
    assert!(scene.received(&bayos).await.is_empty());
    assert_eq!(scene.fcm.received().await.len(), 2, "each once");
    assert!(late.at >= last.at || late.at >= SECOND, "not before the grace");
    drop((listening, dead));
}

#[tokio::test]
async fn what_waited_for_a_connection_that_is_gone_rings_before_what_is_newer() {
    let scene = Scene::start_with(&[LONG_GRACE]).await;
    let rest = scene.rest(&scene.world.user("Ada"));
    let (bayo, phone) = scene.somebody("Bayo").await;
    let direct = flow::open_direct(&rest, &bayo).await;
    let database = scene.world.database.client().await;
    // Sends, waits for the first look and whatever follows from it at once, and says what the phone was shown until then.
    let send = async |text: &str| {
        let message = flow::send(&rest, direct, text).await;
        let seq = i64::try_from(message["seq"].as_u64().expect("a number")).expect("small");
        let sql = "SELECT (SELECT last_seq FROM progress WHERE name = 'push') >= $1
                          AND NOT EXISTS (SELECT FROM push_jobs)";
        eventually("it is looked at", async || {
            let row = database.query_one(sql, &[&seq]).await.expect("a row");
            row.get::<_, bool>(0).then_some(())
        })
        .await;
        scene.received(&phone).await.iter().map(says).collect::<Vec<_>>()
    };
    eventually("who has no connection is alerted at once", async || {
        (!send("probe").await.is_empty()).then_some(())
    })
    .await;
    // Nobody reads this one, so nothing proves what is written to it.
    let dead = scene.ws(&bayo).await;
    let mut before = Vec::new();
    eventually("who has one is not", async || {
        before = send("one").await;
        before.last().is_none_or(|shown| shown != "Ada: one").then_some(())
    })
    .await;
    send("two").await;
    drop(dead);
    let mut shown = Vec::new();
    let mut sent = 2;
    eventually("the connection is gone", async || {
        sent += 1;
        shown = send("three").await;
        (shown.len() > before.len()).then_some(())
    })
    .await;
    let mut expected = vec!["Ada: one", "Ada: two"];
    expected.resize(sent, "Ada: three");
    assert_eq!(shown[before.len()..], expected);
    assert!(scene.received(&phone).await.iter().all(Pushed::rings));
}

#[tokio::test]
async fn nobody_is_alerted_who_muted_blocked_left_came_later_or_wrote_it() {
    let scene = Scene::start().await;
    let (ada, adas) = scene.somebody("Ada").await;
    let mut people = Vec::new();
    for name in ["Muted", "Until", "Blocker", "Blocked", "Left", "Open"] {
        people.push(scene.somebody(name).await);
    }
    let users: Vec<User> = people.iter().map(|(user, _)| user.clone()).collect();
    let [muted, until, blocker, blocked, left, _open] = &users[..] else { panic!("six") };
    let rest = scene.rest(&ada);
    let group = flow::open_group(&rest, &users).await;
    scene.mute(muted, group).await;
    let path = format!("/conversations/{group}/mute");
    let far_off = json!({"until": "2999-01-01T00:00:00.000Z"});
    scene.rest(until).post(&path, far_off).await.expect(200);
    let database = scene.world.database.client().await;
    let block = "INSERT INTO blocks (blocker_id, blocked_id) VALUES ($1, $2)";
    database.execute(block, &[&blocker.id, &ada.id]).await.expect("a row");
    database.execute(block, &[&ada.id, &blocked.id]).await.expect("a row");
    rest.delete(&format!("/conversations/{group}/participants/{}", left.id)).await;

    flow::send(&rest, group, "Hello!").await;
    scene.settled().await;
    let (late, lates) = scene.somebody("Late").await;
    let path = format!("/conversations/{group}/participants");
    rest.post(&path, json!({"userIds": [late.id]})).await;
    scene.settled().await;
    let received = scene.fcm.received().await;
    let tokens: Vec<&str> = received.iter().map(|pushed| pushed.token.as_str()).collect();
    assert_eq!(tokens, [people[5].1.as_str()], "Open alone, once");

    // The mute is over, and whoever came is there.
    let over = "UPDATE conversation_participants SET muted_until = now() - interval '1 s' WHERE user_id = $1";
    database.execute(over, &[&until.id]).await.expect("a row");
    flow::send(&rest, group, "And again!").await;
    scene.settled().await;
    let received = scene.fcm.received().await;
    let mut tokens: Vec<&str> = received[1..].iter().map(|pushed| pushed.token.as_str()).collect();
    let mut expected = vec![people[1].1.as_str(), people[5].1.as_str(), lates.as_str()];
    tokens.sort_unstable();
    expected.sort_unstable();
    assert_eq!(tokens, expected);
    assert!(!tokens.contains(&adas.as_str()));
}

#[tokio::test]
async fn a_mention_pierces_a_mute_where_the_user_allows_it() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let (bayo, bayos) = scene.somebody("Bayo").await;
    let (chi, _) = scene.somebody("Chi").await;
    let group = flow::open_group(&scene.rest(&ada), &[bayo.clone(), chi.clone()]).await;
    let allowed = json!({"mentionsPierceMute": true});
    scene.rest(&bayo).put("/me/notifications", allowed).await.expect(200);
    scene.mute(&bayo, group).await;
    scene.mute(&chi, group).await;
    flow::send(&scene.rest(&ada), group, "to nobody").await;
    let mention = json!({
        "conversationId": group, "content": "@Bayo @Chi", "mentions": [bayo.id, chi.id],
    });
    scene.rest(&ada).post("/messages", mention).await.expect(201);
    scene.settled().await;
    let received = scene.fcm.received().await;
    assert_eq!(received.iter().map(|p| p.token.clone()).collect::<Vec<_>>(), [bayos]);
    assert_eq!(says(&received[0]), "Test: Ada: @Bayo @Chi");
    assert_eq!(badge(&received[0]), Some(0), "what is muted is not counted");
}

#[tokio::test]
async fn in_quiet_hours_it_arrives_without_a_sound() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let (bayo, bayos) = scene.somebody("Bayo").await;
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let clock = |hours: i64| (&now + jiff::Span::new().hours(hours)).strftime("%H:%M").to_string();
    let quiet = json!({"quietHours": {"from": clock(-2), "to": clock(2), "timeZone": "Etc/UTC"}});
    scene.rest(&bayo).put("/me/notifications", quiet).await.expect(200);
    let direct = flow::open_direct(&scene.rest(&ada), &bayo).await;
    flow::send(&scene.rest(&ada), direct, "psst").await;
    let pushed = scene.next(&bayos, 0).await;
    assert!(!pushed.rings());
    assert_eq!(says(&pushed), "Ada: psst");
}

#[tokio::test]
async fn what_was_read_deleted_or_is_over_by_then_alerts_nobody() {
    let mut scene = Scene::without_push().await;
    let ada = scene.world.user("Ada");
    let rest = scene.rest(&ada);
    let mut chats = Vec::new();
    for name in ["Reader", "Deleted", "Over", "Open"] {
        let (user, token) = scene.somebody(name).await;
        let direct = flow::open_direct(&rest, &user).await;
        chats.push((user, token, direct));
    }
    // The very first worker begins at the end of the log; this one stands for the time before an outage.
    let first = scene.add_worker(&[]).await;
    scene.settled().await;
    scene.world.node_mut(first).terminate().await;
    let mut messages = Vec::new();
    for (_, _, direct) in &chats {
        let ttl = if *direct == chats[2].2 { json!(1) } else { json!(null) };
        let body = json!({"conversationId": direct, "content": "Hello!", "ttlSeconds": ttl});
        messages.push(rest.post("/messages", body).await.expect(201));
    }
    scene.read(&chats[0].0, chats[0].2, None).await;
    rest.delete(&format!("/messages/{}", flow::id_of(&messages[1]))).await;
    let over = flow::id_of(&messages[2]);
    eventually("it is over", async || {
        let shown = rest.get(&format!("/messages/{over}")).await;
        (shown.body["isDeleted"] == true).then_some(())
    })
    .await;
    scene.add_worker(&[]).await;
    scene.settled().await;
    let received = scene.fcm.received().await;
    assert_eq!(
        received.iter().map(|p| p.token.as_str()).collect::<Vec<_>>(),
        [chats[3].1.as_str()]
    );
}

#[tokio::test]
async fn what_was_said_before_there_was_push_alerts_nobody_and_what_is_too_old_neither() {
    let mut scene = Scene::without_push().await;
    let ada = scene.world.user("Ada");
    let rest = scene.rest(&ada);
    let (bayo, bayos) = scene.somebody("Bayo").await;
    let direct = flow::open_direct(&rest, &bayo).await;
    flow::send(&rest, direct, "before").await;
    let first = scene.add_worker(&[]).await;
    scene.settled().await;
    flow::send(&rest, direct, "first").await;
    assert_eq!(says(&scene.next(&bayos, 0).await), "Ada: first");
    scene.settled().await;
    scene.world.node_mut(first).terminate().await;
    flow::send(&rest, direct, "while nobody sent").await;
    scene.world.persisted().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    scene.add_worker(&[("MESSAGING_PUSH_MAX_AGE", "300ms")]).await;
    scene.settled().await;
    assert_eq!(scene.received(&bayos).await.len(), 1);
}

#[tokio::test]
async fn a_system_message_is_pushed_too() {
    let scene = Scene::start().await;
    let ada = scene.world.user("Ada");
    let (bayo, bayos) = scene.somebody("Bayo").await;
    let direct = flow::open_direct(&scene.rest(&ada), &bayo).await;
    let sent = flow::send(&scene.rest(&ada), direct, "Hello!").await;
    let behind = scene.next(&bayos, 0).await.number;
    let mut system = sent.clone();
    for (key, value) in [
        ("id", json!(Uuid::new_v4())),
        ("type", json!("system")),
        ("senderId", json!(Uuid::nil())),
        ("senderName", json!("Events")),
        ("content", json!("Doors open at 8")),
    ] {
        system[key] = value;
    }
    system.as_object_mut().expect("an object").remove("seq");
    scene.world.put_into_log(direct, "newMessage", &system).await;
    assert_eq!(says(&scene.next(&bayos, behind).await), "Events: Doors open at 8");
}

#[tokio::test]
async fn thousands_in_a_community_are_alerted_once_each() {
    const MEMBERS: i32 = 1_300;
    // An answer that comes too late on a busy machine would be asked for again.
    let patient = [("MESSAGING_FCM_TIMEOUT", "10s"), ("MESSAGING_PUSH_LEASE", "45s")];
    let scene = Scene::start_with(&patient).await;
    let ada = scene.world.user("Ada");
    let body = json!({"type": "community", "title": "Lagos", "participantIds": []});
    let community = flow::id_of(&scene.rest(&ada).post("/conversations", body).await.expect(201));
    let database = scene.world.database.client().await;
    let sql = "WITH people AS (
                   INSERT INTO users (id) SELECT gen_random_uuid() FROM generate_series(1, $2) RETURNING id
               ), members AS (
                   INSERT INTO conversation_participants (conversation_id, user_id, role, joined_at)
                   SELECT $1, id, 'member', now() - interval '1 h' FROM people
               ), counted AS (
                   UPDATE conversations SET participant_count = participant_count + $2 WHERE id = $1
               )
               INSERT INTO devices (user_id, platform, token, token_hash, created_at, refreshed_at)
               SELECT id, 'android', id::text, sha256(convert_to(id::text, 'UTF8')), now(), now() FROM people";
    database.execute(sql, &[&community, &MEMBERS]).await.expect("members");
    flow::send(&scene.rest(&ada), community, "Hello, all!").await;
    scene.settled().await;
    let received = scene.fcm.received().await;
    let tokens: std::collections::HashSet<_> = received.iter().map(|p| p.token.clone()).collect();
    assert_eq!((received.len(), tokens.len()), (MEMBERS as usize, MEMBERS as usize));
    assert!(received.iter().all(|p| says(p) == "Lagos: Ada: Hello, all!" && p.rings()));
}
