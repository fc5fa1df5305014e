//! Links and files of people who are new here; see [`crate::domain::newcomer`].

use std::time::Duration;

use jiff::Timestamp;
use quick_cache::sync::Cache;

use crate::domain::conversation::ConversationType;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::message::MessageType;
use crate::domain::newcomer;
use crate::store::newcomers::Newcomer;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Rule;
use crate::wire::error::{ApiError, Code};

use super::{Edge, error, freshness};

/// People of whom a node remembers that they are not new: 24 bytes each, and room for the cache's own, some 5 MB. They are
/// asked for when they send a link or a file for the first time here.
const KNOWN: usize = 100_000;

/// Who is known not to be new.
pub struct Newcomers {
    /// How long somebody is new; zero turns the rule off.
    period: Duration,
    /// When the rule begins: while nobody has been here for longer, nobody is new.
    from: Timestamp,
    settled: Cache<UserId, ()>,
}

impl Newcomers {
    /// # Errors
    /// When Postgres cannot say since when there are users.
    pub async fn new(period: Duration, store: &Store, now: Timestamp) -> Result<Self, StoreError> {
        let from = match period.is_zero() {
            true => now,
            false => store.first_of_all().await?.unwrap_or(now),
        };
        let from = from.checked_add(period).unwrap_or(Timestamp::MAX);
        Ok(Self { period, from, settled: Cache::new(KNOWN) })
    }
}

/// Checks what somebody wants to send, or to write into an old message. Texts without a link, which are nearly all, cost one
/// look at them.
///
/// # Errors
/// `forbidden` for links and files of newcomers where they are not wanted yet; `unavailable`.
pub async fn check(
    edge: &Edge,
    user: UserId,
    conversation: ConversationId,
    (kind, content): (MessageType, &str),
    now: Timestamp,
) -> Result<(), ApiError> {
    let Newcomers { period, from, settled } = &edge.newcomers;
    if period.is_zero()
        || !newcomer::leads_elsewhere(kind, content)
        || now < *from
        || settled.get(&user).is_some()
    {
        return Ok(());
    }
    Box::pin(look(edge, user, conversation, (kind, content), now)).await
}

async fn look(
    edge: &Edge,
    user: UserId,
    conversation: ConversationId,
    (kind, content): (MessageType, &str),
    now: Timestamp,
) -> Result<(), ApiError> {
    // The answer may have been accepted a moment ago.
    freshness::conversation(edge, conversation).await;
    let found = edge.store.newcomer(user, conversation).await.map_err(error::store)?;
    let Newcomer { first_seen, conversation, is_answered } =
        found.ok_or_else(ApiError::not_a_participant)?;
    let Some(left) = newcomer::remains_new(first_seen, now, edge.newcomers.period) else {
        edge.newcomers.settled.insert(user, ());
        return Ok(());
    };
    if newcomer::may_send(conversation, kind, content, is_answered) {
        return Ok(());
    }
    edge.metrics.safety.refused(Rule::Newcomer);
    let where_to = match conversation {
        ConversationType::Community => "send no links in communities",
        _ => "send links and files only where somebody has answered them",
    };
    let detail =
        format!("people who are new here {where_to}; for you this ends in {}", in_words(left));
    Err(ApiError::new(Code::Forbidden, detail))
}

/// Hours, or minutes when there is less than one.
fn in_words(left: Duration) -> String {
    let minutes = left.as_secs().div_ceil(60);
    if minutes > 60 { format!("{} h", minutes.div_ceil(60)) } else { format!("{minutes} min") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_rounded_up() {
        assert_eq!(in_words(Duration::from_secs(1)), "1 min");
        assert_eq!(in_words(Duration::from_secs(3600)), "60 min");
        assert_eq!(in_words(Duration::from_secs(3661)), "2 h");
        assert_eq!(in_words(Duration::from_secs(24 * 3600)), "24 h");
    }
}
