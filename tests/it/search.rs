//! Finding messages: by words as people type them, in one's own conversations only, as they are now.

use std::collections::HashSet;

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::flow::{self, UNPACED, eventually, id_of, send};
use crate::harness::node::command;
use crate::harness::{Rest, User, World};

mod index;
mod refusals;

pub use index::{indexed, words};

/// Two people with a group.
async fn talking() -> (World, User, User, Uuid) {
    let world = World::start_with(UNPACED).await;
    let (ada, bayo) = (world.user("Ada"), world.user("Bayo"));
    let group = flow::open_group(&world.node().rest(&ada), std::slice::from_ref(&bayo)).await;
    (world, ada, bayo, group)
}

/// A path with a query that needs no knowledge of URLs.
fn path(q: &str, more: &str) -> String {
    let encode = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    format!("/search?q={}{more}", q.bytes().map(encode).collect::<String>())
}

async fn search(rest: &Rest, q: &str, more: &str) -> Value {
    rest.get(&path(q, more)).await.expect(200)
}

/// What was said in the messages that are found, the best first.
async fn found(rest: &Rest, q: &str) -> Vec<String> {
    contents(&search(rest, q, "").await)
}

fn contents(page: &Value) -> Vec<String> {
    let results = page["results"].as_array().expect("results");
    results.iter().map(|one| one["message"]["content"].as_str().expect("content").into()).collect()
}

#[tokio::test]
async fn what_was_acknowledged_is_found_at_once_however_it_is_spelt() {
    let (world, ada, bayo, group) = talking().await;
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    for said in
        ["Ọlá dey come", "Ẹ jọ̀ọ́, how far?", "ɗan ƙasa <b>market</b> meeting", "Ọláwálé go market"]
    {
        send(&rest, group, said).await;
    }
    assert_eq!(found(&other, "ola").await, ["Ọlá dey come", "Ọláwálé go market"], "exact first");
    assert_eq!(found(&other, "OLÁWÁLÉ").await, ["Ọláwálé go market"]);
    assert_eq!(found(&other, "joo far").await, ["Ẹ jọ̀ọ́, how far?"]);
    assert_eq!(found(&other, "dan kasa").await, ["ɗan ƙasa <b>market</b> meeting"]);
    assert_eq!(found(&other, "mark -ola").await.len(), 2, "the beginning of a word");
    assert_eq!(found(&other, "market -olawale").await, ["ɗan ƙasa <b>market</b> meeting"]);
    assert_eq!(found(&other, "\"go market\"").await, ["Ọláwálé go market"]);
    assert_eq!(found(&other, "\"market go\"").await, Vec::<String>::new());
    assert_eq!(found(&other, "far or come").await.len(), 2);
    let page = search(&other, "market b", "").await;
    let first = &page["results"][0];
    let marked =
        "ɗan ƙasa &lt;<mark>b</mark>&gt;<mark>market</mark>&lt;/<mark>b</mark>&gt; meeting";
    assert_eq!(first["snippet"], marked);
    assert_eq!(first["conversation"], json!({"id": group, "title": "Test", "type": "group"}));
    assert_eq!(first["message"]["senderName"], "Ada");
    assert_eq!(
        (&page["page"], &page["limit"], &page["nextCursor"]),
        (&json!(1), &json!(20), &Value::Null)
    );
}

#[tokio::test]
async fn words_with_one_slip_are_found_where_the_words_themselves_are_not() {
    let (world, ada, _, group) = talking().await;
    let rest = world.node().rest(&ada);
    send(&rest, group, "the meeting is at the market").await;
    index::indexed(&world).await;
    for typed in ["meetng", "meetting", "meating", "meetign", "maket", "markte"] {
        assert_eq!(found(&rest, typed).await.len(), 1, "{typed}");
    }
    for typed in ["metng", "\"meetng\"", "teh"] {
        assert_eq!(found(&rest, typed).await.len(), 0, "{typed}");
    }
    send(&rest, group, "a meetng").await;
    assert_eq!(found(&rest, "meetng").await, ["a meetng", "the meeting is at the market"]);
}

