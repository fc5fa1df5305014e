//! Commands beside a running `messaging dev`: they know its servers from the data folder.

use std::path::Path;
use std::process::Output;

use super::{Dev, folder, gone};
use crate::harness::node::command;

fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    command(arguments, &settings.collect::<Vec<_>>()).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs one that has to succeed, with nothing but its answer.
fn fine(arguments: &[&str], settings: &[(&str, &str)]) {
    let output = run(arguments, settings);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{arguments:?}");
}

/// One that has to be refused before it does anything, with a sentence that has these words.
fn refused(arguments: &[&str], settings: &[(&str, &str)], words: &str) -> String {
    let output = run(arguments, settings);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains(words), "{words} is not in {said}");
    said
}

fn password(data: &Path, user: &str) -> String {
    std::fs::read_to_string(data.join("nats-users").join(user))
        .expect("a password")
        .trim()
        .to_owned()
}

#[test]
fn the_data_folder_is_all_that_an_operator_needs() {
    let data = folder();
    let named = data.display().to_string();
    let status = ["admin", "--data", &named, "status"];
    refused(&status, &[], "There is no folder");
    refused(&["admin", "status"], &[("MESSAGING_DATA", "/")], "is not a data folder");
    let dev = Dev::start(&data);
    fine(&status, &[]);
    let beside = [("MESSAGING_DATA", named.as_str())];
    let backup = data.with_file_name("backup").display().to_string();
    for arguments in [
        &["admin", "status"][..],
        &["admin", "doctor"],
        &["admin", "topology", "diff"],
        &["admin", "topology", "apply"],
        &["admin", "verify"],
        &["admin", "backup", &backup],
        &["topology", "show"],
        &["migrate"],
        &["health"],
    ] {
        fine(arguments, &beside);
    }

    let secret = password(&data, "operator");
    let address =
        dev.run["natsUrl"].as_str().and_then(|url| url.rsplit_once('@')).expect("a URL").1;
    let with_password = format!("nats://operator:{secret}@{address}");
    for name in ["NATS_URL", "POSTGRES_URL", "NATS_PASSWORD"] {
        let said = refused(&status, &[(name, &with_password)], name);
        assert!(!said.contains(&secret), "{said}");
    }
    // The other way: everything by variables, with the user before the server's name.
    fine(&["admin", "dead", "list"], &[("NATS_URL", &with_password)]);
    let wrong = format!("nats://operator:wrong-one@{address}");
    let said = text(&run(&["admin", "dead", "list"], &[("NATS_URL", &wrong)]).stderr);
    assert!(said.contains("does not know this user") && !said.contains("wrong-one"), "{said}");

    let servers = dev.servers();
    dev.process.stop(libc::SIGKILL);
    assert!(gone(servers));
    assert!(data.join("run.json").exists());
    refused(&status, &[], "No `messaging dev` runs on");
}
