//! `docker-compose.yml`, `Dockerfile` and `config/`, checked without an engine: whatever they name exists, in the program,
//! in each other and in the repository.

mod dashboards;
mod file;
mod image;
mod postgres;
mod proxy;

use std::collections::BTreeMap;

use file::{Compose, host_paths, text};

use crate::harness::node::command;
use crate::harness::tools::repository;

/// What runs once and is gone.
const ONCE: &[&str] = &["migrate", "topology", "bucket", "admin"];

#[test]
fn every_image_is_pinned_and_every_service_is_watched_and_bounded() {
    let compose = Compose::load();
    for (name, service) in compose.services() {
        let image = text(&service["image"]);
        let (_, tag) =
            image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image} has no tag"));
        let digits = tag.chars().filter(char::is_ascii_digit).count();
        assert!(digits >= 3 && tag != "latest", "{name}: {image} is not pinned");
        assert!(service["mem_limit"].is_string(), "{name} has no limit of memory");
        let restart = if ONCE.contains(&name) { "no" } else { "unless-stopped" };
        assert_eq!(text(&service["restart"]), restart, "{name}");
        // The images of exporters hold nothing to ask with; the service's own brings its check along.
        let asks = service["healthcheck"]["test"].is_array() || service["build"].is_string();
        assert!(
            asks || ONCE.contains(&name) || name.contains("exporter"),
            "{name} has no health check"
        );
    }
}

#[test]
fn only_the_proxy_is_published_and_grafana_to_this_machine() {
    let compose = Compose::load();
    for (name, service) in compose.services() {
        let ports = service["ports"].as_array().cloned().unwrap_or_default();
        let ports: Vec<&str> = ports.iter().map(|port| port.as_str().expect("text")).collect();
        match name {
            "proxy" => assert_eq!(ports, ["3004:8080", "9000:8090"]),
            "grafana" => assert_eq!(ports, ["127.0.0.1:3000:3000"]),
            _ => assert!(ports.is_empty(), "{name} publishes {ports:?}"),
        }
        assert!(service["privileged"].is_null() && service["network_mode"] != "host", "{name}");
    }
    for network in ["data", "clients", "files", "watching"] {
        assert_eq!(compose.at("networks")[network]["internal"], true, "{network}");
    }
}

#[test]
fn what_a_service_names_exists() {
    let compose = Compose::load();
    let names: Vec<&str> = compose.services().map(|(name, _)| name).collect();
    for (name, service) in compose.services() {
        for dependency in service["depends_on"].as_object().into_iter().flat_map(|map| map.keys()) {
            assert!(names.contains(&dependency.as_str()), "{name} depends on {dependency}");
        }
        if let Some(other) = service["network_mode"].as_str() {
            let other = other.strip_prefix("service:").expect("the network of a service");
            assert!(names.contains(&other), "{name} lives with {other}");
        }
        for network in service["networks"].as_array().into_iter().flatten() {
            assert!(compose.at("networks")[text(network)].is_object(), "{name}: network {network}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            // Without a source it is the container's own.
            let Some((source, _)) = text(volume).split_once(':') else { continue };
            match source.strip_prefix("./") {
                Some(path) => assert!(repository().join(path).exists(), "{name}: {path}"),
                None => assert!(compose.at("volumes")[source].is_object(), "{name}: {source}"),
            }
        }
    }
    // Those whom the service is told to connect to.
    for (name, service) in compose.of_the_image() {
        let urls = text(&service["environment"]["NATS_URL"]);
        let hosts = urls.split(',').map(|url| url.trim_start_matches("nats://"));
        let hosts = hosts.map(|host| host.split(':').next().expect("a host"));
        let postgres = text(&service["environment"]["POSTGRES_HOST"]);
        let files = service["environment"]["MINIO_ENDPOINT"].as_str();
        for host in hosts.chain([postgres]).chain(files) {
            assert!(names.contains(&host), "{name} connects to {host}");
        }
    }
}

#[test]
fn the_program_knows_every_setting_and_command() {
    let compose = Compose::load();
    let known =
        std::fs::read_to_string(repository().join("config/default.toml")).expect("settings");
    for (name, service) in compose.of_the_image() {
        let environment = service["environment"].as_object().expect("settings");
        for setting in environment.keys() {
            assert!(
                known.contains(&format!("# env: {setting}\n")),
                "{name}: {setting} is no setting"
            );
        }
        let settings: Vec<(String, String)> = environment
            .iter()
            .map(|(name, value)| (name.clone(), text(value).to_owned()))
            .filter(|(name, _)| !name.ends_with("_FILE"))
            .collect();
        // Behind the program itself.
        let own = service["entrypoint"].as_array().into_iter().flatten().skip(1);
        let given = service["command"].as_array().expect("a command");
        let mut arguments: Vec<&str> = own.chain(given).map(text).collect();
        // A role is started for real elsewhere; here its settings are weighed.
        arguments.push(if arguments[0] == "serve" { "--check" } else { "--help" });
        let output = command(&arguments, &settings).output().expect("messaging runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: messaging {arguments:?}: {said}");
    }
}

#[test]
fn the_servers_of_nats_are_given_what_their_configuration_reads() {
    let compose = Compose::load();
    let folder = repository().join("nats");
    let mut read = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("nats/").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".conf") && !["single.conf", "tls.conf"].contains(&name.as_str()) {
            read.push(std::fs::read_to_string(entry.path()).expect("readable"));
        }
    }
    let code = read.iter().flat_map(|text| text.lines());
    let code = code.map(|line| line.split('#').next().unwrap_or_default());
    let variables: Vec<&str> = code
        .flat_map(|line| line.split('$').skip(1))
        .map(|rest| {
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("")
        })
        .filter(|name| name.len() > 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .filter(|name| !["SRV"].contains(name))
        .collect();
    assert!(variables.contains(&"NODE"), "{variables:?}");
    for (name, service) in
        compose.services().filter(|(name, _)| name.starts_with("nats-") && name.len() == 6)
    {
        let environment = &service["environment"];
        for variable in &variables {
            assert!(environment[*variable].is_string(), "{name} is not given {variable}");
        }
        assert_eq!(text(&environment["NODE"]), name);
        let image = text(&service["image"]);
        assert!(image.starts_with("nats:2.1"), "{image}");
    }
}

