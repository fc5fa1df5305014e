//! What people may send who are new here: links and files only where they were answered.
//!
//! Whoever sends advertising uses fresh accounts and writes first. Somebody who is answered is wanted.

use std::time::Duration;

use jiff::Timestamp;

use super::conversation::ConversationType;
use super::message::MessageType;

/// Endings of names that are taken for addresses without `http://` before them.
const ENDINGS: [&str; 14] = [
    "com", "net", "org", "ng", "io", "app", "info", "biz", "xyz", "ly", "gg", "tk", "africa",
    "shop",
];

/// Does a message of this type and content carry a file or lead somewhere else?
pub fn leads_elsewhere(kind: MessageType, content: &str) -> bool {
    carries_a_file(kind) || has_link(content)
}

fn carries_a_file(kind: MessageType) -> bool {
    use MessageType::{Audio, File, Image, Video};
    matches!(kind, Image | Video | Audio | File)
}

/// Is there something in the text that an app would make a link of?
pub fn has_link(text: &str) -> bool {
    // Nearly every text without a link has neither, and is looked through once.
    text.contains(['.', ':']) && text.split_whitespace().any(is_link)
}

fn is_link(word: &str) -> bool {
    if word.contains("://") {
        return true;
    }
    let word = word.trim_matches(|c: char| !c.is_alphanumeric());
    let (host, path) = word.split_once('/').map_or((word, None), |(host, path)| (host, Some(path)));
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    let Some((name, ending)) = host.rsplit_once('.') else { return false };
    let named = !name.is_empty() && !name.contains('@') && !name.ends_with('.');
    let ending = ending.to_ascii_lowercase();
    let letters = ending.len() >= 2 && ending.bytes().all(|b| b.is_ascii_lowercase());
    named
        && letters
        && (path.is_some() || name.starts_with("www.") || ENDINGS.contains(&ending.as_str()))
}

/// How long somebody who was first seen at `first_seen` is still new at `now`; `None` for no longer.
pub fn remains_new(first_seen: Timestamp, now: Timestamp, period: Duration) -> Option<Duration> {
    let age = Duration::try_from(now.duration_since(first_seen)).unwrap_or_default();
    period.checked_sub(age).filter(|left| !left.is_zero())
}

/// May somebody who is new send this? `answered`: somebody else has written there.
pub fn may_send(
    kind: ConversationType,
    message: MessageType,
    content: &str,
    answered: bool,
) -> bool {
    match kind {
        // Being answered by one of thousands says nothing.
        ConversationType::Community => !has_link(content),
        ConversationType::Direct | ConversationType::Group => {
            answered || !leads_elsewhere(message, content)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_app_would_make_a_link_of_is_one() {
        for text in [
            "see https://example.org/x",
            "HTTP://EXAMPLE.ORG",
            "www.example.de",
            "buy at shop.example.com!",
            "(jumia.com.ng)",
            "bit.ly/3xYz",
            "t.me/joinme",
            "example.com:8080",
        ] {
            assert!(has_link(text), "{text}");
        }
    }

    #[test]
    fn and_other_text_is_not() {
        for text in [
            "hello",
            "Really?No.Yes.",
            "it is 3.50",
            "at 10:30",
            "e.g. this",
            "...",
            "a/b",
            "ada@example.com",
            "wait...what",
            "1.2.3",
            "Dr. Ola",
            "and/or",
        ] {
            assert!(!has_link(text), "{text}");
        }
    }

    #[test]
    fn newcomers_are_answered_before_they_send_links_and_files() {
        use ConversationType::{Community, Direct, Group};
        let (text, image) = (MessageType::Text, MessageType::Image);
        for kind in [Direct, Group] {
            assert!(may_send(kind, text, "hello", false));
            assert!(!may_send(kind, text, "www.example.com", false));
            assert!(!may_send(kind, image, "", false));
            assert!(may_send(kind, image, "www.example.com", true));
        }
        assert!(may_send(Community, image, "", true));
        assert!(!may_send(Community, text, "www.example.com", true));
    }

    #[test]
    fn nobody_is_new_for_ever() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        let hour = Duration::from_secs(3600);
        assert_eq!(remains_new(at(0), at(600), hour), Some(Duration::from_secs(3000)));
        assert_eq!(remains_new(at(0), at(3600), hour), None);
        assert_eq!(remains_new(at(0), at(9999), Duration::ZERO), None);
        assert_eq!(remains_new(at(50), at(0), hour), Some(hour), "clocks differ");
    }
}
