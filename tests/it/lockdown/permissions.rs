//! Every user against every subject: what it may, and that it may nothing else.

use std::fmt::Write as _;

use super::USERS;
use crate::harness::raw_nats::RawNats;
use crate::harness::shipped::{Shipped, password};

const LOG: &str = "chat.0a.00000000-0000-4000-8000-00000000000a";
const ANSWER: &str = "answer.control.00000000000040008000000000000a";

/// Who may publish to a subject; nobody else may.
const PUBLISH: &[(&str, &[&str])] = &[
    // Between the roles.
    (LOG, &["edge", "persister", "ingest", "messaging"]),
    ("signal.0a.00000000-0000-4000-8000-00000000000a", &["edge", "messaging"]),
    ("status.00000000-0000-4000-8000-00000000000b", &["edge", "messaging"]),
    ("progress.chat", &["persister", "messaging"]),
    ("$KV.PRESENCE.e.00000000-0000-4000-8000-00000000000b", &["edge", "messaging"]),
    ("dead.persist", &["persister", "messaging"]),
    ("dead.push", &["push", "messaging"]),
    ("dead.ingest.events", &["ingest", "messaging"]),
    // What operators tell and ask every process, and the answers.
    ("control.disconnect", &["operator"]),
    (ANSWER, &["edge", "persister", "push", "ingest", "messaging"]),
    // What services say: in their own name.
    ("messaging.system.events.conversation.x", &["events"]),
    ("messaging.users.events.x", &["events"]),
    ("messaging.contexts.events.event.x", &["events"]),
    ("messaging.api.system.events.user.x", &["events"]),
    ("messaging.api.dead.events.list", &["operator", "events"]),
    ("messaging.api.system.operator.user.x", &["operator"]),
    ("messaging.system.operator.user.x", &[]),
    ("messaging.api.users.operator.x", &[]),
    ("messaging.system.billing.conversation.x", &["billing"]),
    ("messaging.users.billing.x", &["billing"]),
    ("messaging.contexts.billing.listing.x", &["billing"]),
    ("messaging.api.contexts.billing.event.x", &["billing"]),
    ("messaging.api.dead.billing.replay", &["operator", "billing"]),
    ("messaging.system.nobody.conversation.x", &[]),
    ("messaging.api.system.nobody.conversation.x", &[]),
    // The streams.
    ("$JS.API.INFO", &["topology", "operator", "messaging"]),
    ("$JS.API.STREAM.LIST", &["operator"]),
    (
        "$JS.API.STREAM.INFO.CHAT",
        &[
            "edge",
            "persister",
            "push",
            "ingest",
            "topology",
            "operator",
            "backup",
            "messaging",
            "events",
        ],
    ),
    ("$JS.API.STREAM.CREATE.OTHER", &["topology", "messaging"]),
    ("$JS.API.STREAM.CREATE.KV_PRESENCE", &["edge", "topology", "messaging"]),
    ("$JS.API.STREAM.UPDATE.CHAT", &["topology", "messaging"]),
    ("$JS.API.STREAM.UPDATE.KV_PRESENCE", &["topology", "messaging"]),
    ("$JS.API.STREAM.DELETE.CHAT", &["backup"]),
    ("$JS.API.STREAM.DELETE.INGEST", &["backup"]),
    ("$JS.API.STREAM.DELETE.DEAD", &["backup"]),
    ("$JS.API.STREAM.DELETE.KV_PRESENCE", &[]),
    ("$JS.API.STREAM.PURGE.CHAT", &[]),
    ("$JS.API.STREAM.PURGE.DEAD", &[]),
    ("$JS.API.STREAM.PURGE.INGEST", &[]),
    ("$JS.API.STREAM.PURGE.KV_PRESENCE", &["edge", "persister", "messaging"]),
    ("$JS.API.STREAM.MSG.DELETE.CHAT", &["persister", "messaging"]),
    ("$JS.API.STREAM.MSG.DELETE.DEAD", &["persister", "ingest", "operator", "messaging"]),
    ("$JS.API.STREAM.SNAPSHOT.CHAT", &["backup"]),
    ("$JS.API.STREAM.RESTORE.CHAT", &["backup"]),
    ("$JS.API.STREAM.PEER.REMOVE.CHAT", &[]),
    ("$JS.API.STREAM.LEADER.STEPDOWN.CHAT", &[]),
    ("$JS.API.ACCOUNT.PURGE.MESSAGING", &[]),
    ("$JS.API.META.LEADER.STEPDOWN", &[]),
    // Reading the log.
    ("$JS.API.STREAM.MSG.GET.CHAT", &["edge", "persister", "ingest", "operator", "messaging"]),
    ("$JS.API.DIRECT.GET.CHAT", &["edge", "persister", "operator", "messaging"]),
    ("$JS.API.DIRECT.GET.CHAT.chat.0a.x", &[]),
    // Without a name in the subject the body could name any consumer.
    ("$JS.API.CONSUMER.CREATE.CHAT", &[]),
    ("$JS.API.CONSUMER.DURABLE.CREATE.CHAT.persist", &[]),
    ("$JS.API.CONSUMER.CREATE.CHAT.passing-1", &["edge", "topology", "messaging"]),
    ("$JS.API.CONSUMER.CREATE.CHAT.persist", &["persister", "messaging"]),
    ("$JS.API.CONSUMER.CREATE.CHAT.persist.chat.0a.x", &[]),
    ("$JS.API.CONSUMER.CREATE.CHAT.push", &["push", "messaging"]),
    ("$JS.API.CONSUMER.CREATE.CHAT.events", &["topology", "messaging"]),
    ("$JS.API.CONSUMER.CREATE.CHAT.billing.chat.0a.x", &[]),
    ("$JS.API.CONSUMER.CREATE.INGEST.ingest", &["ingest", "messaging"]),
    ("$JS.API.CONSUMER.CREATE.INGEST.thief", &["messaging"]),
    ("$JS.API.CONSUMER.DELETE.CHAT.persist", &["persister", "messaging"]),
    ("$JS.API.CONSUMER.DELETE.CHAT.push", &["push", "messaging"]),
    ("$JS.API.CONSUMER.DELETE.CHAT.events", &[]),
    ("$JS.API.CONSUMER.DELETE.INGEST.ingest", &[]),
    ("$JS.API.CONSUMER.PAUSE.CHAT.persist", &[]),
    ("$JS.API.CONSUMER.RESET.CHAT.persist", &[]),
    ("$JS.API.CONSUMER.MSG.NEXT.CHAT.passing-1", &["edge", "messaging"]),
    ("$JS.API.CONSUMER.MSG.NEXT.CHAT.persist", &["persister", "messaging"]),
    ("$JS.API.CONSUMER.MSG.NEXT.CHAT.push", &["push", "messaging"]),
    ("$JS.API.CONSUMER.MSG.NEXT.CHAT.events", &["messaging", "events"]),
    ("$JS.API.CONSUMER.MSG.NEXT.INGEST.ingest", &["ingest", "messaging"]),
    ("$JS.ACK.CHAT.persist.1.1.1.1.1", &["persister", "messaging"]),
    ("$JS.ACK.CHAT.push.1.1.1.1.1", &["push", "messaging"]),
    ("$JS.ACK.CHAT.events.1.1.1.1.1", &["events"]),
    ("$JS.ACK.INGEST.ingest.1.1.1.1.1", &["ingest", "messaging"]),
    // Dead letters.
    ("$JS.API.STREAM.MSG.GET.DEAD", &["persister", "ingest", "operator", "messaging"]),
    ("$JS.API.STREAM.MSG.GET.INGEST", &[]),
    // The servers.
    ("$SYS.REQ.SERVER.PING", &[]),
    ("$SYS.REQ.ACCOUNT.MESSAGING.CONNZ", &[]),
    ("anything", &[]),
];

