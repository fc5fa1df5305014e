//! `messaging dev`: one command, and nothing left behind.

mod beside;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::node::command;
use crate::harness::process::{Process, is_alive};
use crate::harness::{PATIENCE, Rest, tools};

/// A running `messaging dev`.
struct Dev {
    process: Process,
    run: Value,
    url: String,
}

impl Dev {
    fn start(data: &Path) -> Self {
        let process = launch(data, "127.0.0.1:0");
        let ready = process
            .stdout
            .wait_for(3 * PATIENCE, |line| Some(line.to_owned()))
            .unwrap_or_else(|| panic!("dev does not start: {}", process.stderr.text()));
        let url = ready.strip_prefix("READY ").unwrap_or_else(|| panic!("first line: {ready}"));
        let run = std::fs::read(data.join("run.json")).expect("run.json");
        let run = serde_json::from_slice(&run).expect("JSON");
        Self { url: url.to_owned(), process, run }
    }

    /// The ids of the servers it has started.
    fn servers(&self) -> [i32; 2] {
        ["natsPid", "postgresPid"].map(|key| {
            self.run[key].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a process id")
        })
    }
}

fn launch(data: &Path, listen: &str) -> Process {
    let data = data.to_string_lossy().into_owned();
    let nats = tools::nats_server().to_string_lossy().into_owned();
    let settings = [("MESSAGING_NATS_SERVER".to_owned(), nats)];
    let command = command(&["dev", "--data", &data, "--listen", listen], &settings);
    Process::start("messaging dev", command, libc::SIGTERM)
}

/// Starts one that must refuse, and returns its one sentence.
fn refusal(data: &Path, listen: &str) -> String {
    let process = launch(data, listen);
    let status = process.wait(3 * PATIENCE).expect("it refuses and ends");
    assert!(!status.success());
    let text = process.stderr.text();
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "one sentence, not {text}");
    errors[0].to_owned()
}

fn folder() -> PathBuf {
    tools::folder("dev").join("data")
}

fn gone(pids: [i32; 2]) -> bool {
    let deadline = Instant::now() + PATIENCE;
    // There is nothing to wait on: they are another process' children.
    while pids.iter().any(|pid| is_alive(*pid)) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn it_starts_from_nothing_and_stops_without_a_trace() {
    let data = folder();
    let dev = Dev::start(&data);
    assert!(dev.url.starts_with("http://127.0.0.1:"), "{}", dev.url);
    assert_eq!(dev.run["url"].as_str(), Some(dev.url.as_str()));
    let servers = dev.servers();
    assert!(servers.iter().all(|pid| is_alive(*pid)));
    let token =
        dev.process.stdout.wait_for(PATIENCE, |line| line.trim().strip_prefix("ADA=ey").map(drop));
    assert!(token.is_some(), "{}", dev.process.stdout.text());
    let status = dev.process.stop(libc::SIGINT);
    assert!(status.success(), "{status}: {}", dev.process.stderr.text());
    assert!(servers.iter().all(|pid| !is_alive(*pid)), "it waits for its servers");
    assert!(!data.join("run.json").exists());
    assert!(!data.join("postgres/data/postmaster.pid").exists(), "Postgres stopped in order");
}

#[test]
fn the_commands_it_prints_work_as_they_are() {
    let data = folder();
    let dev = Dev::start(&data);
    let last =
        dev.process.stdout.wait_for(PATIENCE, |line| line.starts_with("Ctrl-C").then_some(()));
    assert!(last.is_some());
    let printed = dev.process.stdout.text();
    let script: Vec<&str> = printed.lines().filter(|line| line.starts_with("  ")).collect();
    let mut shell = std::process::Command::new("bash");
    shell.args(["-e", "-c", &script.join("\n")]).env_remove("JWT_ACCESS_SECRET");
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = shell.spawn().expect("bash runs");
    let typed = shell.stdin.take().expect("a pipe").write_all(b"Hello Ada!\n");
    typed.expect("the chat reads its input");
    let output = shell.wait_with_output().expect("the script ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("\"content\":\"Hello Bayo!\""), "{said}");
    assert!(said.lines().last().is_some_and(|line| line.starts_with("ey")), "a token: {said}");
    assert!(dev.process.stop(libc::SIGTERM).success());
}

