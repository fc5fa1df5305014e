//! `nats/schemas/`: fresh, and true of what the service publishes and sends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::harness::tools::{self, MESSAGING, repository};
use crate::harness::{Rest, World};

fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("inside").to_owned();
                found.insert(name, std::fs::read_to_string(&path).expect("text"));
            }
        }
    }
    found
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let made = tools::folder("schemas");
    let status = Command::new(MESSAGING).args(["schemas", "--out"]).arg(&made).status();
    assert!(status.expect("it runs").success());
    let (made, kept) = (files(&made), files(&repository().join("nats/schemas")));
    for (path, text) in &made {
        let is_same = kept.get(path) == Some(text);
        assert!(is_same, "{} is stale: run `cargo run -- schemas`", path.display());
    }
    for path in kept.keys() {
        assert!(made.contains_key(path), "{} describes nothing: remove it", path.display());
    }
}

/// Schemas by their path, and what did not fit them.
struct Schemas(BTreeMap<PathBuf, Validator>);

impl Schemas {
    fn load() -> Self {
        let files = files(&repository().join("nats/schemas"));
        let read = files.into_iter().map(|(path, text)| {
            let schema: Value = serde_json::from_str(&text).expect("JSON");
            let options = jsonschema::options().should_validate_formats(true);
            (path, options.build(&schema).expect("a schema"))
        });
        Self(read.collect())
    }

    #[track_caller]
    fn check(&self, path: &str, value: &Value) {
        let schema = self.0.get(Path::new(path)).unwrap_or_else(|| panic!("there is no {path}"));
        let wrong: Vec<_> = schema.iter_errors(value).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{path}: {wrong:?}\n{value:#}");
    }
}

#[test]
fn a_field_that_nobody_knows_is_noticed() {
    let schemas = Schemas::load();
    let schema = &schemas.0[Path::new("log/messageDeleted.json")];
    let id = "00000000-0000-4000-8000-00000000000a";
    let mut event = json!({ "messageId": id, "conversationId": id, "seq": 7 });
    assert!(schema.is_valid(&event));
    event["more"] = json!(1);
    assert!(!schema.is_valid(&event));
}

/// Lets something of every kind happen, and checks all that the log holds of it and all that sockets were told.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_and_told_is_as_described() {
    let schemas = Schemas::load();
    let world = World::start().await;
    let node = world.node();
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let mut hers = node.ws(&ada).await;
    let mut his = node.ws(&bayo).await;
    let rest = node.rest(&ada);
    let group = json!({ "type": "group", "title": "T", "participantIds": [bayo.id] });
    let id = rest.post("/conversations", group).await.expect(201)["id"].clone();
    let path = |rest: &str| format!("/conversations/{}{rest}", id.as_str().expect("an id"));
    let told = his.event("conversationUpdated").await;
    schemas.check("sockets/events.json", &told);

    let mut replies = Vec::new();
    let sent = json!({ "conversationId": id, "content": "Hello", "mentions": [bayo.id] });
    let first = hers.request("sendMessage", sent.clone()).await.expect("sent")["message"].clone();
    schemas.check("objects/message.json", &first);
    let reply = json!({ "conversationId": id, "content": "", "type": "location", "replyToMessageId": first["id"],
        "metadata": { "location": { "latitude": 6.45, "longitude": 3.39 } }, "ttlSeconds": 3600 });
    his.request("sendMessage", reply).await.expect("sent");
    let on = json!({ "messageId": first["id"], "emoji": "👍" });
    for (op, data) in [
        ("editMessage", json!({ "messageId": first["id"], "content": "Hello!" })),
        ("addReaction", on.clone()),
        ("removeReaction", on),
        ("typing", json!({ "conversationId": id, "isTyping": true })),
        ("markAsRead", json!({ "conversationId": id })),
        ("subscribePresence", json!({ "userIds": [bayo.id] })),
        ("refreshToken", json!({ "token": ada.token })),
        ("leaveConversation", json!({ "conversationId": id })),
        ("joinConversation", json!({ "conversationId": id })),
        ("deleteMessage", json!({ "messageId": first["id"] })),
        ("ping", json!({})),
        ("sendMessage", json!({ "conversationId": id, "content": " " })),
        ("nonsense", json!({})),
    ] {
        schemas.check_request(op, &data);
        replies.push(match hers.request(op, data).await {
            Ok(data) => json!({ "id": 7, "ok": true, "data": data }),
            Err(error) => json!({ "id": 7, "ok": false, "error": error }),
        });
    }
    replies.iter().for_each(|reply| schemas.check("sockets/replies.json", reply));
    rest.post(&path("/pin"), json!({})).await.expect(200);
    rest.post(&path("/participants"), json!({ "userIds": [world.user("C").id] })).await.expect(200);
    let shown = rest.get(&path("")).await.expect(200);
    schemas.check("objects/conversation.json", &shown);