/// Who may subscribe to a subject; nobody else may.
const SUBSCRIBE: &[(&str, &[&str])] = &[
    ("signal.*.*", &["edge", "push", "messaging"]),
    ("status.*", &["edge", "messaging"]),
    ("progress.chat", &["edge", "push", "messaging"]),
    ("control.*", &["edge", "persister", "push", "ingest", "messaging"]),
    ("answer.control.*", &["operator"]),
    ("messaging.api.>", &["ingest", "messaging"]),
    ("$SRV.PING", &["ingest", "messaging"]),
    ("chat.>", &[]),
    ("chat.*.*", &["operator"]),
    (LOG, &["operator"]),
    ("dead.>", &[]),
    ("messaging.system.>", &[]),
    ("messaging.system.billing.>", &[]),
    ("$KV.PRESENCE.>", &[]),
    ("$JS.API.>", &[]),
    ("$JS.ACK.>", &[]),
    ("$JS.EVENT.>", &[]),
    ("$SYS.>", &[]),
    ("_INBOX.>", &[]),
    ("*.>", &[]),
    (">", &[]),
];

#[tokio::test]
async fn each_user_may_do_what_it_has_to_and_nothing_else() {
    let shipped = Shipped::single();
    let mut wrong = String::new();
    for user in USERS {
        let mut raw = shipped.raw(user).await;
        for (subject, users) in PUBLISH {
            let complaint = raw.publish(subject, "").await;
            compare(&mut wrong, (user, "publish to", subject), users, complaint);
        }
        for (subject, users) in SUBSCRIBE {
            let complaint = raw.subscribe(subject).await;
            compare(&mut wrong, (user, "subscribe to", subject), users, complaint);
        }
        for other in USERS {
            let inbox = format!("_INBOX_{other}.>");
            let complaint = raw.subscribe(&inbox).await;
            compare(&mut wrong, (user, "subscribe to", &inbox), &[other], complaint);
        }
    }
    assert!(wrong.is_empty(), "nats/permissions.conf is not as it should be:\n{wrong}");
}

