//! Hostile payloads: each a clear code, nothing lost, nobody else touched.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, ids, refusal};

/// Kind, what follows the service's name, payload, and the code and fields that it is refused with.
type Case = (&'static str, String, Vec<u8>, &'static str, &'static [&'static str]);

fn cases(scene: &Scene) -> Vec<Case> {
    let chat = format!("conversation.{}", scene.chat);
    let user = scene.ada.id.to_string();
    let event = format!("event.{}", Uuid::new_v4());
    let text = |value: Value| value.to_string().into_bytes();
    let long = text(json!({"content": "x".repeat(8_001)}));
    let fat = text(json!({"content": "x", "metadata": {"k": "x".repeat(4_100)}}));
    let script = text(json!({"title": "x", "url": "javascript:alert(1)", "imageUrl": "//x"}));
    vec![
        ("system", chat.clone(), b"no JSON".to_vec(), "invalid", &[]),
        ("system", chat.clone(), b"\xff\xfe\x00".to_vec(), "invalid", &[]),
        ("system", chat.clone(), Vec::new(), "invalid", &[]),
        ("system", chat.clone(), b"[]".to_vec(), "invalid", &["body"]),
        ("system", chat.clone(), b"7".to_vec(), "invalid", &["body"]),
        ("system", chat.clone(), b"{}".to_vec(), "invalid", &["content"]),
        ("system", chat.clone(), text(json!({"content": {"a": 1}})), "invalid", &["content"]),
        ("system", chat.clone(), text(json!({"content": " \n"})), "invalid", &["content"]),
        ("system", chat.clone(), text(json!({"content": "a\u{0}"})), "invalid", &["content"]),
        ("system", chat.clone(), long, "invalid", &["content"]),
        ("system", chat.clone(), fat, "invalid", &["metadata"]),
        ("system", chat, text(json!({"content": "x", "metadata": [1]})), "invalid", &["metadata"]),
        (
            "system",
            format!("conversation.{}", Uuid::new_v4()),
            text(json!({"content": "x"})),
            "not_found",
            &[],
        ),
        (
            "system",
            "conversation.7".into(),
            text(json!({"content": "x"})),
            "invalid",
            &["conversationId"],
        ),
        ("system", "conversation".into(), text(json!({"content": "x"})), "invalid", &[]),
        ("system", "user.nobody".into(), text(json!({"content": "x"})), "invalid", &["userId"]),
        (
            "system",
            format!("context.planet.{user}"),
            text(json!({"content": "x"})),
            "invalid",
            &["contextType"],
        ),
        ("users", user.clone(), b"{}".to_vec(), "invalid", &["displayName"]),
        (
            "users",
            user,
            text(json!({"displayName": "a\nb", "avatarUrl": 7})),
            "invalid",
            &["avatarUrl"],
        ),
        ("contexts", event.clone(), script, "invalid", &["imageUrl", "url"]),
        ("contexts", event, text(json!({"title": "x", "ownerId": "me"})), "invalid", &["ownerId"]),
    ]
}

#[tokio::test]
async fn every_wrong_request_is_refused_with_a_code_and_its_fields() {
    let scene = Scene::start().await;
    for (kind, rest, payload, code, fields) in cases(&scene) {
        let subject = scene.service.subject(&format!("api.{kind}"), &rest);
        let reply = scene.service.request_raw(subject.clone(), None, payload).await;
        let (found, named) = refusal(&reply);
        assert_eq!(
            (found.as_str(), named),
            (code, fields.iter().map(ToString::to_string).collect()),
            "{subject}"
        );
    }
    let subject = scene.service.subject("api.system", &format!("conversation.{}", scene.chat));
    let huge = json!({"content": "x".repeat(900_000)}).to_string().into_bytes();
    let reply = scene.service.request_raw(subject.clone(), None, huge).await;
    assert_eq!(refusal(&reply).0, "payload_too_large");
    let fine = json!({"content": "x"}).to_string().into_bytes();
    let long = "x".repeat(257);
    let reply = scene.service.request_raw(subject.clone(), Some(&long), fine.clone()).await;
    assert_eq!(refusal(&reply).1, ["Nats-Msg-Id"]);
    ids(&scene.service.request_raw(subject, None, fine).await);
    assert_eq!(scene.contents().await, ["x"], "nothing else has come of it");
}

#[tokio::test]
async fn everything_wrong_that_is_published_is_a_dead_letter_with_its_reason() {
    let scene = Scene::start().await;
    let here = format!("conversation.{}", scene.chat);
    let cases = cases(&scene);
    let mut expected = Vec::new();
    for (number, (kind, rest, payload, code, fields)) in cases.into_iter().enumerate() {
        let subject = scene.service.subject(kind, &rest);
        scene.service.publish_raw(subject.clone(), None, payload.clone()).await;
        scene.service.say(&here, None, &number.to_string()).await;
        expected.push((subject, payload, code, fields));
    }
    let letters = scene.service.letters(expected.len()).await;
    for (letter, (subject, payload, code, fields)) in letters.iter().zip(&expected) {
        assert_eq!(letter["subject"], *subject);
        let reason = letter["reason"].as_str().expect("a reason");
        assert!(reason.starts_with(&format!("{code}: ")), "{reason}");
        for field in *fields {
            assert!(reason.contains(field), "{reason} names {field}");
        }
        let shown = scene.service.dead("show", json!({"seq": letter["seq"]})).await;
        let as_it_was = String::from_utf8_lossy(payload).into_owned();
        assert_eq!(shown["letter"]["payload"], as_it_was);
    }
    // What is fine among it came through, in its order.
    let numbers: Vec<String> = (0..expected.len()).map(|number| number.to_string()).collect();
    super::taken(&scene.world).await;
    assert_eq!(scene.contents().await, numbers);
}

#[tokio::test]
async fn what_is_too_large_for_the_queue_is_refused_by_the_server_at_once() {
    let scene = Scene::start().await;
    let subject = scene.service.subject("system", &format!("conversation.{}", scene.chat));
    let huge = json!({"content": "x".repeat(900_000)}).to_string().into_bytes();
    let sent = scene.service.context.publish(subject, huge.into()).await.expect("sent");
    let refused = sent.await.expect_err("too large");
    assert!(refused.to_string().contains("message size exceeds maximum"), "{refused}");
}

#[tokio::test]
async fn letters_of_subjects_that_name_no_service_are_kept_for_operators() {
    let scene = Scene::start().await;
    let subject = format!("messaging.users.-.{}", scene.ada.id);
    scene.service.publish_raw(subject, None, b"{}".to_vec()).await;
    let dead = async_nats::jetstream::new(scene.world.nats.client().await);
    let dead = dead.get_stream("DEAD").await.expect("the dead letters");
    let there = async || dead.get_last_raw_message_by_subject("dead.ingest._").await.ok();
    let letter = crate::harness::flow::eventually("it is there", there).await;
    assert_eq!(&letter.payload[..], b"{}");
    scene.service.letters(0).await;
}
