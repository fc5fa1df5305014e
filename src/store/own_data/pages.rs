//! A user's own data, page by page.

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::conversation::View;
use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};
use crate::domain::media::MediaKey;
use crate::domain::message::Message;
use crate::domain::user::Profile;
use crate::store::messages::message_columns;
use crate::store::{
    Store, StoreError, conversations, messages, row, rows, signed, unsigned, users,
};

/// The conversation of archives: nobody is in it, so that nobody but their owner gets them, and no message can name
/// them.
pub const OF_NOBODY: ConversationId = Uuid::nil();

/// Messages that are looked through for those of one sender at a time: some 5 ms.
const WINDOW: u32 = 5_000;

/// A profile, and since when it is there.
#[derive(Debug, Clone)]
pub struct OwnProfile {
    pub profile: Profile,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A conversation that a user is in, or was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub conversation: ConversationId,
    /// Still in it?
    pub is_in: bool,
}

/// How far a user is in a conversation.
#[derive(Debug, Clone)]
pub struct Marker {
    pub conversation: ConversationId,
    pub joined_at: Timestamp,
    pub last_read_seq: Seq,
    pub last_read_message: Option<MessageId>,
    pub last_read_at: Option<Timestamp>,
    pub delivered_seq: Seq,
    pub delivered_at: Option<Timestamp>,
}

/// Messages of one sender in a stretch of a conversation.
#[derive(Debug)]
pub struct Stretch {
    pub messages: Vec<Message>,
    /// Everything up to here was looked through; `None` at the end of the conversation.
    pub next: Option<Seq>,
}

/// A reaction of the user's.
#[derive(Debug, Clone)]
pub struct OwnReaction {
    pub message: MessageId,
    pub conversation: ConversationId,
    pub message_seq: Seq,
    pub emoji: String,
    /// Where the log has it.
    pub seq: Seq,
}

/// Somebody whom the user has blocked.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    pub user: UserId,
    pub since: Timestamp,
}

/// A file of the user's.
#[derive(Debug, Clone)]
pub struct OwnFile {
    pub key: MediaKey,
    pub conversation: Option<ConversationId>,
    pub mime_type: String,
    pub size: u64,
    pub name: Option<String>,
    pub created_at: Timestamp,
}

impl Store {
    /// The profile; `None` if the id was never used.
    ///
    /// # Errors
    /// As every statement.
    pub async fn own_profile(&self, user: UserId) -> Result<Option<OwnProfile>, StoreError> {
        self.within(async {
            let sql = "SELECT id, display_name, avatar_url, last_seen_at, created_at, updated_at
                       FROM users WHERE id = $1";
            let found = row(&self.client().await?, sql, &[&user]).await?;
            let read = |row: &tokio_postgres::Row| {
                Ok(OwnProfile {
                    profile: users::profile(row)?,
                    created_at: row.try_get("created_at")?,
                    updated_at: row.try_get("updated_at")?,
                })
            };
            found.as_ref().map(read).transpose()
        })
        .await
    }

