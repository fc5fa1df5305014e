//! Who may write where, for the edges: the few conversations in which not everybody may at any time.

use jiff::Timestamp;

use crate::domain::conversation::Role;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::posting::Posting;

use super::conversations::posting;
use super::{Store, StoreError, named, row, rows, signed};

/// How far back a writer's last message is looked for: some 2 ms. Somebody behind whom so many others have written is let
/// write once more.
const LOOKED_THROUGH: i64 = 2_000;

/// What a node has to know of somebody who wants to write where that is restricted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer {
    pub posting: Posting,
    pub role: Role,
    /// When they last wrote, if that is not long ago; in slow mode only.
    pub last_at: Option<Timestamp>,
}

impl Store {
    /// The conversations in which writing is restricted, at most `limit`.
    pub async fn restricted(
        &self,
        limit: u32,
    ) -> Result<Vec<(ConversationId, Posting)>, StoreError> {
        self.within(async {
            let sql = "SELECT id, posting_policy, slow_mode_seconds FROM conversations
                       WHERE posting_policy <> 'everyone' OR slow_mode_seconds > 0
                       ORDER BY id LIMIT $1";
            let found = rows(&self.client().await?, sql, &[&signed(limit.into())]).await?;
            found.iter().map(|row| Ok((row.try_get("id")?, posting(row)?))).collect()
        })
        .await
    }

    /// What `user` is as a writer in a conversation; `None` if it is not theirs.
    pub async fn writer(
        &self,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<Writer>, StoreError> {
        self.within(async {
            let sql = "SELECT p.role, c.posting_policy, c.slow_mode_seconds,
                              CASE WHEN c.slow_mode_seconds > 0 AND p.role = 'member' THEN
                                  (SELECT max(recent.created_at) FROM (
                                       SELECT m.sender_id, m.created_at FROM messages m
                                       WHERE m.conversation_id = c.id ORDER BY m.seq DESC LIMIT $3) AS recent
                                   WHERE recent.sender_id = p.user_id)
                              END AS last_at
                       FROM conversation_participants p JOIN conversations c ON c.id = p.conversation_id
                       WHERE p.conversation_id = $1 AND p.user_id = $2";
            let client = self.client().await?;
            let found = row(&client, sql, &[&conversation, &user, &LOOKED_THROUGH]).await?;
            found
                .map(|row| {
                    Ok(Writer {
                        posting: posting(&row)?,
                        role: named(&row, "role", Role::parse)?,
                        last_at: row.try_get("last_at")?,
                    })
                })
                .transpose()
        })
        .await
    }
}
