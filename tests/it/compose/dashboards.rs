//! What is shown and what alerts exists: every metric of ours that Grafana or Prometheus names, a process has.

use std::collections::BTreeSet;

use serde_json::Value;

use super::file::yaml;
use super::text;
use crate::harness::tools::repository;
use crate::harness::{Rest, World};

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).expect(path)
}

fn dashboard() -> Value {
    serde_json::from_str(&read("config/grafana/dashboards/messaging.json")).expect("JSON")
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().expect("panels").iter()
}

/// Every expression, with where it stands.
fn expressions() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let shown = panels(&dashboard).flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets
            .map(move |target| (text(&panel["title"]).to_owned(), text(&target["expr"]).to_owned()))
    });
    let alerts = yaml(&read("config/prometheus/alerts.yml"));
    let groups = alerts["groups"].as_array().expect("groups").clone();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    let rules = rules.map(|rule| (text(&rule["alert"]).to_owned(), text(&rule["expr"]).to_owned()));
    shown.chain(rules).collect()
}

/// The names in an expression that begin with `prefix`.
fn named<'a>(expression: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(move |word| word.starts_with(prefix))
}

/// The names of the series that the text of `/metrics` announces.
fn exposed(metrics: &str) -> BTreeSet<String> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .flat_map(|line| {
            let (name, kind) = line.split_once(' ').expect("name and type");
            let endings: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            endings.iter().map(move |ending| format!("{name}{ending}"))
        })
        .collect()
}

/// Those of families, which say nothing while they are empty, as the program's source registers them.
fn registered() -> BTreeSet<String> {
    let folder = repository().join("src/telemetry/metrics");
    let files = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let mut names = BTreeSet::new();
    for path in files.chain([repository().join("src/telemetry/metrics.rs")]) {
        let source = std::fs::read_to_string(path).expect("readable");
        let quoted =
            |rest: &str| rest.trim_start().strip_prefix('"')?.split('"').next().map(str::to_owned);
        let prefix = source.split("sub_registry_with_prefix(").nth(1).and_then(quoted);
        let prefix =
            prefix.map_or_else(|| "messaging".to_owned(), |prefix| format!("messaging_{prefix}"));
        for name in source.split(".register(").skip(1).filter_map(quoted) {
            names.extend(["_total", "_bucket"].map(|ending| format!("{prefix}_{name}{ending}")));
        }
    }
    names
}

#[tokio::test]
async fn every_metric_that_is_shown_or_alerts_is_one_of_the_program() {
    let world = World::start().await;
    let metrics = Rest::new(&world.node().url, None).get("//metrics").await.expect(200);
    let mut exposed = exposed(metrics.as_str().expect("text"));
    exposed.extend(registered());
    let mut shown = BTreeSet::new();
    for (place, expression) in expressions() {
        for name in named(&expression, "messaging_") {
            assert!(exposed.contains(name), "{place}: {name} is no metric of the program");
            shown.insert(name.to_owned());
        }
    }
    assert!(shown.len() > 30, "{shown:?}");
}

#[test]
fn the_dashboard_is_whole_and_finds_its_data() {
    let dashboard = dashboard();
    let source = yaml(&read("config/grafana/provisioning/datasources/prometheus.yml"));
    let uid = &source["datasources"][0]["uid"];
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = text(&panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{title}");
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
        assert!(at("x") + at("w") <= 24, "{title}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} covers another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        for target in panel["targets"].as_array().expect("targets") {
            assert_eq!(&target["datasource"]["uid"], uid, "{title}");
        }
    }
    let rows: Vec<&str> = panels(&dashboard)
        .filter(|panel| panel["type"] == "row")
        .map(|row| text(&row["title"]))
        .collect();
    for stage in [
        "Accept", "Log", "Fan-out", "Persist", "Resume", "Presence", "Push", "Ingest", "Media",
        "Search", "Safety", "Postgres",
    ] {
        assert!(rows.iter().any(|row| row.starts_with(stage)), "{stage} is in none of {rows:?}");
    }
}

#[test]
fn alerts_say_what_is_wrong_and_how_urgent_it_is() {
    let alerts = yaml(&read("config/prometheus/alerts.yml"));
    for group in alerts["groups"].as_array().expect("groups") {
        for rule in group["rules"].as_array().expect("rules") {
            let name = text(&rule["alert"]);
            assert!(["critical", "warning"].contains(&text(&rule["labels"]["severity"])), "{name}");
            assert!(text(&rule["annotations"]["summary"]).len() > 20, "{name}");
        }
    }
}

#[test]
fn operators_are_told_what_to_do_first_about_each_alert_and_about_no_other() {
    let alerts = yaml(&read("config/prometheus/alerts.yml"));
    let groups = alerts["groups"].as_array().expect("groups");
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    let rules: BTreeSet<String> = rules.map(|rule| text(&rule["alert"]).to_owned()).collect();
    let page = read("docs/operations.md");
    let (_, section) = page.split_once("\n## Alerts\n").expect("a section");
    let section = section.split("\n## ").next().expect("a beginning");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let told: BTreeSet<String> = rows.skip(1).map(str::to_owned).collect();
    assert_eq!(told, rules);
}
