//! What the admins of a conversation change about it.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use crate::domain::conversation::{Conversation, ConversationType, Role};
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::membership;
use crate::domain::posting::PostingPolicy;

use super::conversations::ChangeError;
use super::outbox::OutboxEvent;
use super::{Store, StoreError, execute, participants};

/// New details; the outer `None` leaves a field, the inner one clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    pub title: Option<Option<String>>,
    pub description: Option<Option<String>>,
    pub avatar_url: Option<Option<String>>,
    pub posting_policy: Option<PostingPolicy>,
    pub slow_mode_seconds: Option<u32>,
    pub join_approval: Option<bool>,
}

/// Changes what is given, on behalf of somebody with a role.
pub(super) async fn write(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    (kind, role): (ConversationType, Role),
    details: &Details,
    now: Timestamp,
) -> Result<(), ChangeError> {
    membership::may_edit_details(kind, role)?;
    if details.join_approval == Some(true) {
        membership::may_ask_for_approval(kind, role)?;
    }
    let sql = "UPDATE conversations SET
                   title = CASE WHEN $2 THEN $3 ELSE title END,
                   description = CASE WHEN $4 THEN $5 ELSE description END,
                   avatar_url = CASE WHEN $6 THEN $7 ELSE avatar_url END,
                   posting_policy = COALESCE($9, posting_policy),
                   slow_mode_seconds = COALESCE($10, slow_mode_seconds),
                   join_approval = COALESCE($11, join_approval),
                   updated_at = $8
               WHERE id = $1";
    let Details { title, description, avatar_url, .. } = details;
    let slow_mode = details.slow_mode_seconds.and_then(|seconds| i32::try_from(seconds).ok());
    let params: [&(dyn ToSql + Sync); 11] = [
        &conversation,
        &title.is_some(),
        &title.as_ref().and_then(Option::as_deref),
        &description.is_some(),
        &description.as_ref().and_then(Option::as_deref),
        &avatar_url.is_some(),
        &avatar_url.as_ref().and_then(Option::as_deref),
        &now,
        &details.posting_policy.map(PostingPolicy::as_str),
        &slow_mode,
        &details.join_approval,
    ];
    execute(tx, sql, &params).await?;
    Ok(())
}

impl Store {
    /// Changes title, description, avatar and who may write and join, on behalf of an admin.
    pub async fn set_details(
        &self,
        conversation: ConversationId,
        actor: UserId,
        details: &Details,
        now: Timestamp,
        event: impl FnOnce(&Conversation) -> OutboxEvent,
    ) -> Result<(), ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let (kind, _, role) = participants::lock_as(&tx, conversation, actor).await?;
            write(&tx, conversation, (kind, role), details, now).await?;
            participants::announce_and_commit(tx, conversation, now, event).await
        })
        .await
    }
}
