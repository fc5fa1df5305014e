//! Sending, reading, editing and deleting messages.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{conversation, fields, id_of, ids, say, unhurried};
use crate::harness::{Rest, World};

struct Chat {
    world: World,
    ada: Rest,
    bayo: Rest,
    id: String,
}

/// Two people in a direct conversation.
async fn chat() -> Chat {
    let world = unhurried().await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let (ada, bayo_rest) = (world.node().rest(&ada), world.node().rest(&bayo));
    let id = conversation(&ada, "direct", &[&bayo]).await;
    Chat { world, ada, bayo: bayo_rest, id }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_read_at_once_on_any_node_exactly_as_it_was_answered() {
    let mut chat = chat().await;
    let second = chat.world.add_node(&[]).await;
    let reader = chat.world.user("Reader");
    let group = conversation(&chat.ada, "group", &[&reader]).await;
    let elsewhere = chat.world.nodes()[second].rest(&reader);
    let mut last = 0;
    for n in 0..5 {
        let body = json!({
            "conversationId": group, "content": format!("n{n}"), "mentions": [reader.id],
            "metadata": { "mood": "good" }, "clientMessageId": format!("k{n}"),
        });
        let mut sent = chat.ada.post("/messages", body).await.expect(201);
        assert_eq!(sent["status"], json!("sent"));
        assert_eq!((&sent["senderName"], &sent["type"]), (&json!("Ada"), &json!("text")));
        let seq = sent["seq"].as_u64().expect("a seq");
        assert!(seq > last);
        last = seq;
        let mut list = elsewhere.get(&format!("/conversations/{group}/messages")).await.expect(200);
        // The status is the sender's only.
        sent.as_object_mut().expect("an object").remove("status");
        assert_eq!(list["messages"][0].take(), sent);
        let one = elsewhere.get(&format!("/messages/{}", id_of(&sent))).await.expect(200);
        assert_eq!(one, sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_paged_by_number_by_seq_and_around_a_message() {
    let chat = chat().await;
    let mut said = Vec::new();
    for n in 0..7 {
        said.push(say(&chat.ada, &chat.id, &format!("n{n}")).await);
    }
    let id = |n: usize| id_of(&said[n]);
    let seq = |n: usize| said[n]["seq"].as_u64().expect("a seq");
    let path = format!("/conversations/{}/messages", chat.id);
    for (query, expected, more) in [
        ("page=1&limit=3".to_owned(), vec![6, 5, 4], true),
        ("page=3&limit=3".to_owned(), vec![0], false),
        ("page=9&limit=3".to_owned(), vec![], false),
        ("limit=7".to_owned(), vec![6, 5, 4, 3, 2, 1, 0], false),
        (format!("before={}&limit=2", seq(3)), vec![2, 1], true),
        (format!("before={}&limit=2", seq(2)), vec![1, 0], false),
        (format!("after={}&limit=2", seq(3)), vec![4, 5], true),
        (format!("after={}", seq(3)), vec![4, 5, 6], false),
        ("after=0&limit=1".to_owned(), vec![0], true),
        (format!("around={}&limit=3", id(3)), vec![4, 3, 2], true),
        (format!("around={}&limit=5", id(6)), vec![6, 5, 4, 3, 2], true),
        (format!("around={}&limit=100", id(0)), vec![6, 5, 4, 3, 2, 1, 0], false),
    ] {
        let list = chat.bayo.get(&format!("{path}?{query}")).await.expect(200);
        let expected: Vec<_> = expected.into_iter().map(id).collect();
        assert_eq!(ids(&list["messages"]), expected, "{query}");
        assert_eq!(list["hasMore"], json!(more), "{query}");
    }
    let elsewhere = conversation(&chat.ada, "group", &[&chat.world.user("Chidi")]).await;
    let foreign = say(&chat.ada, &elsewhere, "foreign").await;
    for stranger in [id_of(&foreign), Uuid::new_v4().to_string()] {
        let answer = chat.ada.get(&format!("{path}?around={stranger}")).await;
        answer.refused(StatusCode::NOT_FOUND, "not_found");
    }
    for (query, wrong) in
        [("before=1&after=2", "page"), ("before=-1", "before"), ("limit=101", "limit")]
    {
        let answer = chat.ada.get(&format!("{path}?{query}")).await;
        assert_eq!(fields(&answer.refused(StatusCode::BAD_REQUEST, "invalid")), [wrong]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_answers_with_the_message_that_was_accepted() {
    let chat = chat().await;
    let body = json!({ "conversationId": chat.id, "content": "once", "clientMessageId": "k" });
    let first = chat.ada.post("/messages", body.clone()).await.expect(201);
    for attempt in [json!(null), json!(2)] {
        let mut again = body.clone();
        again["attempt"] = attempt;
        let repeated = chat.ada.post("/messages", again).await.expect(200);
        assert_eq!((&repeated["id"], &repeated["seq"]), (&first["id"], &first["seq"]));
    }
    // Another sender's key is another message.
    let other = chat.bayo.post("/messages", body).await.expect(201);
    assert_ne!(other["id"], first["id"]);
    let list = chat.ada.get(&format!("/conversations/{}/messages", chat.id)).await.expect(200);
    assert_eq!(ids(&list["messages"]).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_idempotency_key_is_the_client_message_id() {
    let chat = chat().await;
    let user = chat.world.user("Eve");
    let id = conversation(&chat.world.node().rest(&user), "group", &[&chat.world.user("X")]).await;
    let send = |key: &'static str, content: &'static str| {
        let body = json!({ "conversationId": id, "content": content });
        let url = format!("{}/messaging/messages", chat.world.node().url);
        let request = reqwest::Client::new().request(Method::POST, url).bearer_auth(&user.token);
        request.header("Idempotency-Key", key).json(&body).send()
    };
    let first = send("k1", "one").await.expect("an answer");
    assert_eq!(first.status(), 201);
    let first: Value = first.json().await.expect("JSON");
    assert_eq!(first["clientMessageId"], json!("k1"));
    let again = send("k1", "one").await.expect("an answer");
    assert_eq!(again.status(), 200);
    let again: Value = again.json().await.expect("JSON");
    assert_eq!(again["id"], first["id"]);
    assert_eq!(send("k2", "two").await.expect("an answer").status(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_message_is_named() {
    let chat = chat().await;
    for (body, wrong) in [
        (json!({ "content": " \n" }), vec!["content"]),
        (json!({}), vec!["content"]),
        (json!({ "content": "x".repeat(8001) }), vec!["content"]),
        (json!({ "content": "a\u{0}" }), vec!["content"]),
        (json!({ "content": 7 }), vec!["content"]),
        (json!({ "content": "x", "type": "system" }), vec!["type"]),
        (json!({ "content": "x", "type": "poem" }), vec!["type"]),
        (json!({ "content": "x", "metadata": [] }), vec!["metadata"]),
        (json!({ "content": "x", "metadata": { "k": "\u{0}" } }), vec!["metadata"]),
        (json!({ "content": "x", "metadata": { "k": "y".repeat(5000) } }), vec!["metadata"]),
        (
            json!({ "type": "image" }),
            vec!["metadata.imageUrl", "metadata.imageWidth", "metadata.imageHeight"],
        ),
        (json!({ "type": "location", "metadata": { "location": 7 } }), vec!["metadata.location"]),
        (json!({ "content": "x", "mentions": ["y"] }), vec!["mentions[0]"]),
        (json!({ "content": "x", "clientMessageId": "" }), vec!["clientMessageId"]),
        (json!({ "content": "x", "clientMessageId": "k".repeat(129) }), vec!["clientMessageId"]),
        (json!({ "content": "x", "replyToMessageId": "y" }), vec!["replyToMessageId"]),
        (json!({ "content": "x", "replyToMessageId": Uuid::new_v4() }), vec!["replyToMessageId"]),
        (json!({ "content": "x", "sendAt": "2199-01-01T00:00:00Z" }), vec!["sendAt"]),
        (json!({ "content": "x", "ttlSeconds": 2_592_001 }), vec!["ttlSeconds"]),
        (json!({ "content": "x", "conversationId": "y" }), vec!["conversationId"]),
    ] {
        let mut body = body;
        let object = body.as_object_mut().expect("an object");
        object.entry("conversationId").or_insert_with(|| json!(chat.id));
        let problem = chat
            .ada
            .post("/messages", body.clone())
            .await
            .refused(StatusCode::BAD_REQUEST, "invalid");
        assert_eq!(fields(&problem), wrong, "{body}");
    }
    let list = chat.ada.get(&format!("/conversations/{}/messages", chat.id)).await.expect(200);
    assert!(ids(&list["messages"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_message_goes_through_and_replies_quote() {
    let chat = chat().await;
    let quoted = say(&chat.bayo, &chat.id, &"é".repeat(300)).await;
    for (kind, metadata) in [
        (
            "image",
            json!({ "imageUrl": "https://x/i.png", "imageWidth": 3, "imageHeight": 4, "own": [1] }),
        ),
        ("video", json!({ "videoUrl": "https://x/v.mp4", "duration": 1.5 })),
        ("audio", json!({ "audioUrl": "https://x/a.ogg", "waveform": [0, 0.5, 1] })),
        (
            "location",
            json!({ "location": { "latitude": 6.45, "longitude": 3.39, "address": "Lagos" } }),
        ),
        (
            "file",
            json!({ "fileUrl": "https://x/f", "fileName": "f.pdf", "fileSize": 7, "mimeType": "application/pdf" }),
        ),
    ] {
        let body = json!({
            "conversationId": chat.id, "type": kind, "content": "", "metadata": metadata,
            "replyToMessageId": quoted["id"],
        });
        let sent = chat.ada.post("/messages", body).await.expect(201);
        assert_eq!((&sent["type"], &sent["metadata"]), (&json!(kind), &metadata));
        let read = chat.bayo.get(&format!("/messages/{}", id_of(&sent))).await.expect(200);
        assert_eq!(read["metadata"], metadata);
        assert_eq!(read["replyToMessageId"], quoted["id"]);
        let preview = read["replyTo"]["content"].as_str().expect("a preview");
        assert_eq!(preview.chars().count(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sender_edits_within_the_window() {
    let chat = chat().await;
    let message = say(&chat.ada, &chat.id, "one").await;
    let path = format!("/messages/{}", id_of(&message));
    let edited = chat.ada.put(&path, json!({ "content": "two" })).await.expect(200);
    assert_eq!((&edited["content"], &edited["isEdited"]), (&json!("two"), &json!(true)));
    let read = chat.bayo.get(&path).await.expect(200);
    assert_eq!((&read["content"], &read["seq"]), (&json!("two"), &message["seq"]));
    assert_eq!(read["editedAt"], edited["editedAt"]);
    for content in [json!(""), json!("x".repeat(8001)), json!(null)] {
        let answer = chat.ada.put(&path, json!({ "content": content })).await;
        assert_eq!(fields(&answer.refused(StatusCode::BAD_REQUEST, "invalid")), ["content"]);
    }
    let answer = chat.bayo.put(&path, json!({ "content": "mine" })).await;
    answer.refused(StatusCode::FORBIDDEN, "forbidden");
    let database = chat.world.database.client().await;
    let id: Uuid = id_of(&message).parse().expect("an id");
    let sql = "UPDATE messages SET created_at = created_at - interval '25 hours' WHERE id = $1";
    assert_eq!(database.execute(sql, &[&id]).await.expect("aged"), 1);
    let answer = chat.ada.put(&path, json!({ "content": "late" })).await;
    answer.refused(StatusCode::FORBIDDEN, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_message_is_a_tombstone_in_its_place() {
    let chat = chat().await;
    let body = json!({ "conversationId": chat.id, "content": "secret", "metadata": { "k": 1 } });
    let message = chat.ada.post("/messages", body).await.expect(201);
    let path = format!("/messages/{}", id_of(&message));
    // In a direct conversation nobody is above the other, whoever opened it.
    chat.bayo.delete(&path).await.refused(StatusCode::FORBIDDEN, "forbidden");
    let said = say(&chat.bayo, &chat.id, "from Bayo").await;
    let answer = chat.ada.delete(&format!("/messages/{}", id_of(&said))).await;
    answer.refused(StatusCode::FORBIDDEN, "forbidden");
    let buried = chat.ada.delete(&path).await.expect(200);
    let read = chat.bayo.get(&path).await.expect(200);
    for tombstone in [&buried, &read] {
        assert_eq!((&tombstone["content"], &tombstone["metadata"]), (&json!(""), &json!({})));
        assert_eq!((&tombstone["isDeleted"], &tombstone["seq"]), (&json!(true), &message["seq"]));
    }
    let list = chat.bayo.get(&format!("/conversations/{}/messages", chat.id)).await.expect(200);
    assert_eq!(list["messages"][1]["isDeleted"], json!(true));
    chat.ada.delete(&path).await.expect(200);
    let answer = chat.ada.put(&path, json!({ "content": "back" })).await;
    answer.refused(StatusCode::CONFLICT, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sender_learns_how_far_a_message_has_come() {
    let chat = chat().await;
    let message = say(&chat.ada, &chat.id, "seen?").await;
    let path = format!("/messages/{}", id_of(&message));
    assert_eq!(chat.ada.get(&path).await.expect(200)["status"], json!("sent"));
    let mark = format!("/conversations/{}/mark-read", chat.id);
    chat.bayo.post(&mark, json!({})).await.expect(200);
    assert_eq!(chat.ada.get(&path).await.expect(200)["status"], json!("read"));
    assert_eq!(chat.bayo.get(&path).await.expect(200).get("status"), None);
}
