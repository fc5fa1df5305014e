//! The examples of `examples/`, run as their readers would, as the user `events` of the NATS that is shipped.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::process::Process;
use crate::harness::shipped::{Shipped, password};
use crate::harness::tools::repository;
use crate::harness::{PATIENCE, User, World};

/// What each of them prints, in this order; the numbers of events differ.
const SAID: [&str; 8] = [
    "context: stored",
    "profile: stored",
    "message stored: new",
    "message repeated: known already",
    "request: 1 message",
    "refused: content must not be blank",
    "dead letter: invalid: content must not be blank",
    "event ",
];

/// Whether what an example needs is there; tells what brings it.
fn brought(path: &str) -> Option<PathBuf> {
    let path = repository().join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing: make setup", path.display());
    eprintln!("skipped: {} is missing; `make setup` brings it", path.display());
    None
}

#[tokio::test]
async fn the_one_in_python_does_what_it_shows() {
    let Some(libraries) = brought(".tools/py/nats") else { return };
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", libraries.parent().expect("a folder"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(repository().join("examples/python/service.py"));
    does_what_it_shows(command).await;
}

#[tokio::test]
async fn the_one_for_node_does_what_it_shows() {
    if brought("examples/node/node_modules/@nats-io/transport-node").is_none() {
        return;
    }
    let mut command = Command::new("node");
    command.arg(repository().join("examples/node/service.js"));
    does_what_it_shows(command).await;
}

#[tokio::test]
async fn the_one_in_rust_does_what_it_shows() {
    // Building it is quick, `cargo test` has done so unless it was asked for one test only.
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--example", "rust", "--message-format=json"]);
    build.current_dir(repository());
    let built = tokio::task::spawn_blocking(move || build.output()).await;
    let built = built.expect("no panic").expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let built = String::from_utf8_lossy(&built.stdout);
    let program = built.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line["executable"].as_str().map(str::to_owned)
    });
    does_what_it_shows(Command::new(program.expect("a program"))).await;
}

async fn does_what_it_shows(mut example: Command) {
    let nats = tokio::task::spawn_blocking(Shipped::single).await.expect("NATS starts");
    let mut world = World::without_nodes().await;
    let settings = nats.environment("messaging");
    let mut settings: Vec<_> = settings.iter().map(|(name, value)| (*name, &**value)).collect();
    settings.push(("MESSAGING_NATS_LOG_READERS", "events"));
    world.add_node(&settings).await;

    let ada = world.user("Ada");
    let environment = [
        ("NATS_URL", nats.urls[0].as_str()),
        ("NATS_USER", "events"),
        ("NATS_PASSWORD", &password("events")),
    ];
    example.arg(ada.id.to_string()).arg("1").envs(environment);
    let running = tokio::task::spawn_blocking(move || {
        let process = Process::start("an example", example, libc::SIGKILL);
        (process.wait(PATIENCE), process)
    });
    let (ended, process) = running.await.expect("no panic");
    let printed = process.stdout.text();
    let why = || format!("it said:\n{printed}\n{}", process.stderr.text());
    assert!(ended.is_some_and(|status| status.success()), "{}", why());
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), SAID.len(), "{}", why());
    for (line, said) in lines.iter().zip(SAID) {
        assert!(line.starts_with(said), "{line:?} instead of {said:?}: {}", why());
    }
    assert_eq!(notices(&world, &ada).await, ["Doors open at seven", "Your ticket is ready"]);
}

/// What the user has been told, sorted: what is asked may overtake what is published.
async fn notices(world: &World, user: &User) -> Vec<String> {
    let rest = world.node().rest(user);
    let list = rest.get("/conversations").await.expect(200);
    let conversations = list["conversations"].as_array().expect("a list");
    assert_eq!(conversations.len(), 1, "{list}");
    assert_eq!(conversations[0]["title"], "events");
    let path =
        format!("/conversations/{}/messages", conversations[0]["id"].as_str().expect("an id"));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let history = rest.get(&path).await.expect(200);
        let messages = history["messages"].as_array().expect("messages");
        assert!(messages.iter().all(|message| message["type"] == json!("system")), "{history}");
        let texts = messages.iter().filter_map(|message| message["content"].as_str());
        let mut texts: Vec<String> = texts.map(str::to_owned).collect();
        texts.sort();
        if texts.len() >= 2 || tokio::time::Instant::now() > deadline {
            return texts;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[test]
fn they_are_short_and_their_page_names_what_exists() {
    let read = |path: &str| std::fs::read_to_string(repository().join(path)).expect(path);
    let page = read("examples/README.md");
    for path in ["python/service.py", "node/service.js", "rust/main.rs"] {
        assert!(page.contains(&format!("]({path})")), "{path}");
        let lines = read(&format!("examples/{path}")).lines().count();
        assert!(lines <= 130, "{path} has {lines} lines");
    }
    let manifest: Value = serde_json::from_str(&read("examples/node/package.json")).expect("JSON");
    let lock: Value = serde_json::from_str(&read("examples/node/package-lock.json")).expect("JSON");
    for (name, version) in manifest["dependencies"].as_object().expect("dependencies") {
        assert_eq!(lock["packages"][format!("node_modules/{name}")]["version"], *version);
    }
    let requirements = read("examples/python/requirements.txt");
    assert_eq!(requirements.matches("==").count(), requirements.matches("--hash=sha256:").count());
}