fn compare(
    wrong: &mut String,
    (user, verb, subject): (&str, &str, &str),
    users: &[&str],
    complaint: Option<String>,
) {
    let refused = match &complaint {
        None => false,
        Some(text) if text.contains("Permissions Violation") => true,
        Some(text) => panic!("{user} on {subject}: {text}"),
    };
    if refused == users.contains(&user) {
        let may = if refused { "may not" } else { "may" };
        writeln!(wrong, "{user} {may} {verb} {subject}").expect("memory");
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_password_and_an_unknown_user_not_at_all() {
    let shipped = Shipped::single();
    let address = shipped.address();
    let refused = |outcome: Result<RawNats, String>| outcome.err().unwrap_or_default();
    let attempts = [
        RawNats::connect(address, "edge", &password("billing")).await,
        RawNats::connect(address, "edge", "").await,
        RawNats::connect(address, "nobody", &password("nobody")).await,
        RawNats::connect_anonymously(address).await,
    ];
    for attempt in attempts {
        let complaint = refused(attempt);
        assert!(complaint.contains("Authorization Violation"), "{complaint:?}");
    }
}

#[tokio::test]
async fn ingest_answers_whom_it_was_asked_by_and_nobody_else() {
    let shipped = Shipped::single();
    let (mut ingest, mut billing) = (shipped.raw("ingest").await, shipped.raw("billing").await);
    assert_eq!(ingest.subscribe("messaging.api.>").await, None);
    assert_eq!(billing.subscribe("_INBOX_billing.>").await, None);
    let asked = "messaging.api.system.billing.user.x";
    assert_eq!(billing.publish_with_reply(asked, "_INBOX_billing.1", "?").await, None);
    assert_eq!(ingest.next().await.0, asked);
    assert_eq!(ingest.publish("_INBOX_billing.1", "!").await, None);
    assert_eq!(billing.next().await, ("_INBOX_billing.1".to_owned(), b"!".to_vec()));
    for subject in ["_INBOX_billing.1", "_INBOX_billing.2", "_INBOX_events.1"] {
        let complaint = ingest.publish(subject, "!").await.unwrap_or_default();
        assert!(complaint.contains("Permissions Violation"), "{subject}: {complaint:?}");
    }
}

#[tokio::test]
async fn the_servers_own_account_sees_the_servers_and_not_the_log() {
    let shipped = Shipped::single();
    let (mut sys, mut edge) = (shipped.raw("sys").await, shipped.raw("edge").await);
    assert_eq!(sys.subscribe(">").await, None);
    assert_eq!(edge.publish(LOG, "{}").await, None);
    assert_eq!(sys.publish_with_reply("$SYS.REQ.SERVER.PING", "answer", "").await, None);
    loop {
        let (subject, payload) = sys.next().await;
        assert!(!subject.starts_with("chat."), "the log is not its business");
        if subject == "answer" && payload.starts_with(b"{\"server\"") {
            break;
        }
    }
}
