//! How one participant sees a conversation: nobody else's business.

use jiff::Timestamp;

use crate::domain::ids::{ConversationId, UserId};

use super::{Store, StoreError, execute};

/// A change of one's own view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnChange {
    Pin(bool),
    Archive(bool),
    /// Muted until that time, or until undone.
    Mute(Option<Timestamp>),
    Unmute,
}

/// Sets the columns of one's own view.
macro_rules! set_own {
    ($columns:literal) => {
        concat!(
            "UPDATE conversation_participants SET ",
            $columns,
            " WHERE conversation_id = $1 AND user_id = $2"
        )
    };
}
const PIN: &str = set_own!("is_pinned = $3, pinned_at = $4");
const MUTE: &str = set_own!("is_muted = $3, muted_until = $4");
const ARCHIVE: &str = set_own!("is_archived = $3, archived_at = $4");

impl Store {
    /// Changes how `user` sees a conversation. `false` if it is not theirs.
    pub async fn set_own(
        &self,
        conversation: ConversationId,
        user: UserId,
        change: OwnChange,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.within(async {
            let client = self.client().await?;
            let (sql, on, at) = match change {
                OwnChange::Pin(on) => (PIN, on, on.then_some(now)),
                OwnChange::Archive(on) => (ARCHIVE, on, on.then_some(now)),
                OwnChange::Mute(until) => (MUTE, true, until),
                OwnChange::Unmute => (MUTE, false, None),
            };
            Ok(execute(&client, sql, &[&conversation, &user, &on, &at]).await? > 0)
        })
        .await
    }
}
