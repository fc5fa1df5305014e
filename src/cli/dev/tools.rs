//! Finding `nats-server` and Postgres on this machine, new enough.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// Where `scripts/setup` puts what the machine lacks.
const TOOLS: &str = ".tools";
/// The first with the stream settings that the topology uses.
const NATS_AT_LEAST: (u32, u32) = (2, 12);
const POSTGRES_AT_LEAST: u32 = 15;

/// Postgres' programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresTools {
    pub bin: PathBuf,
    pub major: u32,
}

/// The `nats-server` named by MESSAGING_NATS_SERVER, else that of PATH, else that of `.tools`.
pub fn nats_server() -> anyhow::Result<PathBuf> {
    if let Some(named) = env::var_os("MESSAGING_NATS_SERVER").filter(|path| !path.is_empty()) {
        return match nats_version(Path::new(&named)) {
            Some(version) if version >= NATS_AT_LEAST => Ok(named.into()),
            _ => bail!(
                "MESSAGING_NATS_SERVER is {}, which is not a nats-server of version 2.12 or newer.",
                named.to_string_lossy()
            ),
        };
    }
    let candidates = on_path("nats-server").chain(beside("nats-server"));
    for candidate in candidates {
        if nats_version(&candidate).is_some_and(|version| version >= NATS_AT_LEAST) {
            return Ok(candidate);
        }
    }
    bail!(
        "There is no nats-server of version 2.12 or newer: run `make setup`, which puts one into {TOOLS}/, or \
         name one with MESSAGING_NATS_SERVER."
    )
}

/// Postgres 15 or newer: of exactly `major` if the data is of that version, else the newest.
pub fn postgres(major: Option<u32>) -> anyhow::Result<PostgresTools> {
    let mut found: Vec<PostgresTools> = postgres_folders()
        .into_iter()
        .filter(|bin| bin.join("initdb").is_file())
        .filter_map(|bin| {
            postgres_version(&bin.join("postgres")).map(|major| PostgresTools { bin, major })
        })
        .collect();
    found.sort_by_key(|tools| std::cmp::Reverse(tools.major));
    if let Some(major) = major {
        return match found.into_iter().find(|tools| tools.major == major) {
            Some(tools) => Ok(tools),
            None => bail!(
                "The data folder was made by Postgres {major}, which is not installed; install it, or start \
                 with an empty folder (--data)."
            ),
        };
    }
    match found.into_iter().next() {
        Some(tools) if tools.major >= POSTGRES_AT_LEAST => Ok(tools),
        Some(tools) => bail!(
            "Postgres {} is too old, 15 is the oldest that works. {INSTALL_POSTGRES}",
            tools.major
        ),
        None => bail!("There is no Postgres on this machine. {INSTALL_POSTGRES}"),
    }
}

/// A program of Postgres, such as `pg_dump`, that is at least as new as the server it is to work with.
///
/// # Errors
/// When there is none: how to get one.
pub fn postgres_client(program: &str, major: u32) -> anyhow::Result<PathBuf> {
    let candidates = postgres_folders().into_iter().chain(path_folders());
    let found = candidates.map(|folder| folder.join(program)).filter(|file| file.is_file());
    let fitting = |file: &PathBuf| postgres_version(file).is_some_and(|version| version >= major);
    found.into_iter().find(fitting).with_context(|| {
        format!(
            "There is no {program} of Postgres {major} or newer on this machine; install it \
             (Debian, Ubuntu: `apt-get install postgresql-client`)"
        )
    })
}

fn path_folders() -> Vec<PathBuf> {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect()
}

const INSTALL_POSTGRES: &str = "Run `make setup`, or install it yourself: \
    `apt-get install postgresql` (Debian, Ubuntu), `dnf install postgresql-server` (Fedora), \
    `brew install postgresql@17` (Homebrew).";

/// The version in the output of `nats-server --version`: "nats-server: v2.15.1".
fn nats_version(program: &Path) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("--version").output().ok()?;
    parse_nats_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_nats_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().rsplit_once('v')?.1.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn postgres_version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    parse_postgres_version(&String::from_utf8_lossy(&output.stdout))
}

/// The major version in "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
fn parse_postgres_version(text: &str) -> Option<u32> {
    let version = text.split_whitespace().nth(2)?;
    version.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// PATH, Debian's and Fedora's folders of versions, Homebrew's, and what `pg_config` says.
fn postgres_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        on_path("postgres").filter_map(|path| path.parent().map(Path::to_owned)).collect();
    for (parent, prefix, suffix) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
        ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    ] {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        folders.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
                .map(|entry| entry.path().join(suffix)),
        );
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    folders
}

/// `.tools` in the working folder or in one that this program lies below (`target/release` is such).
fn beside(program: &'static str) -> impl Iterator<Item = PathBuf> {
    let own = env::current_exe().unwrap_or_default();
    let folders: Vec<PathBuf> =
        env::current_dir().into_iter().chain(own.ancestors().skip(1).map(Path::to_owned)).collect();
    folders.into_iter().map(move |f| f.join(TOOLS).join(program)).filter(|file| file.is_file())
}

fn on_path(program: &'static str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.into_iter().map(move |folder| folder.join(program)).filter(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_programs_print() {
        assert_eq!(parse_nats_version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse_nats_version("nats-server: v2.9.0-beta.1\n"), Some((2, 9)));
        assert_eq!(
            parse_postgres_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(parse_postgres_version("postgres (PostgreSQL) 17beta2"), Some(17));
        assert_eq!(parse_postgres_version(""), None);
    }
}
