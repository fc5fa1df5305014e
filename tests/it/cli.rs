//! The commands that need no server.

use std::process::Output;

use crate::harness::node::command;

fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let settings: Vec<_> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    command(arguments, &settings).output().expect("messaging runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn serve_refuses_to_start_without_a_secret() {
    let output = run(&["serve"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    assert!(stderr(&output).contains("JWT_ACCESS_SECRET"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn check_prints_what_is_effective_and_masks_secrets() {
    let settings = [
        ("JWT_ACCESS_SECRET", "hunter2"),
        ("POSTGRES_URL", "postgres://ada:hunter2@db/messaging"),
        ("NATS_URL", "nats://ada:hunter2@nats-a:4222,nats://nats-b:4222"),
        ("MESSAGING_PORT", "8080"),
        ("WS_CORS_ORIGIN", "https://app.example"),
        ("RATE_LIMIT_MESSAGES_PER_SECOND", "0"),
    ];
    let output = run(&["serve", "--check"], &settings);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(!text.contains("hunter2"), "{text}");
    let shown: toml::Table = text.parse().expect("TOML");
    assert_eq!(shown["http"]["port"].as_integer(), Some(8080));
    assert_eq!(shown["http"]["cors_origins"][0].as_str(), Some("https://app.example"));
    assert_eq!(shown["limits"]["messages_per_second"].as_integer(), Some(0));
    assert_eq!(shown["nats"]["urls"][1].as_str(), Some("nats://nats-b:4222"));
}

#[test]
fn check_names_every_problem_and_fails() {
    let settings =
        [("NATS_USER", "ada"), ("MESSAGING_NATS_REPLICAS", "2"), ("MESSAGING_HARD_DEADLINE", "1s")];
    let output = run(&["serve", "--check"], &settings);
    assert_eq!(output.status.code(), Some(2));
    for word in ["JWT_ACCESS_SECRET", "NATS_PASSWORD", "replicas", "hard_deadline"] {
        assert!(stderr(&output).contains(word), "{word}: {}", stderr(&output));
    }
}

#[test]
fn half_of_the_credentials_for_notifications_is_refused_at_start() {
    let secret = ("JWT_ACCESS_SECRET", "s");
    let half = run(&["serve"], &[secret, ("FIREBASE_CLIENT_EMAIL", "a@b")]);
    assert_eq!(half.status.code(), Some(2));
    let said = stderr(&half);
    assert!(said.contains("without FIREBASE_PROJECT_ID and FIREBASE_PRIVATE_KEY"), "{said}");
    let wrong = [
        secret,
        ("FIREBASE_PROJECT_ID", "p"),
        ("FIREBASE_CLIENT_EMAIL", "a@b"),
        ("FIREBASE_PRIVATE_KEY", "hunter2"),
    ];
    let wrong = run(&["serve", "--check"], &wrong);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("private key is no PEM"), "{}", stderr(&wrong));
    assert!(!(stderr(&wrong) + &stdout(&wrong)).contains("hunter2"), "it is masked");
}

#[test]
fn a_value_that_cannot_be_read_is_one_sentence_that_names_its_variable() {
    let output = run(&["serve"], &[("JWT_ACCESS_SECRET", "s"), ("MESSAGING_PORT", "http")]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        "error: http.port (MESSAGING_PORT) is string \"http\", but must be an integer.\n"
    );
}

#[test]
fn a_token_is_signed_with_the_secret_and_says_who_and_until_when() {
    let user = "7f000000-0000-4000-8000-000000000001";
    let arguments = ["token", "--user", user, "--name", "Ada", "--ttl", "10m"];
    let output = run(&arguments, &[("JWT_ACCESS_SECRET", "123")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let key = jsonwebtoken::DecodingKey::from_secret(b"123");
    let validation = jsonwebtoken::Validation::default();
    let token =
        jsonwebtoken::decode::<serde_json::Value>(stdout(&output).trim(), &key, &validation)
            .expect("a valid token");
    assert_eq!(token.claims["sub"], user);
    assert_eq!(token.claims["name"], "Ada");
    let (issued, expires) = (token.claims["iat"].as_i64(), token.claims["exp"].as_i64());
    assert_eq!(expires.expect("exp") - issued.expect("iat"), 600);
}

#[test]
fn a_token_without_a_secret_is_refused_with_a_hint() {
    let user = "7f000000-0000-4000-8000-000000000001";
    let output = run(&["token", "--user", user, "--data", "/nonexistent"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("JWT_ACCESS_SECRET"), "{}", stderr(&output));
}
