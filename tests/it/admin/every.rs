//! Every command on a bad day, from one table: a sentence, an exit code that says so, an end within seconds, and nothing
//! changed.

mod table;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use self::table::{Kind, Row, TABLE};
use super::letters;
use crate::harness::admin::Said;
use crate::harness::flow::{self, UNPACED, eventually, place_of};
use crate::harness::node::command;
use crate::harness::tools;
use crate::harness::{PATIENCE, World};

/// Commands that run at a time: each is some 50 ms of work, and waits for servers in between.
const AT_A_TIME: usize = 6;
/// One of everything, and no node any more: nothing changes by itself.
struct Stage {
    world: World,
    there: Vec<(&'static str, String)>,
}

impl Stage {
    async fn start() -> Self {
        let mut world = World::start_with(UNPACED).await;
        let (ada, ben) = (world.user("Ada"), world.user("Ben"));
        let (of_ada, of_ben) = (world.node().rest(&ada), world.node().rest(&ben));
        let group = flow::open_group(&of_ada, std::slice::from_ref(&ben)).await;
        let (seq, message) = place_of(&flow::send(&of_ben, group, "rude").await);
        let report = json!({"messageId": message, "reason": "rude"});
        let report = of_ada.post("/reports", report).await.expect(201)["reportId"].take();
        let device = json!({"token": "a-token-of-a-phone", "platform": "android"});
        of_ada.post("/devices", device).await.expect(201);
        world.persisted().await;
        let letter = letter(&world, group, seq).await;
        let backup = tools::folder("backup").join("made").display().to_string();
        world.run_admin(&["backup", &backup]).await.fine();
        assert!(world.node_mut(0).terminate().await.success());
        let there = vec![
            ("{user}", ada.id.to_string()),
            ("{other}", ben.id.to_string()),
            ("{conversation}", group.to_string()),
            ("{message}", message.to_string()),
            ("{report}", report.as_str().expect("an id").to_owned()),
            ("{letter}", letter.to_string()),
            ("{backup}", backup),
        ];
        Self { world, there }
    }

    /// The words of a command, about what is there.
    fn line(&self, row: &Row) -> Vec<String> {
        let given = |word: &str| match self.there.iter().find(|(name, _)| *name == word) {
            Some((_, value)) => value.clone(),
            None if word == "{new}" => new_path(),
            None => word.to_owned(),
        };
        row.line.split(' ').map(given).collect()
    }

    async fn run(&self, settings: &[(&str, &str)], words: &[String], more: &[&str]) -> Said {
        let words: Vec<&str> =
            words.iter().map(String::as_str).chain(more.iter().copied()).collect();
        self.world.run_admin_with(settings, &words).await
    }

