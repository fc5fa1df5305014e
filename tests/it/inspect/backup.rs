//! What was backed up comes back, into servers that have nothing in them.

use std::path::PathBuf;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{document, said};
use crate::harness::cluster::Cluster;
use crate::harness::flow::{self, UNPACED, history, place_of};
use crate::harness::node::command;
use crate::harness::shipped::Shipped;
use crate::harness::upload::{Form, encoded};
use crate::harness::{User, World, Ws, tools};

/// A world with a conversation, in which a message was deleted, and a file.
struct Scene {
    world: World,
    media: String,
    ada: User,
    ben: User,
    chat: Uuid,
    /// The folder of the backup, which does not exist yet.
    folder: PathBuf,
}

impl Scene {
    async fn set() -> Self {
        let media = format!("file://{}", tools::folder("media").display());
        let settings = [UNPACED, &[("MESSAGING_MEDIA_URL", media.as_str())]].concat();
        let world = World::start_with(&settings).await;
        let (ada, ben) = (world.user("Ada"), world.user("Ben"));
        let rest = world.node().rest(&ada);
        let chat = flow::open_direct(&rest, &ben).await;
        for number in 0..20 {
            flow::send(&rest, chat, &number.to_string()).await;
        }
        let gone = flow::send(&rest, chat, "deleted").await;
        rest.delete(&format!("/messages/{}", flow::id_of(&gone))).await.expect(200);
        let png = encoded(8, 8, image::ImageFormat::Png);
        let form = Form::file("p.png", "image/png", &png).with("conversationId", &chat.to_string());
        let file = world.node().upload(&ada, form).await.expect(201);
        let picture = json!({"conversationId": chat, "content": "", "type": "image",
            "metadata": {"imageUrl": file["url"], "imageWidth": 8, "imageHeight": 8}});
        rest.post("/messages", picture).await.expect(201);
        world.persisted().await;
        world.erased(place_of(&gone).0).await;
        let folder = tools::folder("backup").join("here");
        Self { world, media, ada, ben, chat, folder }
    }

    fn folder(&self) -> &str {
        self.folder.to_str().expect("text")
    }

    async fn back_up(&self) -> Value {
        let media = [("MESSAGING_MEDIA_URL", self.media.as_str())];
        let output = self.world.admin_with(&["backup", self.folder(), "--json"], &media).await;
        assert!(output.status.success(), "{}", said(&output));
        let noted = "SELECT count(*) FROM audit WHERE action = 'backup' AND target = $1";
        let client = self.world.database.client().await;
        let noted = client.query_one(noted, &[&self.folder()]).await.expect("a row");
        assert_eq!(noted.get::<_, i64>(0), 1, "who has everybody's messages");
        document(&output)
    }
}

