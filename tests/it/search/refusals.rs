//! What cannot be looked for, said in a sentence.

use super::*;

#[tokio::test]
async fn odd_queries_are_read_as_words_and_impossible_ones_are_refused() {
    let (world, ada, _, group) = talking().await;
    let rest = world.node().rest(&ada);
    send(&rest, group, "drop the table: messages; a b c [a-z]+").await;
    for q in [
        "'; DROP TABLE messages; --",
        "a b c",
        "\"a-z\"",
        "%",
        "(table)",
        "tab:*",
        "table & !x | (",
    ] {
        let answer = rest.get(&path(q, "")).await;
        let expected = if q == "%" { 400 } else { 200 };
        assert_eq!(answer.status, expected, "{q}: {}", answer.body);
    }
    assert_eq!(found(&rest, "'; DROP TABLE messages; --").await.len(), 1);
    assert_eq!(found(&rest, "a b").await.len(), 1, "single letters are words");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let (world, ada, _, _) = talking().await;
    let rest = world.node().rest(&ada);
    let long = "word ".repeat(2_000);
    for (q, more, field) in [
        ("", "", "q"),
        ("-x", "", "q"),
        ("🎉", "", "q"),
        (long.as_str(), "", "q"),
        ("x", "&page=0", "page"),
        ("x", "&page=-1", "page"),
        ("x", "&page=9999", "page"),
        ("x", "&limit=0", "limit"),
        ("x", "&limit=101", "limit"),
        ("x", "&cursor=abc", "cursor"),
        ("x", "&cursor=e1.0.2.3.4&page=2", "cursor"),
        ("x", "&conversationId=7", "conversationId"),
        ("x", "&senderId=me", "senderId"),
        ("x", "&type=poem", "type"),
        ("x", "&from=yesterday", "from"),
        ("x", "&from=2026-02-02T00:00:00Z&to=2026-01-01T00:00:00Z", "to"),
    ] {
        let problem = rest.get(&path(q, more)).await.expect(400);
        assert_eq!(problem["code"], "invalid");
        let named = problem["errors"][0]["field"].as_str();
        assert_eq!(named, Some(field), "{more}: {problem}");
    }
    assert_eq!(rest.get("/search").await.status, StatusCode::BAD_REQUEST);
    // A forged cursor shows nothing that is not the asker's, and breaks nothing.
    let forged = "&cursor=s0.0.9223372036854775807.18446744073709551615.9223372036854775807";
    assert_eq!(search(&rest, "x", forged).await["results"], json!([]));
}

#[tokio::test]
async fn searches_are_counted_like_other_requests() {
    let world = World::start_with(&[("RATE_LIMIT_REQUESTS_PER_SECOND", "1")]).await;
    let ada = world.user("Ada");
    let rest = world.node().rest(&ada);
    let mut refused = None;
    for _ in 0..5 {
        let answer = rest.get(&path("x", "")).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    assert_eq!(refused.expect("refused").body["code"], "rate_limited");
}
