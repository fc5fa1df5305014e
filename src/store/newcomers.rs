//! Since when somebody is here, and whether they were answered.

use jiff::Timestamp;

use crate::domain::conversation::ConversationType;
use crate::domain::ids::{ConversationId, UserId};

use super::{Store, StoreError, named, row};

/// How many of the newest messages are looked through for an answer: some 2 ms. Behind so many of the newcomer's own an
/// answer is an old story.
const LOOKED_THROUGH: i64 = 1_000;

/// What decides about links and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newcomer {
    /// When the id was used for the first time.
    pub first_seen: Timestamp,
    pub conversation: ConversationType,
    /// Somebody else has written there.
    pub is_answered: bool,
}

impl Store {
    /// When the first of all users was seen; `None` while there is none. It reads the whole table, once at a node's start: some
    /// 100 ms for a million people.
    pub async fn first_of_all(&self) -> Result<Option<Timestamp>, StoreError> {
        self.within(async {
            let sql = "SELECT min(created_at) AS first_seen FROM users";
            let found = row(&self.client().await?, sql, &[]).await?;
            Ok(found.map(|row| row.try_get("first_seen")).transpose()?.flatten())
        })
        .await
    }

    /// What is known of a participant as a newcomer; `None` if the conversation is not theirs.
    pub async fn newcomer(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<Option<Newcomer>, StoreError> {
        let sql = "SELECT COALESCE(u.created_at, p.joined_at) AS first_seen, c.type,
                          EXISTS (SELECT FROM (
                              SELECT m.sender_id, m.type FROM messages m
                              WHERE m.conversation_id = c.id ORDER BY m.seq DESC LIMIT $3) AS recent
                          WHERE recent.sender_id <> $1 AND recent.type <> 'system') AS is_answered
                   FROM conversation_participants p
                   JOIN conversations c ON c.id = p.conversation_id
                   LEFT JOIN users u ON u.id = p.user_id
                   WHERE p.conversation_id = $2 AND p.user_id = $1";
        self.within(async {
            let client = self.client().await?;
            let found = row(&client, sql, &[&user, &conversation, &LOOKED_THROUGH]).await?;
            found
                .map(|row| {
                    Ok(Newcomer {
                        first_seen: row.try_get("first_seen")?,
                        conversation: named(&row, "type", ConversationType::parse)?,
                        is_answered: row.try_get("is_answered")?,
                    })
                })
                .transpose()
        })
        .await
    }
}
