//! Reactions of one user. Written by the persister alone; pages of messages bring theirs along ([`super::messages`]).

use crate::domain::ids::{MessageId, Seq, UserId};

use super::{Store, StoreError, row, rows, unsigned};

/// The last word on a reaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The event that it came with.
    pub seq: Seq,
    /// `false` once it was taken back.
    pub added: bool,
}

impl Store {
    /// What a user has reacted with to some messages.
    ///
    /// # Errors
    /// As every statement.
    pub async fn reactions_of(
        &self,
        user: UserId,
        messages: &[MessageId],
    ) -> Result<Vec<(MessageId, String)>, StoreError> {
        self.within(async {
            let sql = "SELECT message_id, emoji FROM reactions
                       WHERE message_id = ANY($1) AND user_id = $2 AND added";
            let found = rows(&self.client().await?, sql, &[&messages, &user]).await?;
            found
                .iter()
                .map(|row| Ok((row.try_get("message_id")?, row.try_get("emoji")?)))
                .collect()
        })
        .await
    }

    /// What a user's reaction to a message is; `None` if it never was.
    ///
    /// # Errors
    /// As every statement.
    pub async fn reaction(
        &self,
        message: MessageId,
        user: UserId,
        emoji: &str,
    ) -> Result<Option<Standing>, StoreError> {
        self.within(async {
            let sql = "SELECT seq, added FROM reactions
                       WHERE message_id = $1 AND user_id = $2 AND emoji = $3";
            let found = row(&self.client().await?, sql, &[&message, &user, &emoji]).await?;
            found
                .map(|row| {
                    Ok(Standing { seq: unsigned(&row, "seq")?, added: row.try_get("added")? })
                })
                .transpose()
        })
        .await
    }
}
