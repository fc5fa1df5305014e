//! A program that reads `/openapi.json` and asks what it says may be asked, and what it says may not: no answer is
//! undocumented, and none is a bug.

use std::fmt::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::tools::{self, repository};
use crate::harness::{Node, User, World};

/// What is asked about, so that the tester gets past "not yours" and "not there".
struct Known {
    conversation: Value,
    message: Value,
    other: Value,
}

async fn known(node: &Node, ada: &User, bayo: &User) -> Known {
    let rest = node.rest(ada);
    let group = json!({ "type": "group", "title": "Tested", "participantIds": [bayo.id] });
    let conversation = rest.post("/conversations", group).await.expect(201)["id"].take();
    let message = json!({ "conversationId": conversation, "content": "Hello" });
    let message = rest.post("/messages", message).await.expect(201)["id"].take();
    Known { conversation, message, other: json!(bayo.id) }
}

/// The tester's settings. What would end the conversation or the message for all that follows is asked about others.
fn settings(known: &Known) -> String {
    let Known { conversation, message, other } = known;
    let mut toml = String::new();
    let mut of = |path: &str, parameters: String| {
        writeln!(
            toml,
            "[[operations]]\ninclude-path-regex = \"{path}\"\nexclude-operation-id-regex = \
             \"^(leaveConversation|removeParticipant|banParticipant|deleteMessage|setRole)$\"\nparameters = {{ {parameters} }}"
        )
        .expect("a string takes it");
    };
    of(
        "^/messaging/conversations/[{]id",
        format!(
            "\"path.id\" = {conversation}, \"path.userId\" = {other}, \"path.messageId\" = {message}"
        ),
    );
    of("^/messaging/messages/[{]id", format!("\"path.id\" = {message}, \"path.emoji\" = \"👍\""));
    toml
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tester_finds_no_undocumented_answer() {
    let files = format!("file://{}", tools::folder("files").display());
    let spool = tools::folder("spool").display().to_string();
    let settings_of_node = [
        ("MESSAGING_MEDIA_URL", files.as_str()),
        ("MESSAGING_MEDIA_SPOOL", &spool),
        ("RATE_LIMIT_REQUESTS_PER_SECOND", "0"),
        ("RATE_LIMIT_MESSAGES_PER_SECOND", "0"),
        ("RATE_LIMIT_SIGNALS_PER_SECOND", "0"),
    ];
    let world = World::start_with(&settings_of_node).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let known = known(world.node(), &ada, &bayo).await;
    let folder = tools::folder("tester");
    std::fs::write(folder.join("schemathesis.toml"), settings(&known)).expect("written");
    let program = repository().join(".tools/schemathesis");
    assert!(program.is_dir(), "`make setup` brings schemathesis");
    let output = Command::new("python3")
        .current_dir(&folder)
        .env("PYTHONPATH", program)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"])
        .arg(format!("{}/openapi.json", world.node().url))
        .args(["--header", &format!("Authorization: Bearer {}", ada.token)])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--seed", "7"])
        .args(["--max-examples", "5", "--workers", "1", "--generation-database", "none"])
        .args(["--continue-on-failure", "--no-color", "--no-shrink", "--warnings", "off"])
        .args(["--suppress-health-check", "all", "--request-timeout", "10"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{failed}");
    world.node().rest(&ada).get("/conversations").await.expect(200);
}

const CHECKS: &str = "status_code_conformance,content_type_conformance,response_schema_conformance,not_a_server_error";
