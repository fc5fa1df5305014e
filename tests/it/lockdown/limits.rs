//! What one account may take.

use serde_json::json;

use crate::harness::raw_nats::RawNats;
use crate::harness::shipped::{Shipped, password};

#[tokio::test]
async fn a_payload_over_a_megabyte_ends_the_connection() {
    let shipped = Shipped::single();
    let mut billing = shipped.raw("billing").await;
    let subject = "messaging.system.billing.conversation.x";
    assert_eq!(billing.publish(subject, &"x".repeat(1_000_000)).await, None);
    let complaint = billing.publish(subject, &"x".repeat(1_048_577)).await.unwrap_or_default();
    assert!(complaint.contains("Maximum Payload Violation"), "{complaint:?}");
}

#[tokio::test]
async fn an_account_has_a_thousand_connections_and_the_servers_own_is_still_let_in() {
    let shipped = Shipped::single();
    let mut open = Vec::new();
    let complaint = loop {
        match RawNats::connect(shipped.address(), "billing", &password("billing")).await {
            Ok(connection) => open.push(connection),
            Err(complaint) => break complaint,
        }
        assert!(open.len() <= 1_000, "there is no limit");
    };
    assert_eq!(open.len(), 1_000);
    assert!(complaint.contains("maximum account active connections exceeded"), "{complaint:?}");
    shipped.raw("sys").await;
}

#[tokio::test]
async fn disk_and_the_number_of_streams_are_limited() {
    let shipped = Shipped::single();
    let mut topology = shipped.raw("topology").await;
    let inbox = "_INBOX_topology.1";
    assert_eq!(topology.subscribe(inbox).await, None);
    let mut create = async |name: &str, max_bytes: i64| {
        let config = json!({"name": name, "subjects": [name], "storage": "file",
                            "max_bytes": max_bytes, "num_replicas": 1});
        let subject = format!("$JS.API.STREAM.CREATE.{name}");
        topology.request(&subject, inbox, &config.to_string()).await
    };
    let answer = create("HUGE", 200 << 30).await;
    assert!(answer.contains("insufficient storage resources"), "{answer}");
    for number in 0..8 {
        let answer = create(&format!("S{number}"), 1 << 20).await;
        assert!(!answer.contains("\"error\""), "{answer}");
    }
    let answer = create("ONE_TOO_MANY", 1 << 20).await;
    assert!(answer.contains("maximum number of streams reached"), "{answer}");
}