#[tokio::test]
async fn every_acknowledged_message_is_found_in_fresh_servers_and_old_cursors_are_reset() {
    let mut scene = Scene::set().await;
    // What is acknowledged and not in Postgres is in the log.
    let edge = scene.world.add_node_with(&["--role", "edge"], UNPACED).await;
    let ben = scene.world.nodes()[edge].ws(&scene.ben).await;
    scene.world.node_mut(0).terminate().await;
    let rest = scene.world.nodes()[edge].rest(&scene.ada);
    for number in 0..5 {
        flow::send(&rest, scene.chat, &format!("late {number}")).await;
    }
    let before = history(&scene.world.nodes()[edge].rest(&scene.ben), scene.chat, 50).await;
    assert_eq!(before.len(), 27);
    let manifest = scene.back_up().await;
    assert_eq!(manifest["media"]["copied"], 2, "the picture and its thumbnail: {manifest}");
    flow::send(&rest, scene.chat, "after the backup").await;
    let cursor = cursor_of(ben).await;

    let mut fresh = World::without_nodes().await;
    let media = format!("file://{}", tools::folder("media").display());
    let settings = [("MESSAGING_MEDIA_URL", media.as_str())];
    let output = fresh.admin_with(&["restore", scene.folder()], &settings).await;
    assert!(output.status.success(), "{}", said(&output));
    let node = fresh.add_node(&[UNPACED, &settings].concat()).await;
    fresh.persisted().await;
    let rest = fresh.nodes()[node].rest(&scene.ben);
    let after = history(&rest, scene.chat, 50).await;
    assert!(after == before, "{} messages are there", after.len());
    let picture = before.iter().find(|m| m["type"] == "image").expect("a picture");
    let link = picture["metadata"]["imageUrl"].as_str().expect("a link");
    let fetched = fresh.nodes()[node].fetch(Some(&scene.ben), link).await;
    assert_eq!(fetched.status().as_u16(), 200);

    let url = &fresh.nodes()[node].url;
    let mut ws = Ws::connect_to(url, &format!("?cursor={cursor}"), &scene.ben.token).await;
    ws.event("reset").await;
    let sent = flow::send(&rest, scene.chat, "goes on").await;
    assert!(place_of(&sent).0 > before.iter().map(|m| place_of(m).0).max().expect("some"));
    fresh.persisted().await;
    let output = fresh.admin_with(&["verify", "--json"], &settings).await;
    assert!(output.status.success(), "{}", document(&output));
}

async fn cursor_of(mut ws: Ws) -> String {
    let mut event = ws.event("newMessage").await;
    while event["data"]["content"] != "after the backup" {
        event = ws.event("newMessage").await;
    }
    event["cursor"].as_str().expect("a cursor").to_owned()
}

#[tokio::test]
async fn three_servers_that_replicate_are_backed_up_while_they_work_and_restored() {
    let cluster = Cluster::start().await;
    let mut world = World::without_nodes().await;
    let replicated = [("NATS_URL", cluster.urls.as_str()), ("MESSAGING_NATS_REPLICAS", "3")];
    let settings = [UNPACED, &replicated].concat();
    let first = world.add_node(&settings).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.nodes()[first].rest(&ada);
    let chat = flow::open_direct(&rest, &ben).await;
    for number in 0..30 {
        flow::send(&rest, chat, &number.to_string()).await;
    }
    let before = history(&rest, chat, 50).await;
    let folder = tools::folder("backup").join("here");
    let folder = folder.to_str().expect("text");
    let output = world.admin_with(&["backup", folder], &replicated).await;
    assert!(output.status.success(), "{}", said(&output));
    flow::send(&rest, chat, "after the backup").await;
    world.node_mut(first).terminate().await;

    let restore = ["restore", folder, "--yes", "--reason", "a test"];
    let output = world.admin_with(&restore, &replicated).await;
    assert!(output.status.success(), "{}", said(&output));
    let log = cluster.context().await.get_stream("CHAT").await.expect("the log");
    assert_eq!(log.cached_info().config.num_replicas, 3);
    let second = world.add_node(&settings).await;
    let rest = world.nodes()[second].rest(&ada);
    // The servers may still be choosing who leads what.
    flow::eventually("a history", async || {
        let page = rest.get(&format!("/conversations/{chat}/messages")).await;
        (page.status == 200).then_some(())
    })
    .await;
    assert_eq!(history(&rest, chat, 50).await, before);
    let sent = flow::send(&rest, chat, "goes on").await;
    assert!(place_of(&sent).0 > place_of(&before[29]).0);
    assert_eq!(history(&rest, chat, 50).await.len(), 31, "and Postgres has it");
    let output = world.admin_with(&["verify", "--json"], &replicated).await;
    assert!(output.status.success(), "{}", document(&output));
}

/// With a kilobyte each some 60 pieces of a restore, and as few as a test has time for.
const MANY: usize = 6_000;