    /// Conversations that the user is in or was, in the order of their ids behind `after`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn own_places(
        &self,
        user: UserId,
        after: ConversationId,
        limit: u32,
    ) -> Result<Vec<Place>, StoreError> {
        self.within(async {
            let sql = "
                SELECT conversation_id, bool_or(is_in) AS is_in FROM (
                    SELECT conversation_id, true AS is_in FROM conversation_participants WHERE user_id = $1
                    UNION ALL
                    SELECT conversation_id, false FROM departures WHERE user_id = $1
                ) AS all_of_them
                WHERE conversation_id > $2 GROUP BY conversation_id ORDER BY conversation_id LIMIT $3";
            let client = self.client().await?;
            let found = rows(&client, sql, &[&user, &after, &signed(limit.into())]).await?;
            let place = |row: &tokio_postgres::Row| {
                Ok(Place {
                    conversation: row.try_get("conversation_id")?,
                    is_in: row.try_get("is_in")?,
                })
            };
            found.iter().map(place).collect()
        })
        .await
    }

    /// Conversations as the user sees them.
    ///
    /// # Errors
    /// As every statement.
    pub async fn own_views(
        &self,
        user: UserId,
        ids: &[ConversationId],
    ) -> Result<Vec<View>, StoreError> {
        self.within(async {
            conversations::views(&self.client().await?, user, ids, self.now()).await
        })
        .await
    }

    /// The markers in these conversations.
    ///
    /// # Errors
    /// As every statement.
    pub async fn own_markers(
        &self,
        user: UserId,
        ids: &[ConversationId],
    ) -> Result<Vec<Marker>, StoreError> {
        self.within(async {
            let sql =
                "SELECT conversation_id, joined_at, last_read_seq, last_read_message_id, last_read_at,
                        delivered_seq, delivered_at
                 FROM conversation_participants
                 WHERE user_id = $1 AND conversation_id = ANY($2) ORDER BY conversation_id";
            let found = rows(&self.client().await?, sql, &[&user, &ids]).await?;
            let marker = |row: &tokio_postgres::Row| {
                Ok(Marker {
                    conversation: row.try_get("conversation_id")?,
                    joined_at: row.try_get("joined_at")?,
                    last_read_seq: unsigned(row, "last_read_seq")?,
                    last_read_message: row.try_get("last_read_message_id")?,
                    last_read_at: row.try_get("last_read_at")?,
                    delivered_seq: unsigned(row, "delivered_seq")?,
                    delivered_at: row.try_get("delivered_at")?,
                })
            };
            found.iter().map(marker).collect()
        })
        .await
    }

    /// The user's own messages in a stretch of a conversation behind `after`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn own_messages(
        &self,
        user: UserId,
        conversation: ConversationId,
        after: Seq,
    ) -> Result<Stretch, StoreError> {
        self.within(async {
            let client = self.client().await?;
            let sql = "SELECT max(seq) AS last, count(*) AS looked FROM (
                           SELECT seq FROM messages WHERE conversation_id = $1 AND seq > $2
                           ORDER BY seq LIMIT $3) AS stretch";
            let (after, window) = (signed(after), i64::from(WINDOW));
            let found = row(&client, sql, &[&conversation, &after, &window]).await?;
            let found = found.ok_or_else(|| StoreError::bug("an aggregate without a row"))?;
            let Some(last) = found.try_get::<_, Option<i64>>("last")? else {
                return Ok(Stretch { messages: Vec::new(), next: None });
            };
            let sql = concat!(
                "SELECT ",
                message_columns!(),
                " FROM messages m
                  WHERE m.conversation_id = $1 AND m.seq > $2 AND m.seq <= $3 AND m.sender_id = $4
                  ORDER BY m.seq"
            );
            let own = rows(&client, sql, &[&conversation, &after, &last, &user]).await?;
            let own = own.iter().map(|row| messages::message(row, self.now()));
            let full = found.try_get::<_, i64>("looked")? == window;
            Ok(Stretch {
                messages: own.collect::<Result<_, _>>()?,
                next: full.then_some(last.unsigned_abs()),
            })
        })
        .await
    }

    /// The user's reactions in a conversation behind a place of the log.
    ///
    /// # Errors
    /// As every statement.
    pub async fn own_reactions(
        &self,
        user: UserId,
        conversation: ConversationId,
        after: Seq,
        limit: u32,
    ) -> Result<Vec<OwnReaction>, StoreError> {
        self.within(async {
            let sql = "SELECT message_id, conversation_id, message_seq, emoji, seq FROM reactions
                       WHERE conversation_id = $1 AND seq > $2 AND user_id = $3 AND added
                       ORDER BY seq LIMIT $4";
            let (after, limit) = (signed(after), i64::from(limit));
            let client = self.client().await?;
            let found = rows(&client, sql, &[&conversation, &after, &user, &limit]).await?;
            let reaction = |row: &tokio_postgres::Row| {
                Ok(OwnReaction {
                    message: row.try_get("message_id")?,
                    conversation: row.try_get("conversation_id")?,
                    message_seq: unsigned(row, "message_seq")?,
                    emoji: row.try_get("emoji")?,
                    seq: unsigned(row, "seq")?,
                })
            };
            found.iter().map(reaction).collect()
        })
        .await
    }

    /// Whom the user has blocked, in the order of ids behind `after`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn own_blocks(
        &self,
        user: UserId,
        after: UserId,
        limit: u32,
    ) -> Result<Vec<Block>, StoreError> {
        self.within(async {
            let sql = "SELECT blocked_id, created_at FROM blocks
                       WHERE blocker_id = $1 AND blocked_id > $2 ORDER BY blocked_id LIMIT $3";
            let client = self.client().await?;
            let found = rows(&client, sql, &[&user, &after, &i64::from(limit)]).await?;
            let block = |row: &tokio_postgres::Row| {
                Ok(Block { user: row.try_get("blocked_id")?, since: row.try_get("created_at")? })
            };
            found.iter().map(block).collect()
        })
        .await
    }

    /// Files that the user has uploaded, in the order of their keys behind `after`; archives are not among them.
    ///
    /// # Errors
    /// As every statement.
    pub async fn own_files(
        &self,
        user: UserId,
        after: MediaKey,
        limit: u32,
    ) -> Result<Vec<OwnFile>, StoreError> {
        self.within(async {
            let sql =
                "SELECT key, conversation_id, mime_type, size, file_name, created_at FROM media
                       WHERE owner_id = $1 AND key > $2 AND state = 'ready'
                           AND conversation_id IS DISTINCT FROM $3
                       ORDER BY key LIMIT $4";
            let client = self.client().await?;
            let found = rows(&client, sql, &[&user, &after, &OF_NOBODY, &i64::from(limit)]).await?;
            let file = |row: &tokio_postgres::Row| {
                Ok(OwnFile {
                    key: row.try_get("key")?,
                    conversation: row.try_get("conversation_id")?,
                    mime_type: row.try_get("mime_type")?,
                    size: unsigned(row, "size")?,
                    name: row.try_get("file_name")?,
                    created_at: row.try_get("created_at")?,
                })
            };
            found.iter().map(file).collect()
        })
        .await
    }
}
