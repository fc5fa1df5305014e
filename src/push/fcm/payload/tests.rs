use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::domain::device::Platform;

fn look() -> Look {
    Look {
        ttl: Duration::from_secs(86_400),
        channel: "messages".into(),
        quiet_channel: "messages_quiet".into(),
        web_icon: String::new(),
        web_link: String::new(),
    }
}

fn notification(kind: Kind) -> Notification {
    Notification {
        user: Uuid::from_u128(1),
        conversation: Uuid::from_u128(0xc),
        message: Uuid::from_u128(0xe),
        kind,
        badge: 3,
    }
}

fn made(look: &Look, kind: Kind) -> Value {
    let device =
        Device { user_id: Uuid::from_u128(1), platform: Platform::Android, token: "tok".into() };
    let now = Timestamp::from_second(1_000_000).expect("in range");
    let body = body(look, &device, &notification(kind), now).expect("JSON");
    serde_json::from_slice(&body).expect("JSON")
}

fn shown(title: &str, body: &str, sound: Sound) -> Kind {
    Kind::Show { title: title.into(), body: body.into(), sound }
}

const SLOT: &str = "00000000-0000-0000-0000-00000000000c";
const MESSAGE: &str = "00000000-0000-0000-0000-00000000000e";

#[test]
fn a_message_rings_on_every_platform() {
    let expected = json!({"message": {
        "token": "tok",
        "notification": {"title": "Ada", "body": "Hello!"},
        "data": {"conversationId": SLOT, "messageId": MESSAGE, "type": "new_message"},
        "android": {
            "collapse_key": SLOT, "priority": "HIGH", "ttl": "86400s",
            "notification": {
                "tag": SLOT, "channel_id": "messages", "sound": "default",
                "notification_priority": "PRIORITY_HIGH",
            },
        },
        "apns": {
            "headers": {
                "apns-push-type": "alert", "apns-priority": "10", "apns-collapse-id": SLOT,
                "apns-expiration": "1086400",
            },
            "payload": {"aps": {"thread-id": SLOT, "badge": 3, "sound": "default"}},
        },
        "webpush": {
            "headers": {"TTL": "86400", "Urgency": "high", "Topic": "0000000000000000000000000000000c"},
            "notification": {"tag": SLOT, "renotify": true, "silent": false},
        },
    }});
    assert_eq!(made(&look(), shown("Ada", "Hello!", Sound::Normal)), expected);
}

#[test]
fn in_quiet_hours_it_is_shown_and_makes_no_sound() {
    let made = made(&look(), shown("Ada", "Hello!", Sound::Quiet));
    let message = &made["message"];
    assert_eq!(message["notification"], json!({"title": "Ada", "body": "Hello!"}));
    assert_eq!(
        message["android"]["notification"],
        json!({"tag": SLOT, "channel_id": "messages_quiet", "notification_priority": "PRIORITY_LOW"})
    );
    assert_eq!(
        message["apns"]["payload"],
        json!({"aps": {"thread-id": SLOT, "badge": 3, "interruption-level": "passive"}})
    );
    assert_eq!(
        message["webpush"]["notification"],
        json!({"tag": SLOT, "renotify": false, "silent": true})
    );
}

#[test]
fn a_dismissal_shows_nothing_anywhere() {
    let expected = json!({"message": {
        "token": "tok",
        "data": {"conversationId": SLOT, "messageId": MESSAGE, "type": "dismiss", "badge": "3"},
        "android": {"collapse_key": SLOT, "priority": "NORMAL", "ttl": "86400s"},
        "apns": {
            "headers": {
                "apns-push-type": "background", "apns-priority": "5", "apns-collapse-id": SLOT,
                "apns-expiration": "1086400",
            },
            "payload": {"aps": {"content-available": 1}},
        },
        "webpush": {
            "headers": {"TTL": "86400", "Urgency": "normal", "Topic": "0000000000000000000000000000000c"},
        },
    }});
    assert_eq!(made(&look(), Kind::Dismiss), expected);
}

#[test]
fn a_click_in_a_browser_opens_the_conversation() {
    let look = Look {
        web_icon: "https://app.example/icon.png".into(),
        web_link: "https://app.example/chats/{conversationId}".into(),
        ..look()
    };
    let made = made(&look, shown("Ada", "Hello!", Sound::Normal));
    let webpush = &made["message"]["webpush"];
    assert_eq!(webpush["notification"]["icon"], "https://app.example/icon.png");
    assert_eq!(webpush["fcm_options"]["link"], format!("https://app.example/chats/{SLOT}"));
}

#[test]
fn the_largest_notification_is_within_what_fcm_takes() {
    let look = Look {
        ttl: Duration::from_secs(28 * 86_400),
        channel: "c".repeat(100),
        quiet_channel: "q".repeat(100),
        web_icon: "i".repeat(400),
        web_link: format!("{}{{conversationId}}", "l".repeat(384)),
    };
    for text in ["a", "é", "👩‍👩‍👧", "\"", "\\", "\u{1}"] {
        let device =
            Device { user_id: Uuid::from_u128(1), platform: Platform::Ios, token: String::new() };
        for sound in [Sound::Normal, Sound::Quiet] {
            let kind = shown(&text.repeat(2_000), &text.repeat(8_000), sound);
            let mut notification = notification(kind);
            notification.badge = u64::MAX;
            let body = body(&look, &device, &notification, Timestamp::MAX).expect("JSON");
            assert!(body.len() <= 4096, "{text:?}: {} bytes", body.len());
        }
    }
}

#[test]
fn what_fits_is_left_alone_and_what_does_not_ends_in_an_ellipsis() {
    assert_eq!(fit("abc", 3), "abc");
    assert_eq!(fit("abcd", 3), "…");
    assert_eq!(fit("abcdefgh", 6), "abc…");
    assert_eq!(fit("\"\"\"\"", 6), "\"…");
    assert_eq!(fit("", 3), "");
}
