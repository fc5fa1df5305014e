//! `docker-compose.yml` as an engine reads it: aliases and merges resolved, variables replaced.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::tools::{folder, repository};

pub struct Compose(Value);

impl Compose {
    pub fn load() -> Self {
        Self(yaml(&substituted(&environment())))
    }

    pub fn at(&self, key: &str) -> &Value {
        &self.0[key]
    }

    pub fn services(&self) -> impl Iterator<Item = (&str, &Value)> {
        let services = self.0["services"].as_object().expect("services");
        services.iter().map(|(name, service)| (name.as_str(), service))
    }

    /// Those that run this program.
    pub fn of_the_image(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.services().filter(|(_, service)| service["build"].is_string())
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Host path and target of what a service mounts from the repository.
pub fn host_paths(service: &Value) -> Vec<(String, String)> {
    let volumes = service["volumes"].as_array().into_iter().flatten();
    volumes
        .filter_map(|volume| {
            let (host, rest) = text(volume).strip_prefix("./")?.split_once(':')?;
            let target = rest.split(':').next().unwrap_or_default();
            Some((host.to_owned(), target.to_owned()))
        })
        .collect()
}

/// With anchors and `<<` resolved.
pub fn yaml(text: &str) -> Value {
    let mut value: serde_yaml_ng::Value = serde_yaml_ng::from_str(text).expect("YAML");
    // An alias may bring a merge of its own along: one pass for each level.
    for _ in 0..4 {
        value.apply_merge().expect("mergeable");
    }
    serde_json::to_value(value).expect("plain values")
}

fn source() -> String {
    std::fs::read_to_string(repository().join("docker-compose.yml")).expect("docker-compose.yml")
}

/// Each `${NAME…}` outside of comments: what stands behind the name, and where it is.
fn references(text: &str) -> Vec<(&str, &str, &str)> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split("${").skip(1))
        .map(|rest| {
            let inside = rest.split_once('}').expect("a closing brace").0;
            let end = inside.find(':').unwrap_or(inside.len());
            (inside, &inside[..end], &inside[end..])
        })
        .collect()
}

/// The variables of the file, and whether each must be given.
pub fn variables() -> BTreeMap<String, bool> {
    let text = source();
    let mut variables = BTreeMap::new();
    for (_, name, rest) in references(&text) {
        *variables.entry(name.to_owned()).or_insert(false) |= rest.starts_with(":?");
    }
    variables
}

fn substituted(environment: &BTreeMap<String, String>) -> String {
    let mut text = source();
    for (inside, name, rest) in references(&text.clone()) {
        let given = environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let value =
            given.or(rest.strip_prefix(":-")).unwrap_or_else(|| panic!("{name} is not set"));
        text = text.replace(&format!("${{{inside}}}"), value);
    }
    text
}

/// What `make compose-env` makes on a machine that has no `.env`.
pub fn environment() -> BTreeMap<String, String> {
    let path = folder("env").join("env");
    make_environment(&path);
    let text = std::fs::read_to_string(&path).expect("made");
    assignments(&text).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub fn make_environment(path: &Path) {
    let output = Command::new(repository().join("scripts/compose-env")).arg(path).output();
    let output = output.expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mode = std::os::unix::fs::MetadataExt::mode(&path.metadata().expect("made"));
    assert_eq!(mode & 0o777, 0o600);
}

pub fn assignments(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='))
}