/// Puts many messages like this one into the log, and returns its last sequence.
async fn fill(cluster: &Cluster, like: &Value, chat: Uuid) -> u64 {
    let context = cluster.context().await;
    let text = chat.to_string();
    let subject = format!("chat.{}.{text}", &text[text.len() - 2..]);
    let mut event = like.clone();
    let fields = event.as_object_mut().expect("an object");
    fields.retain(|field, _| field != "seq" && field != "status" && field != "clientMessageId");
    let mut last = 0;
    for _ in 0..MANY / 500 {
        let mut asked = Vec::new();
        for _ in 0..500 {
            // What does not compress is what is sent.
            let content: String = (0..28).map(|_| Uuid::new_v4().to_string()).collect();
            event["id"] = json!(Uuid::new_v4());
            event["content"] = json!(content);
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Event", "newMessage");
            let payload = event.to_string().into();
            let sent = context.publish_with_headers(subject.clone(), headers, payload).await;
            asked.push(sent.expect("sent"));
        }
        for stored in asked {
            last = stored.await.expect("stored").sequence;
        }
    }
    last
}

#[tokio::test]
async fn a_server_that_is_lost_while_a_large_log_is_restored_leaves_nothing_that_passes_for_the_whole()
 {
    let mut cluster = Cluster::start().await;
    let urls = cluster.urls.clone();
    let mut world = World::without_nodes().await;
    let replicated = [("NATS_URL", urls.as_str()), ("MESSAGING_NATS_REPLICAS", "3")];
    let settings = [UNPACED, &replicated].concat();
    let first = world.add_node(&settings).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.nodes()[first].rest(&ada);
    let chat = flow::open_direct(&rest, &ben).await;
    let message = flow::send(&rest, chat, "the first").await;
    let last = fill(&cluster, &message, chat).await;
    let all = async || (world.progress().await >= last).then_some(());
    flow::eventually("Postgres has everything", all).await;
    let folder = tools::folder("backup").join("here");
    let folder = folder.to_str().expect("text");
    let output = world.admin_with(&["backup", folder], &replicated).await;
    assert!(output.status.success(), "{}", said(&output));
    world.node_mut(first).terminate().await;

    let restore = ["restore", folder, "--yes", "--reason", "a test"];
    let (output, killed) = tokio::join!(
        world.admin_with(&restore, &replicated),
        cluster.kill_while_it_restores("CHAT")
    );
    assert!(!output.status.success(), "the server that received it is gone");
    assert!(said(&output).contains("what is there now is not complete"), "{}", said(&output));
    assert!(said(&output).contains("Run it again"), "{}", said(&output));
    // Whoever starts the service all the same is told so, and so is whoever would back it up.
    let serve = command(&["serve"], &world.settings(&settings));
    let refused = tokio::task::spawn_blocking(move || { serve }.output().expect("it runs"));
    let refused = refused.await.expect("no panic");
    assert!(!refused.status.success());
    let words = format!("{}{}", said(&refused), String::from_utf8_lossy(&refused.stdout));
    assert!(words.contains("restore into this database"), "{words}");
    let other = tools::folder("backup").join("other");
    let other = world.admin_with(&["backup", other.to_str().expect("text")], &replicated).await;
    assert!(said(&other).contains("restore into this database"), "{}", said(&other));

    cluster.start_again(killed).await;
    let again = async || {
        let output = world.admin_with(&restore, &replicated).await;
        output.status.success().then_some(())
    };
    flow::eventually("the same once more succeeds", again).await;
    let second = world.add_node(&settings).await;
    let log = cluster.context().await.get_stream("CHAT").await.expect("the log");
    let state = &log.cached_info().state;
    assert!(state.messages > MANY as u64 && state.last_sequence >= last, "{state:?}");
    assert_eq!(world.rows(chat).await.len(), MANY + 1);
    let rest = world.nodes()[second].rest(&ada);
    let newest = history(&rest, chat, 100).await;
    assert_eq!(newest.last().map(|message| place_of(message).0), Some(last));
    let output = world.admin_with(&["verify", "--json"], &replicated).await;
    assert!(output.status.success(), "{}", document(&output));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_a_sentence_and_changes_nothing() {
    let scene = Scene::set().await;
    scene.back_up().await;
    let folder = scene.folder();
    let again = scene.world.admin(&["backup", folder]).await;
    assert!(said(&again).contains("is not empty"), "{}", said(&again));
    let running = scene.world.admin(&["restore", folder]).await;
    assert!(said(&running).contains("Stop all of its processes"), "{}", said(&running));
    assert!(!running.status.success());

    let mut other = World::start_with(UNPACED).await;
    let rest = other.node().rest(&scene.ada);
    let kept = flow::open_direct(&rest, &scene.ben).await;
    flow::send(&rest, kept, "kept").await;
    other.persisted().await;
    other.node_mut(0).terminate().await;
    let media = [("MESSAGING_MEDIA_URL", scene.media.as_str())];
    let full = other.admin_with(&["restore", folder], &media).await;
    assert!(
        said(&full).contains("Nothing was changed") || said(&full).contains("nothing was changed"),
        "{}",
        said(&full)
    );
    assert_eq!(other.rows(kept).await.len(), 1);
    let no_files = other.admin(&["restore", folder]).await;
    assert!(said(&no_files).contains("MESSAGING_MEDIA_URL"), "{}", said(&no_files));

    let forced = ["restore", folder, "--yes", "--reason", "a test"];
    let dump = scene.folder.join("postgres.dump");
    let whole = std::fs::read(&dump).expect("readable");
    std::fs::write(&dump, &whole[..whole.len() - 1]).expect("writable");
    let damaged = other.admin_with(&forced, &media).await;
    assert!(said(&damaged).contains("the backup is damaged"), "{}", said(&damaged));
    assert_eq!(other.rows(kept).await.len(), 1);
    std::fs::write(&dump, &whole).expect("writable");
    let text = std::fs::read_to_string(scene.folder.join("manifest.json")).expect("readable");
    let newer = text.replacen("\"schema\": ", "\"schema\": 9", 1);
    std::fs::write(scene.folder.join("manifest.json"), newer).expect("writable");
    let newer = other.admin_with(&forced, &media).await;
    assert!(said(&newer).contains("made by a newer version"), "{}", said(&newer));
    std::fs::write(scene.folder.join("manifest.json"), text).expect("writable");
    let nowhere = other.admin(&["restore", "/nonexistent"]).await;
    assert!(said(&nowhere).contains("is no backup"), "{}", said(&nowhere));

    let forced = other.admin_with(&forced, &media).await;
    assert!(forced.status.success(), "{}", said(&forced));
    assert_eq!(other.rows(kept).await.len(), 0);
    assert_eq!(other.rows(scene.chat).await.len(), 22);
}

#[tokio::test]
async fn the_user_backup_may_do_it_and_the_operator_may_compare() {
    let shipped = Shipped::single();
    let mut world = World::without_nodes().await;
    let of = |user: &str| shipped.environment(user);
    let messaging = of("messaging");
    let messaging: Vec<_> = messaging.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let node = world.add_node(&messaging).await;
    let (ada, ben) = (world.user("Ada"), world.user("Ben"));
    let rest = world.nodes()[node].rest(&ada);
    let chat = flow::open_direct(&rest, &ben).await;
    flow::send(&rest, chat, "hello").await;
    history(&rest, chat, 5).await;
    world.node_mut(node).terminate().await;

    let folder = tools::folder("backup").join("here");
    let folder = folder.to_str().expect("text");
    let steps: [(&str, &[&str]); 3] = [
        ("operator", &["verify", "--json"]),
        ("backup", &["backup", folder]),
        ("backup", &["restore", folder, "--yes", "--reason", "a test"]),
    ];
    for (user, arguments) in steps {
        let environment = of(user);
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let output = world.admin_with(arguments, &environment).await;
        assert!(output.status.success(), "{user} {arguments:?}: {}", said(&output));
    }
}
