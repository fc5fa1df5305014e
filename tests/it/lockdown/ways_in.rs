//! Encrypted connections, and keys instead of passwords.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{run_as, run_with};
use crate::harness::shipped::Shipped;
use crate::harness::{World, tools};

/// Runs `openssl` in a folder.
fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' '));
    let output = command.output().expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and a certificate of it for this machine: `ca.pem`, `cert.pem`, `key.pem`.
fn certificates(name: &str) -> PathBuf {
    let folder = tools::folder(name);
    let new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout";
    openssl(&folder, &format!("{new} ca.key -x509 -days 2 -subj /CN=tests -out ca.pem"));
    openssl(&folder, &format!("{new} key.pem -subj /CN=localhost -out request.pem"));
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        .expect("written");
    let signing = "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
    openssl(&folder, &format!("{signing} -extfile names -out cert.pem"));
    folder
}

#[tokio::test]
async fn tls_carries_the_service_and_nothing_unencrypted_or_unverified() {
    let (ours, others) = (certificates("tls"), certificates("tls"));
    let shipped = Shipped::tls(&ours.join("cert.pem"), &ours.join("key.pem"));
    let world = World::without_nodes().await;
    let apply = ["topology", "apply"];
    let with_authority = |folder: &Path| {
        let mut environment = shipped.environment("topology");
        environment.push(("NATS_URL", shipped.urls[0].replace("nats://", "tls://")));
        let file = folder.join("ca.pem").to_string_lossy().into_owned();
        environment.push(("MESSAGING_NATS_TLS_CA", file));
        environment
    };
    let output = run_with(&world, &apply, &with_authority(&ours)).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let output = run_with(&world, &apply, &with_authority(&others)).await;
    assert!(!output.status.success(), "another authority's certificate was taken");
    // The server asks for TLS; its certificate is of no authority that this machine knows.
    let output = run_as(&world, &shipped, "topology", &apply).await;
    assert!(!output.status.success(), "an unknown certificate was taken");
}

#[tokio::test]
async fn a_key_opens_what_a_password_does_and_only_the_seed_of_that_key() {
    let (key, other) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let change = ("user: topology, password: $NATS_TOPOLOGY_PASSWORD", "nkey: $NATS_TOPOLOGY_NKEY");
    let environment = [("NATS_TOPOLOGY_NKEY", &*key.public_key())];
    let shipped = Shipped::single_with(&[change], &environment);
    let world = World::without_nodes().await;
    let folder = tools::folder("nkeys");
    let with_seed = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).expect("written");
        let mut environment = shipped.environment("topology");
        environment.retain(|(name, _)| *name != "NATS_PASSWORD");
        environment.push(("NATS_NKEY_SEED_FILE", file.to_string_lossy().into_owned()));
        environment
    };
    let apply = ["topology", "apply"];
    let own = with_seed("own", &format!("{}\n", key.seed().expect("a seed")));
    let output = run_with(&world, &apply, &own).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let wrong = [
        (other.seed().expect("a seed"), "the server does not know this user, password or key"),
        ("no seed".to_owned(), "it is not the seed of a user"),
    ];
    for (text, expected) in wrong {
        let output = run_with(&world, &apply, &with_seed("other", &text)).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{said}");
        assert!(!said.contains(&*text), "a seed is not for the log");
    }
}

#[tokio::test]
async fn a_key_is_exchanged_for_another_without_a_moment_in_which_neither_works() {
    let (old, new) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
    let line = "{ user: billing, password: $NATS_BILLING_PASSWORD, permissions: $billing_may }";
    let user = |key: &nkeys::KeyPair| {
        format!("{{ nkey: {}, permissions: $billing_may }}", key.public_key())
    };
    let shipped = Shipped::single_with(&[(line, &user(&old))], &[]);
    let connect = async |key: &nkeys::KeyPair| {
        let seed = key.seed().expect("a seed");
        let options = async_nats::ConnectOptions::with_nkey(seed);
        options.custom_inbox_prefix("_INBOX_billing").connect(&shipped.urls[0]).await
    };
    let before = connect(&old).await.expect("the old key is good");
    assert!(connect(&new).await.is_err(), "the new one is not known yet");

    shipped.reload(&[(line, &format!("{}\n  {}", user(&old), user(&new)))]).await;
    before.flush().await.expect("the old key's connection lives on");
    let after = connect(&new).await.expect("the new key is good");
    connect(&old).await.expect("and the old one still is");
    let subject = "messaging.users.billing.x";
    after.publish(subject, "{}".into()).await.expect("sent");
    after.flush().await.expect("and allowed");
}
