//! Layering the three sources and turning them into [`Config`].

use std::fmt;
use std::path::Path;

use config::{ConfigError, File, FileFormat, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::{Config, env};

/// `config/default.toml`, the reference of every key.
const DEFAULTS: &str = include_str!("../../config/default.toml");

const SECTIONS: &[&str] = &[
    "http",
    "auth",
    "nats",
    "postgres",
    "limits",
    "safety",
    "tail",
    "persister",
    "retention",
    "presence",
    "push",
    "ingest",
    "media",
    "lifecycle",
    "telemetry",
];

/// Why the configuration cannot be used: one sentence each.
#[derive(Debug)]
pub struct Problems(pub Vec<String>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Reads the defaults, `file` if given, and the environment through `lookup`.
///
/// Fails on a file that cannot be read, on unknown keys and on values of the wrong kind; whether the values
/// make sense together is [`Config::problems`].
pub fn load(
    file: Option<&Path>,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Config, Problems> {
    let merged = merge(file, lookup).map_err(|problem| Problems(vec![problem]))?;
    let mut problems = unknown_sections(&merged);
    let config = (
        section(&merged, "http", &mut problems),
        section(&merged, "auth", &mut problems),
        section(&merged, "nats", &mut problems),
        section(&merged, "postgres", &mut problems),
        section(&merged, "limits", &mut problems),
        section(&merged, "safety", &mut problems),
        section(&merged, "tail", &mut problems),
        section(&merged, "persister", &mut problems),
        section(&merged, "retention", &mut problems),
        section(&merged, "presence", &mut problems),
        section(&merged, "push", &mut problems),
        section(&merged, "ingest", &mut problems),
        section(&merged, "media", &mut problems),
        section(&merged, "lifecycle", &mut problems),
        section(&merged, "telemetry", &mut problems),
    );
    match config {
        (
            Some(http),
            Some(auth),
            Some(nats),
            Some(postgres),
            Some(limits),
            Some(safety),
            Some(tail),
            Some(persister),
            Some(retention),
            Some(presence),
            Some(push),
            Some(ingest),
            Some(media),
            Some(lifecycle),
            Some(telemetry),
        ) if problems.is_empty() => Ok(Config {
            http,
            auth,
            nats,
            postgres,
            limits,
            safety,
            tail,
            persister,
            retention,
            presence,
            push,
            ingest,
            media,
            lifecycle,
            telemetry,
        }),
        _ => Err(Problems(problems)),
    }
}

fn merge(
    file: Option<&Path>,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<config::Config, String> {
    let mut builder =
        config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| {
            format!("The configuration file {} cannot be read: {error}.", path.display())
        })?;
        // Parsed here first for its message, which shows line and column.
        text.parse::<toml::Table>().map_err(|error| {
            format!("The configuration file {} is not TOML: {error}", path.display())
        })?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    for (name, key) in env::NAMES {
        let Some(text) = lookup(name).filter(|text| !text.is_empty()) else { continue };
        // Kept a string, and read as a number where the key is one: "123" is a fine secret.
        let value = Value::new(Some(&(*name).to_owned()), ValueKind::String(text));
        builder = builder.set_override(*key, value).map_err(|error| error.to_string())?;
    }
    builder.build().map_err(|error| error.to_string())
}

fn unknown_sections(merged: &config::Config) -> Vec<String> {
    let ValueKind::Table(table) = &merged.cache.kind else { return Vec::new() };
    let mut unknown: Vec<_> =
        table.keys().filter(|key| !SECTIONS.contains(&key.as_str())).cloned().collect();
    unknown.sort();
    unknown
        .into_iter()
        .map(|key| {
            format!("There is no section `{key}`; the sections are {}.", SECTIONS.join(", "))
        })
        .collect()
}

fn section<T: DeserializeOwned>(
    merged: &config::Config,
    name: &str,
    problems: &mut Vec<String>,
) -> Option<T> {
    merged.get(name).map_err(|error| problems.push(sentence(name, &error))).ok()
}

/// One sentence that names the key, and the variable where the value came from one.
fn sentence(section: &str, error: &ConfigError) -> String {
    match error {
        ConfigError::Type { origin, unexpected, expected, key } => format!(
            "{} is {unexpected}, but must be {expected}.",
            place(section, key.as_deref(), origin.as_deref())
        ),
        ConfigError::At { error, origin, key } => {
            format!("{}: {error}.", place(section, key.as_deref(), origin.as_deref()))
        }
        other => format!("{section}: {other}."),
    }
}

/// `section.key (VARIABLE)`, as much of it as is known.
fn place(section: &str, key: Option<&str>, origin: Option<&str>) -> String {
    if let Some((name, key)) = env::NAMES.iter().find(|(name, _)| Some(*name) == origin) {
        return format!("{key} ({name})");
    }
    match key {
        Some(key) if key.starts_with(section) => key.to_owned(),
        Some(key) => format!("{section}.{key}"),
        None => section.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<Config, Problems> {
        load(None, |name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn leaves(prefix: &str, table: &toml::Table, out: &mut Vec<String>) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                toml::Value::Table(table) => leaves(&key, table, out),
                _ => out.push(key),
            }
        }
    }

    #[test]
    fn the_defaults_lack_only_the_secret() {
        let problems = from(&[]).expect("the defaults").problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("JWT_ACCESS_SECRET"));
        assert_eq!(from(&[("JWT_ACCESS_SECRET", "s")]).expect("a config").problems().len(), 0);
    }

    #[test]
    fn every_key_has_one_documented_variable() {
        let mut keys = Vec::new();
        leaves("", &DEFAULTS.parse().expect("TOML"), &mut keys);
        for key in &keys {
            let names: Vec<_> = env::NAMES.iter().filter(|(_, k)| k == key).collect();
            assert_eq!(names.len(), 1, "{key}");
            assert!(DEFAULTS.contains(&format!("# env: {}\n", names[0].0)), "{key}");
        }
        assert_eq!(keys.len(), env::NAMES.len());
    }

    #[test]
    fn the_environment_wins_and_an_empty_variable_is_unset() {
        let config = from(&[
            ("MESSAGING_PORT", "8080"),
            ("MESSAGING_WS_PORT", "8081"),
            ("WS_CORS_ORIGIN", "https://a.example, https://b.example"),
            ("NATS_URL", "nats://a:4222,nats://b:4222"),
            ("JWT_ACCESS_SECRET", "123"),
            ("POSTGRES_PASSWORD", "0042"),
            ("MAX_QUEUED_FRAMES", "0"),
            ("MAX_FRAME_BYTES", ""),
            ("MESSAGING_DRAIN_WINDOW", "1500ms"),
            ("MESSAGING_NATS_APPLY_TOPOLOGY", "false"),
        ])
        .expect("a config");
        assert_eq!(config.http.listen().port(), 8080);
        assert_eq!(config.http.ws_listen().map(|addr| addr.port()), Some(8081));
        assert_eq!(config.http.cors_origins, ["https://a.example", "https://b.example"]);
        assert_eq!(config.nats.urls.len(), 2);
        assert_eq!(config.auth.jwt_secret.expose(), "123");
        assert_eq!(config.postgres.password.expose(), "0042");
        assert_eq!(config.limits.max_queued_frames, 0);
        assert_eq!(config.limits.max_frame_bytes, 65536);
        assert_eq!(config.lifecycle.drain_window, Duration::from_millis(1500));
        assert!(!config.nats.apply_topology);
    }

    #[test]
    fn each_section_with_a_wrong_value_gets_its_sentence() {
        let Problems(problems) = from(&[
            ("MESSAGING_PORT", "http"),
            ("MAX_CONTENT_CHARS", "-1"),
            ("MESSAGING_PERSISTER_LINGER", "soon"),
        ])
        .expect_err("three problems");
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("MESSAGING_PORT"), "{}", problems[0]);
        assert!(problems[1].contains("MAX_CONTENT_CHARS"), "{}", problems[1]);
        assert!(problems[2].contains("not a duration"), "{}", problems[2]);
    }

    #[test]
    fn the_file_overrides_defaults_and_unknown_keys_are_named() {
        let path =
            std::env::temp_dir().join(format!("messaging-config-{}.toml", std::process::id()));
        let mut file = std::fs::File::create(&path).expect("a file");
        write!(file, "[persister]\nlinger = \"9ms\"\nbatchsize = 5\n[nope]\na = 1\n")
            .expect("written");
        let Problems(problems) = load(Some(&path), |_| None).expect_err("unknown keys");
        std::fs::remove_file(&path).expect("removed");
        assert!(problems.iter().any(|p| p.contains("batchsize")), "{problems:?}");
        assert!(problems.iter().any(|p| p.contains("`nope`")), "{problems:?}");
    }

    #[test]
    fn the_effective_configuration_is_toml_that_loads_again_and_hides_secrets() {
        let config = from(&[
            ("JWT_ACCESS_SECRET", "hunter2"),
            ("POSTGRES_URL", "postgres://u:hunter2@h/db"),
            ("NATS_URL", "nats://u:hunter2@h:4222,hunter2@i"),
        ])
        .expect("a config");
        let text = config.to_toml().expect("TOML");
        assert!(!text.contains("hunter2"), "{text}");
        let mut keys = Vec::new();
        leaves("", &text.parse().expect("TOML"), &mut keys);
        assert_eq!(keys.len(), env::NAMES.len());
    }
}
