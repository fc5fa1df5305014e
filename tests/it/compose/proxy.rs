//! The configuration of HAProxy, in a real one where there is one: it balances, lets WebSockets through, and hides what is
//! for operators.

use std::process::Command;

use serde_json::json;

use crate::harness::process::Process;
use crate::harness::tools::{folder, repository};
use crate::harness::{PATIENCE, Rest, World, Ws};

/// Where packages put it, which need not be on everybody's PATH.
fn haproxy() -> Option<&'static str> {
    let named = ["haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy"];
    let found = named.into_iter().find(|name| Command::new(name).arg("-v").output().is_ok());
    if found.is_none() {
        eprintln!("skipped: there is no haproxy (apt-get install haproxy); .ci/run brings it");
    }
    found
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

fn configuration() -> String {
    std::fs::read_to_string(repository().join("config/proxy/haproxy.cfg")).expect("haproxy.cfg")
}

#[test]
fn its_configuration_is_valid_with_and_without_a_certificate() {
    let Some(haproxy) = haproxy() else { return };
    let folder = folder("haproxy");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
        .output()
        .expect("openssl runs");
    assert!(made.status.success());
    let read = |name: &str| std::fs::read_to_string(path(name)).expect("made");
    std::fs::write(path("both.pem"), read("cert.pem") + &read("key.pem")).expect("written");
    for certificate in [None, Some(path("both.pem"))] {
        let mut check = Command::new(haproxy);
        check.arg("-c").arg("-f").arg(repository().join("config/proxy/haproxy.cfg"));
        check.env("EDGES", "edge").env("FILES", "minio").env("RESOLVER", "127.0.0.11:53");
        check.envs(certificate.map(|path| ("TLS_CERT", path)));
        let output = check.output().expect("haproxy runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("[WARNING]"), "{said}");
    }
}

#[tokio::test]
async fn clients_reach_the_edges_through_it_and_operators_pages_are_hidden() {
    let Some(haproxy) = haproxy() else { return };
    let mut world = World::start().await;
    world.add_node(&[]).await;
    let servers: Vec<String> = world
        .nodes()
        .iter()
        .enumerate()
        .map(|(at, node)| {
            format!("    server edge{at} {}\n", node.url.trim_start_matches("http://"))
        })
        .collect();
    let (clients, operators, files) = (free_port(), free_port(), free_port());
    let text = configuration()
        .replace("    server-template edge 8 \"${EDGES}:3004\"\n", &servers.concat())
        // A limit that needs more files than a test may open.
        .replace("maxconn 100000", "maxconn 1000")
        .replace("bind :8080", &format!("bind 127.0.0.1:{clients}"))
        .replace("bind :8090", &format!("bind 127.0.0.1:{files}"))
        .replace("bind :8404", &format!("bind 127.0.0.1:{operators}"));
    let file = folder("haproxy").join("haproxy.cfg");
    std::fs::write(&file, text).expect("written");
    let mut command = Command::new(haproxy);
    command.arg("-W").arg("-f").arg(&file).env("FILES", "minio").env("RESOLVER", "127.0.0.1:1");
    let proxy = Process::start("haproxy", command, libc::SIGTERM);
    let operators = Rest::new(&format!("http://127.0.0.1:{operators}"), None);
    let both = "haproxy_server_status{proxy=\"ready\",server=\"edge1\",state=\"UP\"} 1";
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::net::TcpStream::connect(("127.0.0.1", clients)).await.is_err()
        || !operators.get("//metrics").await.body.as_str().is_some_and(|text| text.contains(both))
    {
        assert!(tokio::time::Instant::now() < deadline, "{}", proxy.stderr.text());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    let url = format!("http://127.0.0.1:{clients}");
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let rest = Rest::new(&url, Some(&ada.token));
    let body = json!({"type": "direct", "participantIds": [bayo.id]});
    let conversation = rest.post("/conversations", body).await.expect(201);
    // Two sockets, one on each edge.
    let mut theirs = Ws::connect(&url, &bayo.token).await;
    let mut ours = Ws::connect(&url, &ada.token).await;
    let data = json!({"conversationId": conversation["id"], "content": "through"});
    ours.request("sendMessage", data).await.expect("accepted");
    assert_eq!(theirs.event("newMessage").await["data"]["content"], "through");
    let metrics = operators.get("//metrics").await.expect(200);
    for edge in ["edge0", "edge1"] {
        let sessions =
            format!("haproxy_server_current_sessions{{proxy=\"ready\",server=\"{edge}\"}} 1");
        assert!(metrics.as_str().expect("text").contains(&sessions), "{sessions}");
    }
    for page in ["//metrics", "//readyz", "//healthz"] {
        assert_eq!(Rest::new(&url, None).get(page).await.status, 404, "{page}");
    }
    // Into the object store goes what is signed, and nothing comes out of it.
    let files = Rest::new(&format!("http://127.0.0.1:{files}"), None);
    assert_eq!(files.put("//messaging/a", json!({})).await.status, 403);
    assert_eq!(files.get("//messaging/a").await.status, 405);
    let signed = files.put("//messaging/a?X-Amz-Signature=1", json!({})).await;
    assert_eq!(signed.status, 503, "there is no object store here");
    drop(proxy);
}