    for name in ["messageDeleted", "userTyping", "messageRead", "messageDelivered"] {
        let socket = if name == "messageDelivered" { &mut hers } else { &mut his };
        schemas.check("sockets/events.json", &socket.event(name).await);
    }
    // The last of all, so that everything before it is there.
    let last = json!({ "conversationId": id, "content": "last" });
    let last = hers.request("sendMessage", last).await.expect("sent")["message"]["id"].clone();
    for socket in [&mut hers, &mut his] {
        loop {
            let event = socket.event("newMessage").await;
            schemas.check("sockets/events.json", &event);
            if event["data"]["id"] == last {
                break;
            }
        }
        socket.kept().iter().for_each(|frame| schemas.check("sockets/events.json", frame));
    }
    schemas.check("sockets/events.json", &json!({ "event": "connected", "data": hers.connected }));
    the_log_is_as_described(&schemas, &world).await;
}

impl Schemas {
    #[track_caller]
    fn check_request(&self, op: &str, data: &Value) {
        if op != "nonsense" {
            self.check("sockets/requests.json", &json!({ "id": 7, "op": op, "data": data }));
        }
    }
}

/// Reads the whole log as a service would.
async fn the_log_is_as_described(schemas: &Schemas, world: &World) {
    let client = async_nats::connect(world.nats.url()).await.expect("NATS");
    let context = async_nats::jetstream::new(client);
    let stream = context.get_stream("CHAT").await.expect("the log");
    let last = stream.get_info().await.expect("its state").state.last_sequence;
    let mut kinds = BTreeMap::new();
    for seq in 1..=last {
        // Those that were erased are gone.
        let Ok(stored) = stream.get_raw_message(seq).await else { continue };
        let kind = stored.headers.get("Event").map(ToString::to_string);
        let Some(kind) = kind else { continue };
        let payload = serde_json::from_slice(&stored.payload).expect("JSON");
        schemas.check(&format!("log/{kind}.json"), &payload);
        *kinds.entry(kind).or_insert(0) += 1;
    }
    for kind in ["newMessage", "messageDeleted", "reactionUpdated", "conversationUpdated"] {
        assert!(kinds.contains_key(kind), "{kind} is in the log: {kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_sockets_and_subjects_is_whole() {
    let world = World::start().await;
    let document = Rest::new(&world.node().url, None).get("//asyncapi.json").await.expect(200);
    if let Some(file) = std::env::var_os("MESSAGING_TEST_ASYNCAPI") {
        std::fs::write(file, document.to_string()).expect("written");
    }
    crate::openapi::resolves(&document);
    let official = repository().join("tests/js/node_modules/@asyncapi/specs/schemas/3.0.0.json");
    let official =
        std::fs::read_to_string(official).expect("`make setup` brings AsyncAPI's schema");
    let official: Value = serde_json::from_str(&official).expect("JSON");
    let schema = jsonschema::options().build(&official).expect("a schema");
    let wrong: Vec<_> = schema
        .iter_errors(&document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .map(|said| said.chars().take(300).collect::<String>())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let page = Rest::new(&world.node().url, None).get("//docs/events").await.expect(200);
    let page = page.as_str().expect("text");
    assert!(page.contains("<code>sendMessage</code>") && page.contains("<td>4409</td>"));
}

/// What a service is answered, and what it sends in the first place.
#[tokio::test(flavor = "multi_thread")]
async fn what_services_send_and_get_is_as_described() {
    let schemas = Schemas::load();
    let world = World::start().await;
    let (ada, id) = (world.user("Ada"), uuid::Uuid::new_v4());
    let client = async_nats::connect(world.nats.url()).await.expect("NATS");
    let ask = async |subject: &str, payload: &Value| -> Value {
        let payload = payload.to_string().into();
        let reply = client.request(format!("messaging.api.{subject}"), payload).await;
        serde_json::from_slice(&reply.expect("a reply").payload).expect("JSON")
    };
    let about = format!("system.events.user.{}", ada.id);
    for (subject, sent, payload, ok) in [
        (&about, "systemMessage", json!({ "content": "Hello", "metadata": { "a": 1 } }), true),
        (&about, "systemMessage", json!({ "content": "" }), false),
        (&format!("users.events.{}", ada.id), "profile", json!({ "displayName": "Ada" }), true),
        (&format!("contexts.events.event.{id}"), "context", json!({ "title": "Jazz" }), true),
    ] {
        let schema = &schemas.0[&PathBuf::from(format!("services/{sent}.json"))];
        assert_eq!(schema.is_valid(&payload), ok, "{sent}: {payload}");
        let reply = ask(subject, &payload).await;
        assert_eq!(reply["ok"], ok, "{reply}");
        schemas.check("services/reply.json", &reply);
    }
    let context = async_nats::jetstream::new(client.clone());
    let wrong = format!("messaging.{about}");
    context.publish(wrong, "{}".into()).await.expect("sent").await.expect("stored");
    let letters = tokio::time::timeout(std::time::Duration::from_secs(10), async {
        loop {
            let letters = ask("dead.events.list", &json!({})).await;
            if letters["letters"].as_array().is_some_and(|letters| !letters.is_empty()) {
                return letters;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let letters = letters.await.expect("the letter is there in time");
    schemas.check("services/lettersReply.json", &letters);
    let letter = ask("dead.events.show", &json!({ "seq": letters["letters"][0]["seq"] })).await;
    schemas.check("services/letterReply.json", &letter);
}
