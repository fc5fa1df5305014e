//! The arrows between the rooms of the code base, as ARCHITECTURE.md draws them.

use std::path::{Path, PathBuf};

use crate::harness::tools::repository;

/// What each room may not name. `crate::` paths, or external crates.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "domain",
        &[
            "crate::wire",
            "crate::store",
            "crate::bus",
            "crate::media",
            "crate::edge",
            "crate::persister",
            "crate::push",
            "crate::ingest",
            "crate::cli",
            "crate::config",
            "crate::telemetry",
            "crate::lifecycle",
            "serde",
            "tokio",
            "axum",
            "async_nats",
        ],
    ),
    (
        "wire",
        &[
            "crate::store",
            "crate::bus",
            "crate::media",
            "crate::edge",
            "crate::persister",
            "crate::push",
            "crate::ingest",
            "crate::cli",
            "crate::config",
            "axum",
            "async_nats",
            "tokio_postgres",
        ],
    ),
    (
        "store",
        &[
            "crate::wire",
            "crate::bus",
            "crate::media",
            "crate::edge",
            "crate::persister",
            "crate::push",
            "crate::ingest",
            "crate::cli",
            "crate::config",
        ],
    ),
    (
        "bus",
        &[
            "crate::store",
            "crate::media",
            "crate::edge",
            "crate::persister",
            "crate::push",
            "crate::ingest",
            "crate::cli",
            "crate::config",
        ],
    ),
    (
        "media",
        &[
            "crate::store",
            "crate::bus",
            "crate::edge",
            "crate::persister",
            "crate::push",
            "crate::ingest",
            "crate::cli",
            "crate::config",
        ],
    ),
    (
        "outbox",
        &[
            "crate::edge",
            "crate::persister",
            "crate::push",
            "crate::ingest",
            "crate::media",
            "crate::cli",
            "crate::config",
        ],
    ),
    ("edge", &["crate::persister", "crate::push", "crate::ingest", "crate::cli", "crate::config"]),
    ("persister", &["crate::edge", "crate::push", "crate::ingest", "crate::cli", "crate::config"]),
    ("push", &["crate::edge", "crate::persister", "crate::ingest", "crate::cli", "crate::config"]),
    ("ingest", &["crate::edge", "crate::persister", "crate::push", "crate::cli", "crate::config"]),
    (
        "telemetry",
        &[
            "crate::edge",
            "crate::persister",
            "crate::push",
            "crate::ingest",
            "crate::media",
            "crate::cli",
            "crate::store",
            "crate::bus",
        ],
    ),
];

/// External crates that one room alone may name (`main.rs` and `cli` included in the ban).
const AT_HOME: &[(&str, &[&str])] = &[
    ("async_nats", &["bus"]),
    ("tokio_postgres", &["store"]),
    ("deadpool_postgres", &["store"]),
    ("refinery", &["store"]),
    ("axum", &["edge", "telemetry"]),
    ("object_store", &["media"]),
    ("fcm", &["push"]),
];

/// A web server of its own, which is no part of the service: what stands in for Google in tests and in `dev`.
const STAND_IN: &str = "cli/fake_google";

/// Each source file with its room, and its code without comments.
fn sources() -> Vec<(String, PathBuf, String)> {
    let mut files = Vec::new();
    collect(&repository().join("src"), &mut files);
    assert!(files.len() > 20, "the sources are found");
    files
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(repository().join("src")).expect("below src").to_owned();
            let first = inside.iter().next().expect("a name").to_string_lossy().into_owned();
            let room = first.trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).expect("readable");
            let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
            (room, inside, code.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Whether `code` names the path or crate `name`, as a whole word.
fn names(code: &str, name: &str) -> bool {
    let boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(name).any(|(at, _)| {
        boundary(code[..at].chars().next_back()) && boundary(code[at + name.len()..].chars().next())
    })
}

#[test]
fn rooms_import_only_what_their_arrows_allow() {
    for (room, path, code) in sources() {
        let forbidden =
            FORBIDDEN.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, f)| f);
        for name in forbidden {
            assert!(!names(&code, name), "{} names {name}", path.display());
        }
    }
}

#[test]
fn drivers_stay_at_home() {
    for (room, path, code) in sources() {
        if path.with_extension("").starts_with(STAND_IN) {
            continue;
        }
        for (driver, homes) in AT_HOME {
            let used =
                code.contains(&format!("{driver}::")) || code.contains(&format!("use {driver};"));
            assert!(!used || homes.contains(&room.as_str()), "{} names {driver}", path.display());
        }
    }
}

#[test]
fn tasks_are_spawned_by_the_lifecycle_only() {
    for (room, path, code) in sources() {
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        let spawns = code.contains("tokio::spawn(") || code.contains("task::spawn(");
        // The load generator is no part of the service: its tasks are its own.
        let exempt =
            room == "lifecycle" || path.starts_with("cli/bench") || path.ends_with("bench.rs");
        assert!(!spawns || exempt, "{} spawns a task that nobody watches", path.display());
    }
}

#[test]
fn modules_are_named_files_and_stay_readable() {
    for (_, path, code) in sources() {
        assert_ne!(
            path.file_name().and_then(|name| name.to_str()),
            Some("mod.rs"),
            "{}",
            path.display()
        );
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        assert!(code.lines().count() <= 450, "{} is too long to read in one go", path.display());
    }
}
