//! The same text from one user into many conversations.
//!
//! What is kept is a hash of each text, keyed anew with each start, and no text. Each node counts for itself: somebody
//! who is connected to several has the limit on each. Counting together would need every node to read the content of
//! every message.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::Duration;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, UserId};
use crate::wire::error::ApiError;

/// Greetings and short answers are the same everywhere; they advertise nothing.
const SHORT_CHARS: usize = 10;
/// Texts of a user that are remembered at a time. Whoever writes more others between two of the same is as slow as somebody
/// who changes the text each time, which no comparison finds.
const KEPT: usize = 64;

/// How many conversations may get the same text of a user within which time; 0 conversations for no limit.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub conversations: u32,
    pub window: Duration,
}

/// A text that was sent.
struct Sent {
    text: u64,
    conversation: Uuid,
    /// In milliseconds since 1970.
    at: i64,
}

/// What users of this node have sent lately.
///
/// An entry is 32 bytes, and there is none for what is older than the window: 15,000 messages a second, which is what
/// a node can take, are 900,000 entries in a minute or 29 MB at the very most.
pub struct Flood {
    settings: Settings,
    hasher: RandomState,
    users: DashMap<UserId, VecDeque<Sent>, RandomState>,
}

impl Flood {
    /// Nobody has said anything yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, hasher: RandomState::default(), users: DashMap::default() }
    }

    /// Counts a text.
    ///
    /// # Errors
    /// `rate_limited` when it has gone into too many other conversations.
    pub fn check(
        &self,
        user: UserId,
        conversation: ConversationId,
        content: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let Settings { conversations, window } = self.settings;
        let content = content.trim();
        if conversations == 0 || content.chars().nth(SHORT_CHARS - 1).is_none() {
            return Ok(());
        }
        let (text, now) = (self.hasher.hash_one(content), now.as_millisecond());
        let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let mut sent = self.users.entry(user).or_default();
        while sent.front().is_some_and(|oldest| now - oldest.at >= window) {
            sent.pop_front();
        }
        let same = || sent.iter().filter(|other| other.text == text);
        if same().any(|other| other.conversation == conversation) {
            return Ok(());
        }
        // Each of the same text is of another conversation.
        if same().count() >= conversations as usize {
            let wait = same().next().map_or(window, |oldest| window - (now - oldest.at));
            return Err(refused(conversations, Duration::from_millis(wait.unsigned_abs())));
        }
        if sent.len() >= KEPT.max(conversations as usize) {
            sent.pop_front();
        }
        sent.push_back(Sent { text, conversation, at: now });
        Ok(())
    }

    /// Forgets those who have sent nothing within the window.
    pub fn forget(&self, now: Timestamp) {
        let window = i64::try_from(self.settings.window.as_millis()).unwrap_or(i64::MAX);
        let since = now.as_millisecond().saturating_sub(window);
        self.users.retain(|_, sent| sent.back().is_some_and(|newest| newest.at > since));
        self.users.shrink_to_fit();
    }
}

fn refused(conversations: u32, wait: Duration) -> ApiError {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    let detail = format!(
        "the same text has gone into {conversations} conversations; write something else, or try again in {seconds} s"
    );
    ApiError::too_soon(detail, wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Buy my things, they are cheap";
    const ADA: UserId = Uuid::from_u128(1);

    fn flood() -> Flood {
        Flood::new(Settings { conversations: 3, window: Duration::from_secs(60) })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn sends(flood: &Flood, conversation: u128, text: &str, second: i64) -> Result<(), ApiError> {
        flood.check(ADA, Uuid::from_u128(conversation), text, at(second))
    }

    #[test]
    fn the_same_text_goes_into_so_many_conversations_within_the_window() {
        let flood = flood();
        for conversation in 0..3 {
            sends(&flood, conversation, TEXT, 10).expect("within the limit");
        }
        sends(&flood, 2, TEXT, 11).expect("it is there already");
        let refusal = sends(&flood, 3, &format!(" {TEXT} "), 30).expect_err("too many");
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(40)));
        sends(&flood, 3, "Something else altogether", 30).expect("another text");
        flood.check(Uuid::from_u128(2), Uuid::from_u128(3), TEXT, at(30)).expect("somebody else");
        sends(&flood, 3, TEXT, 70).expect("later");
    }

    #[test]
    fn greetings_go_everywhere() {
        let flood = flood();
        for conversation in 0..100 {
            sends(&flood, conversation, "good day!", 10).expect("short");
        }
        assert!(flood.users.is_empty());
        let off = Flood::new(Settings { conversations: 0, window: Duration::from_secs(60) });
        for conversation in 0..100 {
            sends(&off, conversation, TEXT, 10).expect("off");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_forgotten() {
        let flood = flood();
        for n in 0..1000 {
            sends(&flood, n, &format!("text number {n} of many"), 10).expect("all different");
        }
        assert_eq!(flood.users.get(&ADA).map(|sent| sent.len()), Some(KEPT));
        flood.forget(at(69));
        assert_eq!(flood.users.len(), 1);
        flood.forget(at(70));
        assert!(flood.users.is_empty());
    }
}