#[test]
fn every_variable_is_in_the_example_and_every_secret_of_the_example_is_made() {
    let used = file::variables();
    let example = std::fs::read_to_string(repository().join(".env.example")).expect("the example");
    let example: BTreeMap<&str, &str> = file::assignments(&example).collect();
    for variable in used.keys() {
        assert!(example.contains_key(variable.as_str()), "{variable} is not in .env.example");
    }
    let made = file::environment();
    for (variable, value) in &example {
        assert!(used.contains_key(*variable), "{variable} of .env.example is used nowhere");
        let required = used[*variable];
        let optional = *variable == "MESSAGING_LOG" || variable.starts_with("FIREBASE_");
        assert_eq!(value.is_empty(), required || optional, "{variable}");
        let made = made[*variable].as_str();
        if required {
            assert!(made.len() > 32 && made.starts_with('s'), "{variable} is not secret");
            assert!(made.chars().all(|c| c.is_ascii_alphanumeric()), "{variable}");
        } else {
            assert_eq!(made, *value, "{variable}");
        }
    }
    // A refusal instead of a system with an empty password.
    for (variable, required) in used {
        let secret = ["PASSWORD", "SECRET"].iter().any(|part| variable.contains(part));
        assert!(required || !secret, "{variable} may be left empty");
    }
}

#[test]
fn secrets_that_are_there_are_kept() {
    let folder = crate::harness::tools::folder("env");
    let path = folder.join("env");
    std::fs::write(&path, "POSTGRES_PASSWORD=mine=still\nOWN=1\n").expect("written");
    file::make_environment(&path);
    let first = std::fs::read_to_string(&path).expect("made");
    assert!(first.contains("\nPOSTGRES_PASSWORD=mine=still\n") && first.ends_with("\nOWN=1\n"));
    file::make_environment(&path);
    assert_eq!(std::fs::read_to_string(&path).expect("made"), first);
}

#[test]
fn what_is_mounted_is_where_its_readers_look() {
    let compose = Compose::load();
    let mounts = |name: &str| host_paths(&compose.at("services")[name]);
    let inside = |name: &str, path: &str| {
        let (host, target) = mounts(name)
            .into_iter()
            .find(|(_, target)| path.starts_with(target.as_str()))
            .unwrap_or_else(|| panic!("{name}: nothing is mounted for {path}"));
        let file = match path[target.len()..].trim_start_matches('/') {
            "" => repository().join(host),
            rest => repository().join(host).join(rest),
        };
        assert!(file.exists(), "{name}: {} does not exist", file.display());
    };
    inside("nats-1", "/etc/nats/cluster.conf");
    inside("proxy", "/usr/local/etc/haproxy/haproxy.cfg");
    inside("prometheus", "/etc/prometheus/prometheus.yml");
    inside("prometheus", "/etc/prometheus/alerts.yml");
    inside("bucket", "/etc/messaging/bucket.sh");
    inside("bucket", "/etc/messaging/policy.json");
    inside("grafana", "/etc/grafana/provisioning/datasources/prometheus.yml");
    inside("grafana", "/etc/grafana/provisioning/dashboards/messaging.yml");
    let home = &compose.at("services")["grafana"]["environment"];
    inside("grafana", text(&home["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]));
}