#[tokio::test]
async fn a_word_that_many_messages_have_is_not_taken_for_a_slip() {
    let (world, ada, _, group) = talking().await;
    let rest = world.node().rest(&ada);
    send(&rest, group, "a cable for the xylophone").await;
    for n in 1..20 {
        send(&rest, group, &format!("table {n}")).await;
    }
    index::indexed(&world).await;
    let far = ["a cable for the xylophone"];
    assert_eq!(found(&rest, "table xylophone").await, far);
    send(&rest, group, "table 20").await;
    index::indexed(&world).await;
    assert_eq!(found(&rest, "table xylophone").await, Vec::<String>::new());
    assert_eq!(found(&rest, "table xylophne").await, Vec::<String>::new());
    assert_eq!(found(&rest, "cable xylophne").await, far, "each word counts for itself");
}

#[tokio::test]
async fn what_strangers_write_decides_nothing_about_what_is_found() {
    let (world, ada, _, own) = talking().await;
    let (chidi, dayo) = (world.user("Chidi"), world.user("Dayo"));
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&chidi));
    let theirs = flow::open_direct(&other, &dayo).await;
    send(&rest, own, "a xylophone").await;
    index::indexed(&world).await;
    assert_eq!(found(&rest, "xylophne").await, ["a xylophone"]);
    // Words that are as near to what is typed, and far more common. Nobody learns from what they find that there are any.
    for letter in 'a'..='l' {
        for number in 0..3 {
            send(&other, theirs, &format!("xylophn{letter} {letter}ylophne {number}")).await;
        }
    }
    index::indexed(&world).await;
    assert_eq!(found(&rest, "xylophne").await, ["a xylophone"]);
    assert_eq!(found(&other, "xylophne").await.len(), 20, "a page of his own");
}

#[tokio::test]
async fn only_those_who_are_in_a_conversation_find_what_was_said_there() {
    let (world, ada, bayo, group) = talking().await;
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    let chidi = world.user("Chidi");
    let outside = world.node().rest(&chidi);
    send(&rest, group, "xylophone").await;
    assert_eq!(found(&outside, "xylophone").await, Vec::<String>::new());
    assert_eq!(found(&outside, "xylophne").await, Vec::<String>::new(), "nor by a slip");
    let refused =
        outside.get(&path("xylophone", &format!("&conversationId={group}"))).await.expect(403);
    assert_eq!(refused["code"], "not_a_participant");
    let unknown = format!("&conversationId={}", Uuid::new_v4());
    assert_eq!(
        outside.get(&path("xylophone", &unknown)).await.expect(403)["code"],
        "not_a_participant"
    );
    // Whoever comes later reads the whole history, and finds it; whoever has left finds nothing more.
    let add = json!({"userIds": [chidi.id]});
    rest.post(&format!("/conversations/{group}/participants"), add).await.expect(200);
    assert_eq!(found(&outside, "xylophone").await, ["xylophone"]);
    assert_eq!(found(&other, "xylophone").await, ["xylophone"]);
    other.post(&format!("/conversations/{group}/leave"), json!({})).await;
    assert_eq!(found(&other, "xylophone").await, Vec::<String>::new());
}

