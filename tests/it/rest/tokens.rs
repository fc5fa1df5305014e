//! Tokens that are verified with public keys, from a file and from a URL.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use crate::harness::{PATIENCE, Rest, World};

/// The private key of RFC 8037, appendix A.1, as PKCS #8.
const PRIVATE: [u8; 48] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];

/// A set with its public half under that name.
fn key_set(kid: &str) -> String {
    let key = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": kid, "alg": "EdDSA", "use": "sig",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    json!({ "keys": [key] }).to_string()
}

fn token(kid: &str) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    let claims: Value = json!({ "sub": Uuid::new_v4(), "exp": 4_102_444_800_u64 });
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&PRIVATE)).expect("a token")
}

async fn status(node: &str, token: &str) -> u16 {
    Rest::new(node, Some(token)).get("/unread").await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_in_a_file_verifies_and_follows_the_file() {
    let folder = std::env::temp_dir().join(format!("messaging-it-keys-{}", Uuid::new_v4()));
    std::fs::create_dir(&folder).expect("a folder");
    let file = folder.join("keys.json");
    std::fs::write(&file, key_set("one")).expect("written");
    let path = file.display().to_string();
    let settings = [("MESSAGING_JWT_ALGORITHM", "EdDSA"), ("MESSAGING_JWKS_FILE", path.as_str())];
    let world = World::start_with(&settings).await;
    let node = world.node().url.clone();
    assert_eq!(status(&node, &token("one")).await, 200);
    assert_eq!(status(&node, &token("two")).await, 401);
    // The secret is set as well, and counts for nothing.
    world
        .node()
        .rest(&world.user("Ada"))
        .get("/unread")
        .await
        .refused(StatusCode::UNAUTHORIZED, "unauthenticated");
    std::fs::write(&file, key_set("two")).expect("written");
    eventually(&node, &token("two")).await;
    assert_eq!(status(&node, &token("one")).await, 401);
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_at_a_url_verifies_and_is_asked_again_for_an_unknown_key() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    // The first answer has one key, all later ones the other.
    let serving = tokio::spawn(async move {
        for n in 0_u32.. {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.expect("a request");
            assert!(request[..read].starts_with(b"GET /keys HTTP/1.1\r\n"));
            let body = key_set(if n == 0 { "one" } else { "two" });
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.expect("answered");
        }
    });
    let settings = [("MESSAGING_JWT_ALGORITHM", "EdDSA"), ("MESSAGING_JWKS_URL", url.as_str())];
    let world = World::start_with(&settings).await;
    let node = world.node().url.clone();
    assert_eq!(status(&node, &token("one")).await, 200);
    eventually(&node, &token("two")).await;
    serving.abort();
}

/// Until the node knows the key.
async fn eventually(node: &str, token: &str) {
    let known = async {
        while status(node, token).await != 200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.expect("the new key works");
}
