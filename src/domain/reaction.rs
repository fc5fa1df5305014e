//! Reactions: what one is, and how many there may be.

use super::ids::UserId;

/// Different emoji of one message. More would be a second conversation below it, and each is a row of what a reader
/// of the message gets: 20 with [`SHOWN_USERS`] people each are 40 KB.
pub const MAX_EMOJI: usize = 20;

/// People whom a message names for each emoji. Their number is exact however many they are.
pub const SHOWN_USERS: u32 = 50;

/// Those who reacted to a message with one emoji.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reacted {
    pub emoji: String,
    pub count: u64,
    /// The first [`SHOWN_USERS`] of them, in the order of the log.
    pub user_ids: Vec<UserId>,
}

/// The one form of an emoji, whichever of its forms was given: `❤` and `❤️` are one reaction. `None` for what is not
/// exactly one emoji that Unicode recommends.
pub fn emoji(text: &str) -> Option<&'static str> {
    emojis::get(text).map(emojis::Emoji::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_emoji_is_one_however_it_is_made_up() {
        for one in ["👍", "👍🏽", "👩‍👩‍👧‍👦", "🇳🇬", "1️⃣", "🏴‍☠️", "🫩"]
        {
            assert_eq!(emoji(one), Some(one), "{one}");
        }
        assert_eq!(
            emoji("\u{2764}"),
            Some("\u{2764}\u{fe0f}"),
            "the form that fonts show in colour"
        );
    }

    #[test]
    fn anything_else_is_none() {
        let long = "👍".repeat(1000);
        for text in ["", " ", "a", "1", "👍👍", "👍 ", ":+1:", "\0", "é", "\u{fe0f}", &long]
        {
            assert_eq!(emoji(text), None, "{text:?}");
        }
    }
}
