use super::*;

#[test]
fn every_stage_is_shown_under_its_name() {
    let metrics = Metrics::new();
    metrics.accept_to_puback.observe(Duration::from_micros(600));
    metrics.stored_to_delivered.observe_many(Duration::from_millis(2), 500);
    metrics.connections.of(Protocol::SocketIo).inc();
    metrics.frames_out.of(Protocol::Native).inc_by(7);
    metrics.disconnected(4409);
    metrics.http_request("/messaging/messages", 201, Duration::from_millis(3));
    metrics.persister_batch_size.observe_value(250.0, 1);
    let text = metrics.encode().expect("text");
    for line in [
        "messaging_accept_to_puback_seconds_count 1",
        "messaging_accept_to_puback_seconds_bucket{le=\"0.0005\"} 0",
        "messaging_accept_to_puback_seconds_bucket{le=\"0.001\"} 1",
        "messaging_stored_to_delivered_seconds_bucket{le=\"+Inf\"} 500",
        "messaging_connections{protocol=\"socketio\"} 1",
        "messaging_connections{protocol=\"native\"} 0",
        "messaging_frames_out_total{protocol=\"native\"} 7",
        "messaging_disconnects_total{code=\"4409\"} 1",
        "messaging_http_requests_total{route=\"/messaging/messages\",status=\"201\"} 1",
        "messaging_http_request_seconds_count{route=\"/messaging/messages\"} 1",
        "messaging_persister_batch_size_bucket{le=\"250.0\"} 1",
        "messaging_queue_overflow_total 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
