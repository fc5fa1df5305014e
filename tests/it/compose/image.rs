//! The image: what it is made of is there and is sent to the builder, and it listens where the others ask.

use super::file::Compose;
use super::text;
use crate::harness::tools::repository;

fn dockerfile() -> String {
    std::fs::read_to_string(repository().join("Dockerfile")).expect("Dockerfile")
}

#[test]
fn it_is_made_of_what_is_there_and_sent_to_the_builder() {
    let ignored = std::fs::read_to_string(repository().join(".dockerignore")).expect("a list");
    let sent: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignored.lines().any(|line| line == "*"), "everything else stays here");
    let text = dockerfile();
    let copied = text.lines().filter_map(|line| line.strip_prefix("COPY "));
    let sources = copied.filter(|line| !line.starts_with("--from"));
    for line in sources {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.pop();
        for word in words {
            assert!(repository().join(word).exists(), "{word} does not exist");
            assert!(sent.contains(&word), "{word} is not in .dockerignore");
        }
    }
    // What the program is compiled with must be copied: a build here would not notice.
    for embedded in ["nats", "migrations", "config/default.toml", "src", "build.rs"] {
        assert!(text.contains(&format!("\nCOPY {embedded}")), "{embedded} is not copied");
    }
}

#[test]
fn its_stages_are_pinned_it_is_nobody_and_it_can_be_asked() {
    let text = dockerfile();
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).expect("Cargo.toml");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let rust = manifest["package"]["rust-version"].as_str().expect("a version");
    let stages: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
    assert!(stages[0].starts_with(&format!("rust:{rust}.")), "{stages:?}");
    let release = |image: &str| image.contains("bookworm");
    assert!(stages.len() == 2 && stages.iter().all(|image| release(image)), "{stages:?}");
    assert!(text.contains("\nUSER 10001:10001\n"));
    assert!(text.contains(r#"CMD ["/usr/local/bin/messaging", "health"]"#));
    assert!(text.matches("--locked").count() == 2);
    let known =
        std::fs::read_to_string(repository().join("config/default.toml")).expect("settings");
    let settings = text.split("\nENV ").nth(1).expect("settings");
    for word in settings.split("\nEXPOSE").next().expect("settings").split_whitespace() {
        if let Some((name, _)) = word.split_once('=') {
            assert!(known.contains(&format!("# env: {name}\n")), "{name} is no setting");
        }
    }
}

#[test]
fn others_ask_it_where_it_listens() {
    let text_of = |path: &str| std::fs::read_to_string(repository().join(path)).expect("readable");
    assert!(dockerfile().contains("MESSAGING_METRICS_LISTEN=0.0.0.0:9100"));
    assert!(dockerfile().contains("EXPOSE 3004 9100"));
    assert!(text_of("config/proxy/haproxy.cfg").contains(r#""${EDGES}:3004""#));
    let compose = Compose::load();
    assert_eq!(text(&compose.at("services")["proxy"]["environment"]["EDGES"]), "edge");
    let prometheus = super::file::yaml(&text_of("config/prometheus/prometheus.yml"));
    let jobs = prometheus["scrape_configs"].as_array().expect("jobs");
    let roles: Vec<&str> = compose
        .of_the_image()
        .filter(|(_, service)| service["command"][0] == "serve")
        .map(|(name, _)| name)
        .collect();
    for role in &roles {
        let job = jobs.iter().find(|job| job["job_name"] == *role);
        let job = job.unwrap_or_else(|| panic!("nobody asks {role}"));
        assert_eq!(job["dns_sd_configs"][0]["names"][0], *role);
        assert_eq!(job["dns_sd_configs"][0]["port"], 9100);
    }
    let names: Vec<&str> = compose.services().map(|(name, _)| name).collect();
    let fixed = jobs.iter().flat_map(|job| job["static_configs"][0]["targets"].as_array());
    for target in fixed.flatten() {
        let (host, _) = text(target).split_once(':').expect("host and port");
        assert!(host == "localhost" || names.contains(&host), "{host} is no service");
    }
    // Each must share exactly one network with those that are found by name, or they count twice.
    let networks = |name: &str| -> Vec<String> {
        let networks = compose.at("services")[name]["networks"].as_array().expect("networks");
        networks.iter().map(|network| text(network).to_owned()).collect()
    };
    for (asking, asked) in roles.iter().map(|role| ("prometheus", *role)).chain([("proxy", "edge")])
    {
        let theirs = networks(asked);
        let shared =
            networks(asking).into_iter().filter(|network| theirs.contains(network)).count();
        assert_eq!(shared, 1, "{asking} and {asked}");
    }
}
