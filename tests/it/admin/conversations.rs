//! Conversations by operators: the same rules and events as by their admins.

use serde_json::{Value, json};
use uuid::Uuid;

use super::audit;
use crate::harness::World;
use crate::harness::flow::{self, UNPACED, eventually, id_of};

#[tokio::test]
async fn one_that_is_made_and_changed_is_seen_by_its_people() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo, chi) = (world.user("Ada"), world.user("Bayo"), world.user("Chi"));
    let mut ws = world.node().ws(&bayo).await;
    let (a, b, c) = (ada.id.to_string(), bayo.id.to_string(), chi.id.to_string());
    let create = ["conversation", "create", "--type", "group", "--creator", &a, "--with", &b];
    let tried =
        world.run_admin_json(&[&create[..], &["--title", "Street", "--dry-run"]].concat()).await;
    assert_eq!((&tried["id"], &tried["created"]), (&Value::Null, &json!(true)));
    let made = world.run_admin_json(&[&create[..], &["--title", "Street"]].concat()).await;
    let id = id_of(&made).to_string();
    let told = ws.event("conversationUpdated").await["data"].take();
    assert_eq!(
        (&told["change"], &told["conversation"]["title"]),
        (&json!("created"), &json!("Street"))
    );

    let seen = "UPDATE users SET last_seen_at = now()";
    world.database.client().await.execute(seen, &[]).await.expect("rows");
    world.run_admin(&["conversation", "update", &id, "--title", "Lane"]).await.fine();
    let told = ws.event("conversationUpdated").await["data"].take();
    assert_eq!(
        (&told["change"], &told["conversation"]["title"]),
        (&json!("title"), &json!("Lane"))
    );
    // An operator's command knows of no blocks, so it says of nobody when they were here.
    let mut people = told["conversation"]["participants"].as_array().expect("people").iter();
    assert!(people.all(|person| person["lastSeenAt"].is_null()), "{told:#}");
    world
        .run_admin(&["conversation", "update", &id, "--title", " "])
        .await
        .refused(&["must not be blank"]);
    world.run_admin(&["conversation", "update", &id]).await.refused(&["--title"]);

    let people = ["conversation", "participants", &id];
    world.run_admin(&[&people[..], &["--add", &c]].concat()).await.fine();
    assert_eq!(ws.event("conversationUpdated").await["data"]["change"], "participantsAdded");
    world.run_admin(&[&people[..], &["--admin", &c]].concat()).await.fine();
    assert_eq!(ws.event("conversationUpdated").await["data"]["change"], "role");
    let listed = world.run_admin_json(&people).await;
    let roles: Vec<_> = listed
        .as_array()
        .expect("people")
        .iter()
        .map(|p| (p["userId"].clone(), p["role"].clone()))
        .collect();
    assert!(roles.contains(&(json!(c), json!("admin"))), "{roles:?}");
    world.run_admin(&[&people[..], &["--remove", &c]].concat()).await.fine();
    assert_eq!(ws.event("conversationUpdated").await["data"]["change"], "participantsRemoved");
    world
        .run_admin(&[&people[..], &["--remove", &c]].concat())
        .await
        .refused(&["Not everybody named is in it"]);
    let again = world.run_admin_json(&[&people[..], &["--add", &b]].concat()).await;
    assert_eq!(again["userIds"], json!([]), "nothing to change");

    let noted = audit(&world).await;
    assert_eq!(noted[0].1, format!("{id}/{c}"), "where, and whom");
    for (target, count) in [(&c, 3), (&id, 5)] {
        let found = world.run_admin_json(&["audit", "--target", target]).await;
        assert_eq!(found.as_array().expect("rows").len(), count, "{found:#}");
    }
    let actions: Vec<String> = noted.into_iter().rev().map(|(action, ..)| action).collect();
    let expected =
        ["create", "update", "participants add", "participants admin", "participants remove"];
    assert_eq!(actions, expected.map(|action| format!("conversation {action}")));
}

