//! The README's promises to a newcomer: its commands work as they stand there, and what it names exists.

use std::process::Command;

use serde_json::json;
use uuid::Uuid;

use super::harness::World;
use super::harness::tools::repository;
use super::harness::world::{SECRET, sign};

fn readme() -> String {
    std::fs::read_to_string(repository().join("README.md")).expect("README.md")
}

/// The shell blocks of the tour, in order, but for the one that waits for somebody to type.
fn tour(readme: &str) -> Vec<String> {
    let (_, rest) = readme.split_once("## Five minutes").expect("a tour");
    let (tour, _) = rest.split_once("\n## ").expect("an end of the tour");
    let blocks = tour.split("```sh\n").skip(1).map(|block| block.split("```").next());
    let blocks = blocks.map(|block| block.expect("a closed block").to_owned());
    blocks.filter(|block| !block.contains("messaging chat")).collect()
}

fn token(id: &str, name: &str) -> String {
    let id: Uuid = id.parse().expect("a uuid");
    sign(&json!({"sub": id, "name": name, "exp": 4_102_444_800_u64}), SECRET)
}

#[tokio::test]
async fn the_tour_works_as_it_is_written() {
    let world = World::start().await;
    let script = tour(&readme()).join("\necho\n");
    let script = script.replace("http://127.0.0.1:3004", &world.node().url);
    let ran = tokio::task::spawn_blocking(move || {
        Command::new("bash")
            .args(["-euc", &script])
            .env("ADA", token("ada00000-0000-4000-8000-000000000001", "Ada"))
            .env("BAYO", token("ba000000-0000-4000-8000-000000000002", "Bayo"))
            .output()
            .expect("bash runs")
    });
    let output = ran.await.expect("the script ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let expected = [
        r#""senderName":"Ada","type":"text","content":"Hello Bayo!""#,
        r#""status":"sent""#,
        r#"{"conversations":1,"total":1}"#,
        r#"{"deliveredTo":[],"readBy":[]}"#,
        r#"{"events":[{"event":"newMessage","cursor":"#,
        r#""complete":true}"#,
        r#""errors":[{"field":"content","message":"must not be blank"}]"#,
        r#"{"success":true}"#,
        r#""timeZone":"Africa/Lagos"},"mentionsPierceMute":true}"#,
    ];
    for expected in expected {
        assert!(said.contains(expected), "{expected} is missing in:\n{said}");
    }
}

#[test]
fn what_it_names_exists() {
    let readme = readme();
    let read = |path: &str| std::fs::read_to_string(repository().join(path)).expect(path);
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(repository().join(link).exists(), "{link} does not exist");
    }
    let makefile = read("Makefile");
    for target in ["run", "test", "setup"] {
        assert!(readme.contains(&format!("make {target}")));
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
    let settings = read("config/default.toml");
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    for name in names.filter(|name| name.contains('_') && name.to_uppercase() == **name) {
        assert!(settings.contains(&format!("# env: {name}\n")), "{name} is no setting");
    }
}

/// The sources under a folder, as one text.
fn sources(folder: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("node_modules") {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("readable"));
        }
    }
    text
}

#[test]
fn each_defence_names_a_test_that_exists() {
    let page = std::fs::read_to_string(repository().join("docs/security.md")).expect("a page");
    let tests = sources(&repository().join("tests/it")) + &sources(&repository().join("src"));
    let (page, _) = page.split_once("\n## Who may do what on NATS").expect("the page's first half");
    let quoted = page.split('`').skip(1).step_by(2);
    // Names of tests are sentences; nothing else there has so many words.
    let is_name = |name: &&str| {
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        plain && name.matches('_').count() >= 4
    };
    let named: Vec<&str> = quoted.filter(is_name).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        assert!(tests.contains(&format!("fn {name}(")), "{name} is no test");
    }
}
