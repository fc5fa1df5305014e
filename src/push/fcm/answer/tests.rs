use reqwest::header::HeaderValue;
use serde_json::json;

use super::*;

fn answer(status: u16, body: &Value) -> Answer {
    Answer { status, retry_after: None, body: body.to_string().into_bytes() }
}

/// As FCM answers: a status, its own code, and what else is in the details.
fn refusal(status: u16, code: &str, message: &str, details: &[Value]) -> Outcome {
    let mut all = vec![json!({
        "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
        "errorCode": code,
    })];
    all.extend_from_slice(details);
    answer(
        status,
        &json!({"error": {"code": status, "message": message, "status": "X", "details": all}}),
    )
    .outcome()
}

fn plain(status: u16, name: &str, message: &str) -> Outcome {
    answer(status, &json!({"error": {"code": status, "message": message, "status": name}}))
        .outcome()
}

fn violation(field: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": field, "description": "wrong"}],
    })
}

fn is_retry(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Retry { .. })
}

#[test]
fn a_name_is_the_proof_that_it_was_accepted() {
    let sent = answer(200, &json!({"name": "projects/p/messages/1"})).outcome();
    assert_eq!(sent, Outcome::Sent);
    for nonsense in [json!({}), json!([]), json!({"name": ""}), json!("<html>")] {
        assert!(is_retry(&answer(200, &nonsense).outcome()), "{nonsense}");
    }
}

#[test]
fn a_token_goes_only_where_the_answer_is_about_the_token() {
    assert_eq!(refusal(404, "UNREGISTERED", "gone", &[]), Outcome::TokenGone);
    let named = refusal(400, "INVALID_ARGUMENT", "wrong", &[violation("message.token")]);
    assert_eq!(named, Outcome::TokenGone);
    let said = "The registration token is not a valid FCM registration token";
    assert_eq!(refusal(400, "INVALID_ARGUMENT", said, &[]), Outcome::TokenGone);
    assert_eq!(plain(400, "INVALID_ARGUMENT", said), Outcome::TokenGone);
    // Ours to mend, and no reason to forget a device.
    let data = refusal(400, "INVALID_ARGUMENT", said, &[violation("message.data[0].value")]);
    assert!(matches!(data, Outcome::Rejected { .. }));
    assert!(matches!(plain(400, "INVALID_ARGUMENT", "too big"), Outcome::Rejected { .. }));
}

#[test]
fn a_missing_project_is_no_missing_device() {
    assert!(matches!(plain(404, "NOT_FOUND", "not found"), Outcome::Credentials { .. }));
    let page = Answer { status: 404, retry_after: None, body: b"<html>".to_vec() };
    assert!(is_retry(&page.outcome()));
}

#[test]
fn what_passes_is_tried_again_when_it_was_said_to() {
    for (status, code) in [
        (429, "QUOTA_EXCEEDED"),
        (503, "UNAVAILABLE"),
        (500, "INTERNAL"),
        (401, "THIRD_PARTY_AUTH_ERROR"),
    ] {
        assert!(is_retry(&refusal(status, code, "later", &[])), "{code}");
    }
    for status in [408, 429, 500, 502, 503, 504] {
        assert!(is_retry(&plain(status, "X", "later")), "{status}");
        let page = Answer { status, retry_after: None, body: b"<!DOCTYPE html>".to_vec() };
        assert!(is_retry(&page.outcome()), "{status}");
    }
    let mut wait = answer(503, &json!({}));
    wait.retry_after = Some(Duration::from_secs(7));
    assert!(
        matches!(wait.outcome(), Outcome::Retry { after: Some(after), .. } if after.as_secs() == 7)
    );
}

#[test]
fn credentials_are_everybodys_and_a_foreign_token_is_one_devices() {
    assert!(matches!(plain(401, "UNAUTHENTICATED", "no"), Outcome::Credentials { .. }));
    assert!(matches!(plain(403, "PERMISSION_DENIED", "no"), Outcome::Credentials { .. }));
    let page = Answer { status: 401, retry_after: None, body: b"<html>".to_vec() };
    assert!(matches!(page.outcome(), Outcome::Credentials { .. }));
    let foreign = refusal(403, "SENDER_ID_MISMATCH", "no", &[]);
    assert!(matches!(foreign, Outcome::Rejected { .. }));
}

#[test]
fn a_reason_quotes_nothing_of_the_request() {
    let Outcome::Rejected { reason } = refusal(400, "INVALID_ARGUMENT", "about tok-123", &[])
    else {
        panic!("it is rejected")
    };
    assert_eq!(reason, "FCM answers 400 INVALID_ARGUMENT");
}

#[test]
fn retry_after_is_seconds_or_a_date_and_has_an_end() {
    let now: Timestamp = "1994-11-06T08:49:07Z".parse().expect("a time");
    let read = |text: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
        retry_after(&headers, now).map(|wait| wait.as_secs())
    };
    assert_eq!(read("30"), Some(30));
    assert_eq!(read("0"), Some(0));
    assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30));
    assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
    assert_eq!(read("86400"), Some(3600));
    assert_eq!(read("99999999999999999999"), None);
    assert_eq!(read("soon"), None);
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}