#[tokio::test]
async fn who_may_write_and_join_is_changed_by_the_rules_that_hold_for_admins() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let body = json!({"type": "community", "title": "Street", "participantIds": [bayo.id]});
    let id = id_of(&rest.post("/conversations", body).await.expect(201)).to_string();
    let mut ws = world.node().ws(&bayo).await;
    let update = ["conversation", "update", &id];
    let settings = ["--posting", "admins", "--slow-mode", "30", "--join-approval", "on"];
    let tried = [&update[..], &settings, &["--dry-run"]].concat();
    assert_eq!(world.run_admin_json(&tried).await["dryRun"], true);
    let shown = world.run_admin_json(&["conversation", "show", &id]).await;
    assert_eq!(
        (&shown["postingPolicy"], &shown["joinApproval"]),
        (&json!("everyone"), &json!(false))
    );

    world.run_admin(&[&update[..], &settings, &["--title", "Lane"]].concat()).await.fine();
    let told = ws.event("conversationUpdated").await["data"].take();
    assert_eq!(told["change"], "settings");
    let after = &told["conversation"];
    assert_eq!((&after["postingPolicy"], &after["title"]), (&json!("admins"), &json!("Lane")));
    assert_eq!((&after["slowModeSeconds"], &after["joinApproval"]), (&json!(30), &json!(true)));
    let said = json!({"conversationId": id, "content": "me too"});
    let error = ws.request("sendMessage", said).await.expect_err("refused");
    assert_eq!(error["code"], "forbidden", "the node goes by it at once");
    let shown = world.run_admin_json(&["conversation", "show", &id]).await;
    assert_eq!((&shown["slowModeSeconds"], &shown["title"]), (&json!(30), &json!("Lane")));

    let slow = [&update[..], &["--slow-mode", "21601"]].concat();
    world.run_admin(&slow).await.refused(&["slowModeSeconds", "21600"]);
    let nobody = [&update[..], &["--posting", "nobody"]].concat();
    world.run_admin(&nobody).await.refused(&["everyone", "admins"]);
    let group = flow::open_group(&rest, std::slice::from_ref(&bayo)).await.to_string();
    let approval = ["conversation", "update", &group, "--join-approval", "on"];
    world.run_admin(&approval).await.refused(&["Only communities can be joined"]);
    let direct = flow::open_direct(&rest, &bayo).await.to_string();
    let slow = ["conversation", "update", &direct, "--slow-mode", "5"];
    world.run_admin(&slow).await.refused(&["two people for good"]);
    let strange =
        ["conversation", "update", "00000000-0000-4000-8000-000000000001", "--slow-mode", "5"];
    world.run_admin(&strange).await.refused(&["There is no conversation"]);
    let actions: Vec<String> = audit(&world).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(actions, ["conversation update"]);
}

#[tokio::test]
async fn they_are_found_by_user_title_and_context_and_can_be_archived() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let group = flow::open_group(&rest, std::slice::from_ref(&bayo)).await;
    let direct = flow::open_direct(&rest, &bayo).await;
    let event = Uuid::new_v4();
    let path = format!("/conversations/event/{event}?organizerId={}&title=Jazz", bayo.id);
    let about = id_of(&rest.get(&path).await.body);
    let ids = async |filter: &[&str]| {
        let found = world.run_admin_json(&[&["conversation", "list"], filter].concat()).await;
        found.as_array().expect("a list").iter().map(id_of).collect::<Vec<_>>()
    };
    let mut all = vec![group, direct, about];
    all.sort_unstable();
    assert_eq!(ids(&["--user", &bayo.id.to_string()]).await, all);
    assert_eq!(ids(&["--title", "tES"]).await, [group]);
    assert_eq!(ids(&["--title", "%"]).await, [] as [Uuid; 0]);
    assert_eq!(ids(&["--context", &format!("event/{event}")]).await, [about]);
    assert_eq!(ids(&["--type", "group"]).await, [group]);
    assert_eq!(ids(&["--after", &all[0].to_string(), "--limit", "1"]).await, [all[1]]);

    let archive = ["conversation", "archive", &group.to_string()].map(str::to_owned);
    let archive: Vec<&str> = archive.iter().map(String::as_str).collect();
    let user = ada.id.to_string();
    let mut ws = world.node().ws(&ada).await;
    let mut others = world.node().ws(&bayo).await;
    let tried = world.run_admin_json(&[&archive[..], &["--dry-run"]].concat()).await;
    assert_eq!((&tried["participants"], &tried["shownConnections"]), (&json!(2), &json!(0)));
    let stranger = Uuid::new_v4().to_string();
    let wrong = world.run_admin(&[&archive[..], &["--user", &stranger]].concat()).await;
    wrong.refused(&["is not in it"]);
    let done = world.run_admin_json(&[&archive[..], &["--user", &user]].concat()).await;
    assert_eq!((&done["participants"], &done["shownConnections"]), (&json!(1), &json!(1)));
    let told = ws.event("conversationUpdated").await["data"].take();
    assert_eq!(
        (&told["change"], &told["conversation"]["isArchived"], &told["conversationId"]),
        (&json!("archive"), &json!(true), &json!(group))
    );
    let view = rest.get(&format!("/conversations/{group}")).await.expect(200);
    assert_eq!(view["isArchived"], true);
    let theirs = world.node().rest(&bayo).get(&format!("/conversations/{group}")).await.expect(200);
    assert_eq!(theirs["isArchived"], false);
    let undone = world.run_admin_json(&[&archive[..], &["--undo"]].concat()).await;
    assert_eq!(undone["participants"], 1);
    let told = ws.event("conversationUpdated").await["data"].take();
    assert_eq!(told["conversation"]["isArchived"], false);
    // Nobody else hears of it: the next thing that he hears is a message.
    flow::send(&rest, group, "hello").await;
    others.event("newMessage").await;
    others.has_no_more("conversationUpdated");

    let users = world.run_admin_json(&["user", "list", "--name", "bAy"]).await;
    assert_eq!(users[0]["id"], json!(bayo.id));
    let shown = world.run_admin_json(&["user", "show", &user]).await;
    assert_eq!((&shown["displayName"], &shown["conversations"]), (&json!("Ada"), &json!(3)));
}

