//! History. Written by the persister alone; here it is only read.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId, Seq};
use crate::domain::message::{Message, MessageType, ReplyPreview};
use crate::domain::reaction::{Reacted, SHOWN_USERS};

use super::{Store, StoreError, named, row, rows, signed, unsigned};

/// What [`message`] reads; the table is `m`. Reactions come with it: one look into their index for a message without
/// any, where a query of their own would be a round trip for every page.
macro_rules! message_columns {
    () => {
        "m.conversation_id, m.seq, m.id, m.sender_id, m.sender_name, m.type, m.content, \
         m.reply_to_message_id, m.reply_to, m.metadata::text AS metadata, m.mentions, \
         m.client_message_id, m.edited_at, m.deleted_at, m.expires_at, m.created_at, m.updated_at, \
         (SELECT json_agg(json_build_object('emoji', e.emoji, 'count', e.count, 'userIds', e.users) \
                          ORDER BY e.first) \
          FROM (SELECT r.emoji, count(*) AS count, min(r.seq) AS first, \
                       (array_agg(r.user_id ORDER BY r.seq))[1:50] AS users \
                FROM reactions r WHERE r.message_id = m.id AND r.added GROUP BY r.emoji) AS e) AS reactions"
    };
}

pub(super) use message_columns;

const _: () = assert!(SHOWN_USERS == 50, "the number in `message_columns`");

/// Some of a conversation's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub messages: Vec<Message>,
    /// Are there more in the direction of reading?
    pub has_more: bool,
}

/// The column `reply_to`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplyRow {
    id: Uuid,
    sender_id: Uuid,
    #[serde(rename = "type")]
    kind: String,
    content: String,
}

/// An element of what is selected as `reactions`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReactedRow {
    emoji: String,
    count: u64,
    user_ids: Vec<Uuid>,
}

impl From<&ReplyPreview> for ReplyRow {
    fn from(reply: &ReplyPreview) -> Self {
        Self {
            id: reply.id,
            sender_id: reply.sender_id,
            kind: reply.kind.as_str().to_owned(),
            content: reply.content.clone(),
        }
    }
}

impl TryFrom<ReplyRow> for ReplyPreview {
    type Error = StoreError;

    fn try_from(row: ReplyRow) -> Result<Self, StoreError> {
        let kind = MessageType::parse(&row.kind)
            .ok_or_else(|| StoreError::bug("unknown type of a quoted message"))?;
        Ok(Self { id: row.id, sender_id: row.sender_id, kind, content: row.content })
    }
}

/// A message as it may be shown at `now`: past its time it is a tombstone.
pub(super) fn message(row: &Row, now: Timestamp) -> Result<Message, StoreError> {
    let reply: Option<Json<ReplyRow>> = row.try_get("reply_to")?;
    let reactions: Option<Json<Vec<ReactedRow>>> = row.try_get("reactions")?;
    let reacted = |r: ReactedRow| Reacted { emoji: r.emoji, count: r.count, user_ids: r.user_ids };
    let message = Message {
        id: row.try_get("id")?,
        conversation_id: row.try_get("conversation_id")?,
        seq: unsigned(row, "seq")?,
        sender_id: row.try_get("sender_id")?,
        sender_name: row.try_get("sender_name")?,
        kind: named(row, "type", MessageType::parse)?,
        content: row.try_get("content")?,
        reply_to_message_id: row.try_get("reply_to_message_id")?,
        reply_to: reply.map(|Json(reply)| reply.try_into()).transpose()?,
        metadata: row.try_get("metadata")?,
        mentions: row.try_get("mentions")?,
        reactions: reactions.into_iter().flat_map(|Json(all)| all).map(reacted).collect(),
        client_message_id: row.try_get("client_message_id")?,
        edited_at: row.try_get("edited_at")?,
        deleted_at: row.try_get("deleted_at")?,
        expires_at: row.try_get("expires_at")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    };
    Ok(message.shown_at(now))
}

/// The newest messages of several conversations, given their sequences.
pub(super) async fn newest(
    client: &impl GenericClient,
    conversations: &[ConversationId],
    seqs: &[i64],
    now: Timestamp,
) -> Result<Vec<Message>, StoreError> {
    let sql = concat!(
        "SELECT ",
        message_columns!(),
        " FROM UNNEST($1::uuid[], $2::bigint[]) AS wanted(conversation_id, seq)
          JOIN messages m USING (conversation_id, seq)"
    );
    rows(client, sql, &[&conversations, &seqs]).await?.iter().map(|row| message(row, now)).collect()
}

impl Store {
    /// One message, whoever may see it.
    pub async fn message(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        self.within(async {
            let sql = concat!("SELECT ", message_columns!(), " FROM messages m WHERE m.id = $1");
            let found = row(&self.client().await?, sql, &[&id]).await?;
            found.as_ref().map(|row| message(row, self.now())).transpose()
        })
        .await
    }

    /// Newest first, older than `before` if given.
    pub async fn messages_before(
        &self,
        conversation: ConversationId,
        before: Option<Seq>,
        limit: u32,
    ) -> Result<History, StoreError> {
        let sql = concat!(
            "SELECT ",
            message_columns!(),
            " FROM messages m WHERE m.conversation_id = $1 AND m.seq < $2
              ORDER BY m.seq DESC LIMIT $3"
        );
        self.within(async {
            let before = before.map_or(i64::MAX, signed);
            history(&self.client().await?, self.now(), sql, conversation, before, limit).await
        })
        .await
    }

    /// Oldest first, newer than `after`.
    pub async fn messages_after(
        &self,
        conversation: ConversationId,
        after: Seq,
        limit: u32,
    ) -> Result<History, StoreError> {
        let sql = concat!(
            "SELECT ",
            message_columns!(),
            " FROM messages m WHERE m.conversation_id = $1 AND m.seq > $2
              ORDER BY m.seq LIMIT $3"
        );
        self.within(async {
            history(&self.client().await?, self.now(), sql, conversation, signed(after), limit)
                .await
        })
        .await
    }

    /// Newest first, without the newest `skipped`. It counts through what it skips, which the dense
    /// counter of a message spares: `counter` would have to be indexed, and pages are for older clients.
    pub async fn messages_behind(
        &self,
        conversation: ConversationId,
        skipped: u64,
        limit: u32,
    ) -> Result<History, StoreError> {
        let sql = concat!(
            "SELECT ",
            message_columns!(),
            " FROM messages m WHERE m.conversation_id = $1
              ORDER BY m.seq DESC OFFSET $2 LIMIT $3"
        );
        self.within(async {
            history(&self.client().await?, self.now(), sql, conversation, signed(skipped), limit)
                .await
        })
        .await
    }
}

/// One more than asked for tells whether there are more.
async fn history(
    client: &impl GenericClient,
    now: Timestamp,
    sql: &str,
    conversation: ConversationId,
    bound: i64,
    limit: u32,
) -> Result<History, StoreError> {
    let found = rows(client, sql, &[&conversation, &bound, &(i64::from(limit) + 1)]).await?;
    let has_more = found.len() > limit as usize;
    let messages = found.iter().take(limit as usize).map(|row| message(row, now));
    let messages = messages.collect::<Result<_, _>>()?;
    Ok(History { messages, has_more })
}