#[tokio::test]
async fn filters_narrow_it() {
    let (world, ada, bayo, group) = talking().await;
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    let direct = flow::open_direct(&rest, &bayo).await;
    let early = send(&rest, group, "rice early").await;
    send(&other, group, "rice of bayo").await;
    send(&rest, direct, "rice direct").await;
    let file = json!({"conversationId": group, "type": "location", "content": "rice place",
        "metadata": {"location": {"latitude": 6.5, "longitude": 3.4}}});
    rest.post("/messages", file).await.expect(201);
    let narrowed = async |more: String| {
        let mut all = contents(&search(&rest, "rice", &more).await);
        all.sort();
        all
    };
    assert_eq!(narrowed(String::new()).await.len(), 4);
    assert_eq!(narrowed(format!("&conversationId={direct}")).await, ["rice direct"]);
    assert_eq!(narrowed(format!("&senderId={}", bayo.id)).await, ["rice of bayo"]);
    assert_eq!(narrowed("&type=location".into()).await, ["rice place"]);
    let at = early["createdAt"].as_str().expect("a time");
    assert_eq!(narrowed(format!("&to={at}")).await, ["rice early"]);
    assert_eq!(narrowed(format!("&from={at}")).await.len(), 4);
    assert_eq!(narrowed("&from=2999-01-01T00:00:00Z".into()).await.len(), 0);
    index::indexed(&world).await;
    assert_eq!(narrowed(format!("&senderId={}", bayo.id)).await, ["rice of bayo"], "indexed");
    assert_eq!(narrowed("&type=location".into()).await, ["rice place"]);
    assert_eq!(narrowed(format!("&to={at}")).await, ["rice early"]);
}

#[tokio::test]
async fn edits_deletions_and_the_end_of_a_time_count_at_once() {
    let (world, ada, bayo, group) = talking().await;
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    let edited = id_of(&send(&rest, group, "before zebra").await);
    let deleted = id_of(&send(&rest, group, "secretword zebra").await);
    let body = json!({"conversationId": group, "content": "shortlived", "ttlSeconds": 1});
    rest.post("/messages", body).await.expect(201);
    assert_eq!(found(&other, "shortlived").await, ["shortlived"]);
    index::indexed(&world).await;
    rest.put(&format!("/messages/{edited}"), json!({"content": "after quagga"})).await.expect(200);
    assert_eq!(found(&other, "before").await, Vec::<String>::new());
    assert_eq!(found(&other, "quagga").await, ["after quagga"], "before it is indexed");
    rest.delete(&format!("/messages/{deleted}")).await.expect(200);
    assert_eq!(found(&other, "secretword").await, Vec::<String>::new());
    eventually("the message vanishes", async || {
        found(&other, "shortlived").await.is_empty().then_some(())
    })
    .await;
    // Nothing of what is gone stays in the index or in the vocabulary.
    eventually("the index follows", async || {
        index::indexed(&world).await;
        let known = index::words(&world).await;
        let gone = ["before", "zebra", "secretword", "shortlived"];
        gone.iter().all(|word| !known.contains(*word)).then_some(())
    })
    .await;
    assert!(index::words(&world).await.contains("quagga"));
    assert_eq!(found(&other, "quagga").await, ["after quagga"], "indexed");
}

#[tokio::test]
async fn pages_show_everything_once_while_people_go_on_writing() {
    let (world, ada, bayo, group) = talking().await;
    let (rest, other) = (world.node().rest(&ada), world.node().rest(&bayo));
    for n in 0..30 {
        let said = if n % 3 == 0 { format!("{n} beans") } else { format!("{n} beansprout") };
        send(&rest, group, &said).await;
    }
    let mut seen = Vec::new();
    let mut more = String::new();
    loop {
        let page = search(&other, "beans", &format!("&limit=7{more}")).await;
        seen.extend(contents(&page));
        send(&rest, group, "newer beans").await;
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        more = format!("&cursor={cursor}");
        assert!(seen.len() <= 30, "{seen:?}");
    }
    let different: HashSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), different.len()), (30, 30), "{seen:?}");
    assert!(seen[..10].iter().all(|said| said.ends_with("beans")), "exact first: {seen:?}");
    let second = contents(&search(&other, "beansprout", "&limit=5&page=2").await);
    assert_eq!(
        second,
        ["22 beansprout", "20 beansprout", "19 beansprout", "17 beansprout", "16 beansprout"]
    );
    let last = search(&other, "beansprout", "&limit=5&page=4").await;
    assert_eq!((contents(&last).len(), &last["nextCursor"]), (5, &Value::Null));
}