#[tokio::test]
async fn an_export_has_everything_in_order_and_is_noted() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &bayo).await;
    for number in 0..3 {
        flow::send(&rest, direct, &format!("message {number}")).await;
    }
    world.persisted().await;
    let id = direct.to_string();
    let text = world.run_admin(&["conversation", "export", &id]).await.fine();
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["conversation"]["id"], json!(direct));
    assert_eq!(lines.iter().filter(|line| line.get("participant").is_some()).count(), 2);
    let said: Vec<_> =
        lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
    assert_eq!(said, ["message 0", "message 1", "message 2"]);
    assert_eq!(audit(&world).await[0].0, "conversation export");
    let file = crate::harness::tools::folder("export").join("export.ndjson");
    let path = file.to_str().expect("a path");
    let export = ["conversation", "export", &id, "--out", path];
    assert_eq!(world.run_admin_json(&export).await["messages"], 3);
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), text);
    world.run_admin(&export).await.refused(&["cannot be made"]);
}

#[tokio::test]
async fn one_that_is_deleted_is_gone_for_everyone_and_its_content_from_everywhere() {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = world.node().rest(&ada);
    let direct = flow::open_direct(&rest, &bayo).await;
    let mut ws = world.node().ws(&bayo).await;
    let mut seqs = Vec::new();
    for number in 0..3 {
        seqs.push(
            flow::send(&rest, direct, &format!("secret {number}")).await["seq"]
                .as_u64()
                .expect("seq"),
        );
    }
    let id = direct.to_string();
    world.persisted().await;
    let delete = ["conversation", "delete", &id, "--reason", "both asked for it"];
    let tried = world.run_admin_json(&[&delete[..], &["--dry-run"]].concat()).await;
    assert_eq!((&tried["participants"], &tried["messages"]), (&json!(2), &json!(3)));
    let done = world.run_admin_json(&[&delete[..], &["--yes"]].concat()).await;
    assert_eq!((&done["participants"], &done["messages"]), (&json!(2), &json!(3)));
    let gone = async || loop {
        let told = ws.event("conversationUpdated").await["data"].take();
        if told["change"] == "participantsRemoved" {
            return told;
        }
    };
    let mut gone = gone;
    assert_eq!(gone().await["conversationId"], json!(direct));
    rest.get(&format!("/conversations/{direct}"))
        .await
        .refused(reqwest::StatusCode::FORBIDDEN, "not_a_participant");
    let empty = async || {
        let rows = world.rows(direct).await;
        rows.iter().all(|row| row.content.is_empty()).then_some(())
    };
    eventually("tombstones", empty).await;
    for seq in seqs {
        world.erased(seq).await;
    }
    // Again is harmless, and finds nothing left.
    let again = world.run_admin_json(&[&delete[..], &["--yes"]].concat()).await;
    assert_eq!((&again["participants"], &again["messages"]), (&json!(0), &json!(0)));
    assert_eq!(audit(&world).await.len(), 1);
    // The two may begin anew.
    let anew = flow::open_direct(&rest, &bayo).await;
    assert_ne!(anew, direct);
    let database = world.database.client().await;
    let left = "SELECT count(*) FROM due_deletions";
    let forgotten = async || {
        let count: i64 = database.query_one(left, &[]).await.expect("a row").get(0);
        (count == 0).then_some(())
    };
    eventually("nothing waits", forgotten).await;
}