#[test]
fn what_would_be_pushed_is_shown() {
    let dev = Dev::start(&folder());
    let printed = |prefix: &'static str| {
        let found = dev
            .process
            .stdout
            .wait_for(PATIENCE, |line| line.trim().strip_prefix(prefix).map(str::to_owned));
        found.unwrap_or_else(|| panic!("{prefix} in {}", dev.process.stdout.text()))
    };
    let (ada, bayo) = (printed("ADA="), printed("BAYO="));
    let (ada, bayo) = (Rest::new(&dev.url, Some(&ada)), Rest::new(&dev.url, Some(&bayo)));
    let talking = async {
        bayo.post("/devices", json!({"token": "bayos-phone", "platform": "android"}))
            .await
            .expect(201);
        let bayo = "ba000000-0000-4000-8000-000000000002";
        let chat = json!({"type": "direct", "participantIds": [bayo]});
        let chat = ada.post("/conversations", chat).await.expect(201);
        let message = json!({"conversationId": chat["id"], "content": "Hello Bayo!"});
        ada.post("/messages", message).await.expect(201);
    };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(talking);
    assert_eq!(printed("push to "), "Bayo (android): Ada: Hello Bayo!");
    assert!(dev.process.stop(libc::SIGTERM).success());
}

#[test]
fn a_killed_one_leaves_no_orphan_and_the_next_start_finds_its_data() {
    let data = folder();
    let dev = Dev::start(&data);
    let secret = std::fs::read(data.join("jwt-secret")).expect("a secret");
    let servers = dev.servers();
    dev.process.stop(libc::SIGKILL);
    // At once, while the old servers are still leaving.
    let again = Dev::start(&data);
    assert!(gone(servers), "the old servers have left");
    assert!(!again.process.stderr.text().contains("Creating the Postgres"), "the data was found");
    assert_eq!(std::fs::read(data.join("jwt-secret")).expect("a secret"), secret);
    assert!(again.process.stop(libc::SIGTERM).success());
}

#[test]
fn a_server_that_dies_ends_it_with_an_error() {
    let data = folder();
    let dev = Dev::start(&data);
    let [nats, postgres] = dev.servers();
    // SAFETY: a plain system call on a process that the running `dev` has not reaped.
    unsafe { libc::kill(nats, libc::SIGKILL) };
    let status = dev.process.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(1));
    assert!(
        dev.process.stderr.text().contains("nats-server failed"),
        "{}",
        dev.process.stderr.text()
    );
    assert!(gone([nats, postgres]));
}

#[test]
fn a_folder_in_use_is_one_sentence() {
    let data = folder();
    let dev = Dev::start(&data);
    let sentence = refusal(&data, "127.0.0.1:0");
    assert!(sentence.contains("in use by another `messaging dev`"), "{sentence}");
    assert!(dev.process.stop(libc::SIGTERM).success(), "and the first one is not disturbed");
}

#[test]
fn a_port_in_use_is_one_sentence_and_starts_nothing() {
    let data = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let sentence = refusal(&data, &address);
    assert!(sentence.contains(&address) && sentence.contains("--listen"), "{sentence}");
    assert!(!data.exists());
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let data = tools::folder("other");
    std::fs::write(data.join("thesis.txt"), "years of work").expect("a file");
    let sentence = refusal(&data, "127.0.0.1:0");
    assert!(sentence.contains("--data"), "{sentence}");
    assert_eq!(std::fs::read_dir(&data).expect("the folder").count(), 1);
}

#[test]
fn a_damaged_database_is_one_sentence() {
    let data = folder();
    let dev = Dev::start(&data);
    assert!(dev.process.stop(libc::SIGTERM).success());
    std::fs::remove_file(data.join("postgres/data/PG_VERSION")).expect("a version file");
    let sentence = refusal(&data, "127.0.0.1:0");
    assert!(sentence.contains("damaged"), "{sentence}");
}

#[test]
fn a_database_of_a_version_that_is_not_installed_is_one_sentence() {
    let data = folder();
    let dev = Dev::start(&data);
    assert!(dev.process.stop(libc::SIGTERM).success());
    std::fs::write(data.join("postgres/data/PG_VERSION"), "9\n").expect("a version file");
    let sentence = refusal(&data, "127.0.0.1:0");
    assert!(sentence.contains("made by Postgres 9"), "{sentence}");
}