    /// Everything that could have been changed.
    async fn everything(&self) -> Vec<(String, String)> {
        let database = self.world.database.client().await;
        let tables = "SELECT table_name FROM information_schema.tables
                      WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1";
        let mut all = Vec::new();
        for row in database.query(tables, &[]).await.expect("tables") {
            let table: String = row.get(0);
            let sql = format!(
                "SELECT coalesce(md5(string_agg(t::text || t.xmin, ' ' ORDER BY t::text)), '') FROM \"{table}\" t"
            );
            all.push((table, database.query_one(&sql, &[]).await.expect("rows").get(0)));
        }
        let context = async_nats::jetstream::new(self.world.nats.client().await);
        for name in ["CHAT", "INGEST", "DEAD"] {
            let state = match context.get_stream(name).await {
                Ok(stream) => format!("{:?}", stream.cached_info().state),
                Err(_) => "away".to_owned(),
            };
            all.push((name.to_owned(), state));
        }
        all
    }
}

/// A dead letter that can be tried again: an event that Postgres has refused for a while.
async fn letter(world: &World, group: Uuid, seq: u64) -> u64 {
    letters::refuse(world, group, seq).await;
    let found = eventually("a dead letter", async || {
        world.run_admin_json(&["dead", "list"]).await[0]["seq"].as_u64()
    });
    let found = found.await;
    letters::mend(world).await;
    found
}

fn new_path() -> String {
    tools::folder("new").join("nothing-yet").display().to_string()
}

/// What holds of a row, or a complaint; all are collected, so that one run shows them all.
async fn each<F: Future<Output = Result<(), String>>>(
    rows: impl IntoIterator<Item = &'static Row>,
    check: impl Fn(&'static Row) -> F,
) {
    let checks = rows.into_iter().map(|row| {
        let checked = check(row);
        async move { checked.await.err().map(|why| format!("{}: {why}", row.line)) }
    });
    let complaints: Vec<_> = futures_util::stream::iter(checks)
        .buffer_unordered(AT_A_TIME)
        .filter_map(async |c| c)
        .collect()
        .await;
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// A refusal: this exit code, these words in one sentence on standard error, and no answer.
fn refused(said: &Said, code: i32, words: &str) -> Result<(), String> {
    let is_one = said.stderr.lines().count() == 1 && said.stderr.starts_with("error: ");
    let fits = said.code == Some(code) && said.stdout.is_empty() && said.stderr.contains(words);
    match fits && (is_one || code == 2) {
        true => Ok(()),
        false => Err(format!("not refused with {words:?}: {}", shown(said))),
    }
}

fn shown(said: &Said) -> String {
    format!("{:?}: {}{}", said.code, said.stdout, said.stderr)
}

/// The words of every command without commands of its own.
fn leaves(path: &[String]) -> BTreeSet<String> {
    let words = [&["admin".to_owned()], path, &["--help".to_owned()]].concat();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = command(&words, &[]).output().expect("it runs");
    let help = String::from_utf8(output.stdout).expect("text");
    let Some((_, rest)) = help.split_once("\nCommands:\n") else {
        return BTreeSet::from([path.join(" ")]);
    };
    let listed = rest.lines().take_while(|line| !line.is_empty());
    // A description that takes more than a line is indented further.
    let names =
        listed.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names =
        names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.flat_map(|name| leaves(&[path, &[name.to_owned()]].concat())).collect()
}

#[test]
fn the_table_has_every_command_there_is_and_no_other() {
    let is_of = |row: &Row, leaf: &str| {
        row.line.strip_prefix(leaf).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let leaves = leaves(&[]);
    assert!(leaves.len() > 40, "{leaves:?}");
    for leaf in &leaves {
        assert!(TABLE.iter().any(|row| is_of(row, leaf)), "give `{leaf}` a row in every/table.rs");
    }
    for row in TABLE {
        assert!(leaves.iter().any(|leaf| is_of(row, leaf)), "there is no command `{}`", row.line);
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_by_every_command_and_nothing_is_changed() {
    let stage = Stage::start().await;
    let before = stage.everything().await;
    each(TABLE.iter().filter(|row| !row.unknown.is_empty()), async |row| {
        let fresh = |word: &str| match word {
            "{letter}" => "999999".to_owned(),
            "{backup}" | "{new}" => new_path(),
            word if word.starts_with('{') => Uuid::new_v4().to_string(),
            word => word.to_owned(),
        };
        let agreed = ["--reason", "a test", "--yes"];
        let words: Vec<String> = row.line.split(' ').map(fresh).collect();
        refused(&stage.run(&[], &words, &agreed).await, 1, row.unknown)?;
        if row.line.contains("{backup}") {
            return Ok(());
        }
        let wrong = |word: &str| if word.starts_with('{') { "ada'--" } else { word }.to_owned();
        let words: Vec<String> = row.line.split(' ').map(wrong).collect();
        refused(&stage.run(&[], &words, &agreed).await, 2, "invalid value 'ada'--'")
    })
    .await;
    assert_eq!(stage.everything().await, before);
}

#[tokio::test]
async fn every_change_can_be_tried_and_every_answer_is_json_if_that_is_wanted() {
    let stage = Stage::start().await;
    let before = stage.everything().await;
    each(TABLE.iter().filter(|row| !row.line.starts_with("tail")), async |row| {
        let words = stage.line(row);
        let more: &[&str] = match row.kind {
            Kind::Changes => &["--json", "--dry-run", "--reason", "a test"],
            Kind::Shows | Kind::Examines => &["--json"],
        };
        let said = stage.run(&[], &words, more).await;
        let code = if row.kind == Kind::Examines { said.code } else { Some(0) };
        let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
        // A document, or one a line.
        let answers = !said.stdout.is_empty()
            && (is_json(&said.stdout) || said.stdout.lines().all(is_json))
            && said.stderr.is_empty();
        let made =
            words.iter().any(|word| word.ends_with("nothing-yet") && Path::new(word).exists());
        match said.code == code && answers && !made {
            true => Ok(()),
            false => Err(shown(&said)),
        }
    })
    .await;
    assert_eq!(stage.everything().await, before);
}

#[tokio::test]
async fn without_postgres_or_nats_every_command_says_so_and_changes_nothing() {
    let stage = Stage::start().await;
    let before = stage.everything().await;
    for (name, url, words) in [
        ("POSTGRES_URL", "postgres://127.0.0.1:1/x", "Postgres cannot be reached"),
        ("NATS_URL", "nats://127.0.0.1:1", "NATS cannot be reached"),
    ] {
        each(TABLE, async |row| {
            let needed = if name == "NATS_URL" { row.nats } else { row.postgres };
            let more: &[&str] = match (needed, row.kind) {
                (false, Kind::Changes) => &["--dry-run", "--reason", "a test"],
                (false, _) => &[],
                (true, _) => &["--reason", "a test", "--yes"],
            };
            let said = stage.run(&[(name, url)], &stage.line(row), more).await;
            match (needed, row.kind) {
                (true, Kind::Examines) if said.code == Some(1) && said.stdout.contains(words) => {
                    Ok(())
                }
                (true, _) => refused(&said, 1, words),
                (false, _) if said.code == Some(0) => Ok(()),
                (false, _) => Err(format!("refused without need of {name}: {}", shown(&said))),
            }
        })
        .await;
    }
    assert_eq!(stage.everything().await, before);
}

#[tokio::test]
async fn in_a_database_that_is_not_the_services_every_command_says_so() {
    let world = World::without_nodes().await;
    let database = world.database.client().await;
    let name = format!("{}_empty", world.database.name());
    database.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database");
    let url = world.database.url.replace(world.database.name(), &name);
    let stage = Stage { there: away(), world };
    // Restoring is what an empty database is for, and letters are looked for first.
    let others = ["restore", "dead"];
    let asked = |row: &&Row| row.postgres && !others.iter().any(|word| row.line.starts_with(word));
    let settings = [("POSTGRES_URL", url.as_str()), ("MESSAGING_POSTGRES_MIGRATE", "false")];
    each(TABLE.iter().filter(asked), async |row| {
        let agreed = ["--reason", "a test", "--yes"];
        let said = stage.run(&settings, &stage.line(row), &agreed).await;
        match row.kind {
            Kind::Examines if said.code == Some(1) && said.stdout.contains("messaging migrate") => {
                Ok(())
            }
            _ => refused(&said, 1, "messaging migrate"),
        }
    })
    .await;
    let tables = "SELECT count(*) FROM pg_stat_user_tables";
    let (client, connection) =
        tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("Postgres answers");
    let connection = tokio::spawn(connection);
    let made: i64 = client.query_one(tables, &[]).await.expect("a row").get(0);
    assert_eq!(made, 0, "nothing was made in it");
    drop(client);
    connection.await.expect("no panic").expect("a clean end");
    database.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.expect("dropped");
}

#[tokio::test]
async fn without_the_streams_every_command_says_so_and_changes_nothing() {
    let stage = Stage::start().await;
    let context = async_nats::jetstream::new(stage.world.nats.client().await);
    for name in ["CHAT", "INGEST", "DEAD"] {
        context.delete_stream(name).await.expect("deleted");
    }
    let before = stage.everything().await;
    each(TABLE.iter().filter(|row| row.streams), async |row| {
        let said = stage.run(&[], &stage.line(row), &["--reason", "a test", "--yes"]).await;
        match row.kind {
            Kind::Examines if said.code == Some(1) && said.stdout.contains("topology apply") => {
                Ok(())
            }
            _ => refused(&said, 1, "topology apply"),
        }
    })
    .await;
    assert_eq!(stage.everything().await, before);
}

#[tokio::test]
async fn no_command_waits_for_long_for_servers_that_take_connections_and_are_silent() {
    let world = World::without_nodes().await;
    // Connections are made by the kernel; nobody ever takes them.
    let (postgres, nats) = (silent(), silent());
    let stage = Stage { there: away(), world };
    let (postgres_url, nats_url) = (
        format!("postgres://{}/x", postgres.local_addr().expect("bound")),
        format!("nats://{}", nats.local_addr().expect("bound")),
    );
    let settings = [("POSTGRES_URL", postgres_url.as_str()), ("NATS_URL", &nats_url)];
    // They wait and do nothing else: all of them at once.
    let each = TABLE.iter().filter(|row| !row.line.contains("{backup}")).map(async |row| {
        let words = stage.line(row);
        let said = stage.run(&settings, &words, &["--reason", "a test", "--yes"]);
        let said = tokio::time::timeout(PATIENCE, said).await;
        let said = said.unwrap_or_else(|_| panic!("{} goes on waiting", row.line));
        assert_eq!(said.code, Some(1), "{}: {}", row.line, shown(&said));
        let text = format!("{}{}", said.stdout, said.stderr);
        // After 5 s, it says; how busy the machine is otherwise is not the command's fault.
        assert!(text.contains("does not answer"), "{}: {text}", row.line);
    });
    futures_util::future::join_all(each).await;
}

fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a port")
}

/// Ids of nothing; nobody is there who would know.
fn away() -> Vec<(&'static str, String)> {
    let id = |name| (name, Uuid::new_v4().to_string());
    let mut all: Vec<_> =
        ["{user}", "{other}", "{conversation}", "{message}", "{report}"].map(id).into();
    all.push(("{letter}", "1".to_owned()));
    all
}
