//! Whether somebody may write in a conversation now: announcements, slow mode.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::conversation::Role;
use crate::domain::ids::{ConversationId, MessageId, UserId};
use crate::domain::posting::{Posting, PostingRefused};
use crate::store::posting::Writer;
use crate::telemetry::metrics::Rule;
use crate::wire::error::{ApiError, Code};

use super::hub::posting::{MAX_KEPT, Verdict};
use super::{Edge, error};

/// Reads the rules before the tail begins, which keeps them up from then on.
///
/// # Errors
/// When Postgres cannot be read.
pub async fn load(store: &crate::store::Store, hub: &super::hub::Hub) -> anyhow::Result<()> {
    let mut found = store.restricted(MAX_KEPT + 1).await?;
    let all = found.len() <= MAX_KEPT as usize;
    if !all {
        tracing::warn!(kept = MAX_KEPT, "more conversations restrict writing than are kept here");
        found.truncate(MAX_KEPT as usize);
    }
    hub.restricted().load(found, all);
    Ok(())
}

/// Checks a message that would be published now. One that may be is counted as sent: nothing may refuse it
/// behind this.
///
/// # Errors
/// `forbidden` where only admins write, `rate_limited` in slow mode, `not_a_participant`, `unavailable`.
pub async fn check(
    edge: &Edge,
    user: UserId,
    conversation: ConversationId,
    id: MessageId,
    now: Timestamp,
) -> Result<(), ApiError> {
    let ask = || edge.hub.restricted().ask(conversation, user, id, now);
    match ask() {
        Verdict::Free => Ok(()),
        Verdict::Refused(why) => Err(refused(edge, why)),
        // Boxed like the other rare branches of a send.
        Verdict::Unknown(version) => {
            let writer = Box::pin(writer(edge, user, conversation)).await?;
            let Writer { posting, role, last_at } = writer;
            if edge.hub.restricted().learned(conversation, user, version, role, last_at) {
                // Another request of the same user may have come between.
                if let Verdict::Refused(why) = ask() {
                    return Err(refused(edge, why));
                }
                return Ok(());
            }
            posting.may_write(role, last_at, now).map_err(|why| refused(edge, why))
        }
    }
}

/// Checks a message that is to be sent later. Whether it may be sent then is looked at again.
///
/// # Errors
/// As [`check`], and `conflict` in slow mode.
pub async fn check_scheduled(
    edge: &Edge,
    user: UserId,
    conversation: ConversationId,
) -> Result<(), ApiError> {
    if is_free(edge, conversation) {
        return Ok(());
    }
    let writer = writer(edge, user, conversation).await?;
    writer.posting.may_schedule(writer.role).map_err(|why| refused(edge, why))
}

/// Checks new content for an old message: where only admins write, it would be a way around that.
///
/// # Errors
/// `forbidden`.
pub fn check_edit(edge: &Edge, conversation: ConversationId, role: Role) -> Result<(), ApiError> {
    let posting = edge.hub.restricted().posting(conversation).unwrap_or_default();
    match posting.may_write(role, None, Timestamp::UNIX_EPOCH) {
        Ok(()) => Ok(()),
        Err(why) => Err(refused(edge, why)),
    }
}

fn is_free(edge: &Edge, conversation: ConversationId) -> bool {
    let restricted = edge.hub.restricted();
    !restricted.is_partial() && restricted.posting(conversation).is_none_or(Posting::is_free)
}

async fn writer(
    edge: &Edge,
    user: UserId,
    conversation: ConversationId,
) -> Result<Writer, ApiError> {
    let found = edge.store.writer(conversation, user).await.map_err(error::store)?;
    found.ok_or_else(ApiError::not_a_participant)
}

fn refused(edge: &Edge, why: PostingRefused) -> ApiError {
    edge.metrics.safety.refused(match why {
        PostingRefused::AdminsOnly => Rule::Announcements,
        PostingRefused::TooSoon { .. } | PostingRefused::NotScheduled => Rule::SlowMode,
    });
    match why {
        PostingRefused::AdminsOnly => {
            ApiError::new(Code::Forbidden, "only admins write in this conversation")
        }
        PostingRefused::TooSoon { every, wait } => {
            let detail = format!(
                "slow mode: a message each {} s; try again in {} s",
                every.as_secs(),
                seconds(wait)
            );
            ApiError::too_soon(detail, wait)
        }
        PostingRefused::NotScheduled => {
            ApiError::new(Code::Conflict, "in slow mode nothing can be scheduled")
        }
    }
}

/// Whole seconds, and never 0.
fn seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}
