//! Devices that notifications go to.

use jiff::Timestamp;

use super::ids::UserId;

/// Devices of one user; the one that was refreshed the longest ago gives way to a new one. A phone, a tablet and a few browsers
/// are five; what lies beyond 20 was replaced or reset and has not told anybody.
pub const MAX_DEVICES: u32 = 20;

/// Longest token, in bytes. FCM's have some 160 characters today and no promised limit.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// What a device runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    Android,
    Ios,
    Web,
}

impl Platform {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Android => "android",
            Self::Ios => "ios",
            Self::Web => "web",
        }
    }

    /// The platform of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Android, Self::Ios, Self::Web].into_iter().find(|p| p.as_str() == name)
    }
}

/// Where a notification can be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub user_id: UserId,
    pub platform: Platform,
    /// FCM's name for the app on this device. Whoever knows it, and our credentials, can write to it.
    pub token: String,
}

/// A device as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    pub device: Device,
    pub created_at: Timestamp,
    /// When the app last said that the token is current.
    pub refreshed_at: Timestamp,
}

/// Can this be a token? Letters, digits and the punctuation of base64, URLs and subscriptions; no spaces, no
/// control characters, and nothing that would need quoting in a path or a log.
pub fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_:.~=+/%|@,".contains(&b);
    (1..=MAX_TOKEN_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

/// As much of a token as tells one's own devices apart: eight characters of a real one, half of a short one.
pub fn shortened(token: &str) -> String {
    let shown = (token.chars().count() / 2).min(8);
    token.chars().take(shown).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_printable_and_bounded() {
        assert!(is_token("dQw4w9WgXcQ:APA91bE-_x.~=+/"));
        assert!(is_token(&"a".repeat(4096)));
        for wrong in ["", " ", "a b", "a\n", "é", "a\\b", "a\"b", &"a".repeat(4097)] {
            assert!(!is_token(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_shortened_token_is_not_the_token() {
        assert_eq!(shortened("dQw4w9WgXcQ:APA91"), "dQw4w9Wg…");
        assert_eq!(shortened("abcd"), "ab…");
        assert_eq!(shortened("é"), "…");
    }
}
