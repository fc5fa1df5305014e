//! A notification in FCM's words.
//!
//! Every request carries the part of every platform, and FCM takes the one that fits the device: what an app
//! says that it runs on is not what decides. FCM takes 4,096 bytes: 1,024 for the body and 512 for the title as JSON, up to
//! 800 for the link and the icon, 200 for the channels, and some 1,000 for the rest; a test adds it up.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use ::fcm::{
    AndroidConfig, AndroidMessagePriority, AndroidNotification, ApnsConfig, FirebaseMap,
    IntoFirebaseMap, MessageBody, Notification as Words, NotificationPriority, Receiver,
    WebpushConfig, WebpushFcmOptions,
};

use crate::domain::device::Device;
use crate::push::notification::{Kind, Notification, Sound};

/// Bytes as JSON, without the quotes.
const MAX_TITLE_BYTES: usize = 512;
const MAX_BODY_BYTES: usize = 1024;

/// How notifications look, and how long they are kept for a device that is off.
#[derive(Debug, Clone)]
pub struct Look {
    pub ttl: Duration,
    /// Android channel with a sound.
    pub channel: String,
    /// Android channel without: since Android 8 the channel decides, not the notification.
    pub quiet_channel: String,
    /// For browsers; empty where the browser's own is good enough.
    pub web_icon: String,
    /// What a click in a browser opens; `{conversationId}` stands for the conversation. May be empty.
    pub web_link: String,
}

/// The request's body.
///
/// # Errors
/// When it cannot be put into JSON.
pub fn body(
    look: &Look,
    device: &Device,
    notification: &Notification,
    now: Timestamp,
) -> Result<Vec<u8>, ::fcm::Error> {
    #[derive(Serialize)]
    struct Request {
        message: MessageBody,
    }
    let message = MessageBody::new(Receiver::token(&device.token));
    let message = match &notification.kind {
        Kind::Show { title, body, sound } => {
            let title = fit(title, MAX_TITLE_BYTES);
            let words = Words::new().title(title).body(fit(body, MAX_BODY_BYTES));
            show(look, message.notification(words), notification, *sound, now)?
        }
        Kind::Dismiss => dismiss(look, message, notification, now)?,
    };
    Ok(serde_json::to_vec(&Request { message })?)
}

fn show(
    look: &Look,
    message: MessageBody,
    notification: &Notification,
    sound: Sound,
    now: Timestamp,
) -> Result<MessageBody, ::fcm::Error> {
    let slot = notification.conversation.to_string();
    let quiet = sound == Sound::Quiet;
    let shown = AndroidNotification::new().tag(&slot);
    let shown = if quiet {
        shown
            .channel_id(&look.quiet_channel)
            .notification_priority(NotificationPriority::PriorityLow)
    } else {
        shown
            .channel_id(&look.channel)
            .sound("default")
            .notification_priority(NotificationPriority::PriorityHigh)
    };
    let android = android(look, &slot, AndroidMessagePriority::High).notification(shown);
    let mut aps = json!({"thread-id": slot, "badge": notification.badge});
    if quiet {
        aps["interruption-level"] = "passive".into();
    } else {
        aps["sound"] = "default".into();
    }
    let apns = ApnsConfig::new()
        .headers(apns_headers(look, &slot, "alert", "10", now))?
        .payload(json!({ "aps": aps }));
    let mut browser = json!({"tag": slot, "renotify": !quiet, "silent": quiet});
    if !look.web_icon.is_empty() {
        browser["icon"] = look.web_icon.as_str().into();
    }
    let mut webpush = WebpushConfig::new()
        .headers(webpush_headers(look, notification, "high"))?
        .notification(browser)?;
    if !look.web_link.is_empty() {
        let link = look.web_link.replace("{conversationId}", &slot);
        webpush = webpush.fcm_options(WebpushFcmOptions::new().link(link));
    }
    Ok(message
        .data(data(notification, "new_message"))?
        .android(android)
        .apns(apns)
        .webpush(webpush))
}

/// Data for the app alone: nothing that a system would show by itself.
fn dismiss(
    look: &Look,
    message: MessageBody,
    notification: &Notification,
    now: Timestamp,
) -> Result<MessageBody, ::fcm::Error> {
    let slot = notification.conversation.to_string();
    let mut data = data(notification, "dismiss");
    // Apple lets a background notification set no badge, so the app is told.
    data.0.insert("badge", &notification.badge);
    // Google asks for normal priority where nothing is shown, and lowers it for apps that do otherwise.
    let android = android(look, &slot, AndroidMessagePriority::Normal);
    let apns = ApnsConfig::new()
        .headers(apns_headers(look, &slot, "background", "5", now))?
        .payload(json!({"aps": {"content-available": 1}}));
    let webpush = WebpushConfig::new().headers(webpush_headers(look, notification, "normal"))?;
    Ok(message.data(data)?.android(android).apns(apns).webpush(webpush))
}

/// Texts by name, as FCM wants them.
struct Texts(FirebaseMap);

impl Texts {
    fn new(texts: &[(&str, &dyn std::fmt::Display)]) -> Self {
        let mut map = FirebaseMap::new();
        for (name, text) in texts {
            map.insert(*name, text);
        }
        Self(map)
    }
}

impl IntoFirebaseMap for Texts {
    fn as_map(&self) -> FirebaseMap {
        self.0.clone()
    }
}

fn data(notification: &Notification, kind: &str) -> Texts {
    Texts::new(&[
        ("conversationId", &notification.conversation),
        ("messageId", &notification.message),
        ("type", &kind),
    ])
}

fn android(look: &Look, slot: &str, priority: AndroidMessagePriority) -> AndroidConfig {
    let ttl = usize::try_from(look.ttl.as_secs()).unwrap_or(usize::MAX);
    AndroidConfig::new().collapse_key(slot).priority(priority).ttl(ttl)
}

fn apns_headers(look: &Look, slot: &str, kind: &str, priority: &str, now: Timestamp) -> Texts {
    let over = now.as_second().saturating_add_unsigned(look.ttl.as_secs());
    Texts::new(&[
        ("apns-push-type", &kind),
        ("apns-priority", &priority),
        ("apns-collapse-id", &slot),
        ("apns-expiration", &over),
    ])
}

fn webpush_headers(look: &Look, notification: &Notification, urgency: &str) -> Texts {
    // A topic has at most 32 characters (RFC 8030, section 5.4): the id without its dashes has just as many.
    let topic = notification.conversation.simple();
    Texts::new(&[("TTL", &look.ttl.as_secs()), ("Urgency", &urgency), ("Topic", &topic)])
}

/// As much of a text as takes no more than `max` bytes in JSON.
fn fit(text: &str, max: usize) -> Cow<'_, str> {
    const ELLIPSIS: &str = "…";
    let (mut bytes, mut room) = (0, 0);
    for (at, c) in text.char_indices() {
        if bytes + ELLIPSIS.len() <= max {
            room = at;
        }
        bytes += match c {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            c if c < ' ' => 6,
            c => c.len_utf8(),
        };
        if bytes > max {
            return Cow::Owned(format!("{}{ELLIPSIS}", &text[..room]));
        }
    }
    Cow::Borrowed(text)
}

#[cfg(test)]
mod tests;
