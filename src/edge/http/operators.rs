//! Is this edge ready for traffic?

use std::sync::Arc;
use std::time::Duration;

use crate::bus;
use crate::edge::Edge;
use crate::telemetry::listener::Check;

/// A probe's own patience is usually a second or more.
const PATIENCE: Duration = Duration::from_millis(900);

/// Asks what requests depend on.
pub fn readiness(edge: Arc<Edge>) -> Check {
    Arc::new(move || {
        let edge = edge.clone();
        Box::pin(async move { reasons(&edge).await })
    })
}

/// Why this node should get no traffic now.
async fn reasons(edge: &Edge) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if edge.is_draining() {
        reasons.push("this node is leaving");
    }
    match tokio::time::timeout(PATIENCE, edge.store.ping()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => reasons.push("Postgres does not answer"),
    }
    if !(bus::connect::is_connected(&edge.signals) && edge.publisher.is_connected()) {
        reasons.push("NATS is not connected");
    }
    if edge.publisher.is_turned_away() {
        reasons.push("the log takes no messages");
    }
    if !edge.tail.borrow().attached {
        reasons.push("the log is not followed");
    }
    reasons
}
