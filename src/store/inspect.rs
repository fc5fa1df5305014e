//! Comparing the projection with the log that it was made of, and with itself; and rebuilding what is wrong.
//!
//! What is compared was read from the log first and from Postgres afterwards, and Postgres only moves forward: a row
//! that is ahead of the log as it was read is no difference, one that is behind is. So everything here can be asked
//! while the service runs.

use deadpool_postgres::Object;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, Seq};

use super::connect;
use super::{POOL_WAIT, Settings, Store, StoreError};

mod counters;
mod media;
mod rebuild;
mod removed;
mod reverse;
mod rows;

pub use rebuild::Rebuilt;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The log has a message that Postgres has not.
    MessageMissing,
    /// A message is not what the log says.
    MessageDiffers,
    /// Postgres has a message that the log has not, although it reaches back to it.
    MessageUnknown,
    /// Postgres has a tombstone of a message that nothing has deleted.
    TombstoneUnfounded,
    /// An edit was not applied.
    EditMissing,
    /// A deletion was not applied.
    DeletionMissing,
    /// A reaction was not applied, or is not what the log says.
    ReactionDiffers,
    /// Postgres has a reaction that the log has not.
    ReactionUnknown,
    /// What replays need of an edit, a deletion or a change of a conversation is not there.
    ChangeMissing,
    /// Postgres has a change that the log has not.
    ChangeUnknown,
    /// The counters of a conversation's messages are not dense.
    CountersWrong,
    /// The number, or the last, of a conversation's messages is not what its rows say.
    LastMessageWrong,
    /// The number of participants is not that of their rows.
    ParticipantsWrong,
    /// A marker is where it cannot be.
    MarkerWrong,
    /// A message names a file, and the file does not know.
    MediaUseMissing,
    /// A file is kept for a message that does not exist, or was deleted.
    MediaUseUnfounded,
    /// Nothing names a file, and nobody would ever look at it again.
    MediaUnnamed,
    /// The bytes of a file are not in the store.
    ObjectMissing,
    /// The store has bytes that no row knows of, and that no upload can be about to.
    ObjectUnknown,
}

impl Kind {
    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MessageMissing => "messageMissing",
            Self::MessageDiffers => "messageDiffers",
            Self::MessageUnknown => "messageUnknown",
            Self::TombstoneUnfounded => "tombstoneUnfounded",
            Self::EditMissing => "editMissing",
            Self::DeletionMissing => "deletionMissing",
            Self::ReactionDiffers => "reactionDiffers",
            Self::ReactionUnknown => "reactionUnknown",
            Self::ChangeMissing => "changeMissing",
            Self::ChangeUnknown => "changeUnknown",
            Self::CountersWrong => "countersWrong",
            Self::LastMessageWrong => "lastMessageWrong",
            Self::ParticipantsWrong => "participantsWrong",
            Self::MarkerWrong => "markerWrong",
            Self::MediaUseMissing => "mediaUseMissing",
            Self::MediaUseUnfounded => "mediaUseUnfounded",
            Self::MediaUnnamed => "mediaUnnamed",
            Self::ObjectMissing => "objectMissing",
            Self::ObjectUnknown => "objectUnknown",
        }
    }

    /// Does rebuilding put it right?
    pub fn is_repairable(self) -> bool {
        // What the log does not have can only be dropped, and bytes that are gone are gone.
        !matches!(self, Self::MessageUnknown | Self::ObjectMissing)
    }
}

/// One difference. No content: who reads a report need not be who may read messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    pub conversation_id: Option<ConversationId>,
    /// The place in the log of what tells of it, or of the row that is wrong.
    pub seq: Option<Seq>,
    /// The message, the file or the person that it is about.
    pub id: Option<Uuid>,
    /// What exactly, in words.
    pub detail: String,
}

/// A session for long statements, whose owner compares.
pub struct Inspector {
    client: Object,
}

impl Store {
    /// Is there such a conversation?
    ///
    /// # Errors
    /// As every statement.
    pub async fn has_conversation(&self, id: ConversationId) -> Result<bool, StoreError> {
        self.within(async {
            let sql = "SELECT 1 FROM conversations WHERE id = $1";
            Ok(super::row(&self.client().await?, sql, &[&id]).await?.is_some())
        })
        .await
    }

    /// A session outside the pool, without a limit on the length of statements: some look at all rows of a conversation.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    pub async fn inspector(&self) -> Result<Inspector, StoreError> {
        let settings = Settings {
            pool_size: 1,
            statement_timeout: std::time::Duration::ZERO,
            ..(*self.settings).clone()
        };
        let client = connect::pool(&settings, POOL_WAIT)?.get().await?;
        Ok(Inspector { client })
    }
}

/// What vanishes by itself leaves the log at its time and becomes a tombstone within seconds.
fn vanished_by(now: Timestamp) -> Timestamp {
    now + jiff::SignedDuration::from_secs(60)
}
