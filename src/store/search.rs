//! Messages by their words.
//!
//! `message_search` says where words are; what a search shows is read from `messages` and compared again, so the index may
//! be behind. An entry of it is a word behind a few digits of its conversation ([`mark`]): "the" is then no list of a
//! million messages, of which a few are the asker's, but one short list in each of their conversations.

use jiff::Timestamp;

use crate::domain::conversation::ConversationType;
use crate::domain::ids::{ConversationId, Seq, UserId};

use super::{Store, StoreError, execute, named, row, rows, signed, unsigned};

pub mod candidates;
pub mod index;
pub mod rebuild;
mod stretch;
pub mod vocabulary;

/// Conversations that are searched: those with the newest messages. Each costs a look-up for each word, some 5 µs.
pub const MAX_CONVERSATIONS: u32 = 1_000;

/// A conversation of somebody who searches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    pub id: ConversationId,
    pub kind: ConversationType,
    pub title: Option<String>,
    /// Messages in it, deleted ones too.
    pub messages: u64,
    /// The place of its newest message in the log.
    pub last: Seq,
}

/// How far the index is, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexState {
    /// The place in the log up to which messages are indexed.
    pub indexed_seq: Seq,
    /// The place up to which there are messages.
    pub persisted_seq: Seq,
    /// Messages in the index.
    pub messages: u64,
    /// Different words, as the database estimates them.
    pub words: u64,
    pub rebuild: Option<rebuild::Rebuild>,
}

/// The digits that an entry of the index begins with. Conversations that share them are told apart by what is read from
/// `messages`; among 16 million different ones that costs nothing.
fn mark(conversation: ConversationId) -> String {
    let digits = conversation.as_simple().to_string();
    digits[digits.len() - 6..].to_owned()
}

impl Store {
    /// The conversations that a user may search, those with the newest messages first; only the one that is given.
    ///
    /// # Errors
    /// As every statement.
    pub async fn searched(
        &self,
        user: UserId,
        only: Option<ConversationId>,
    ) -> Result<Vec<Searched>, StoreError> {
        let sql = "SELECT c.id, c.type, c.title, c.message_count, c.last_message_seq
                   FROM conversation_participants p JOIN conversations c ON c.id = p.conversation_id
                   WHERE p.user_id = $1 AND ($2::uuid IS NULL OR p.conversation_id = $2)
                   ORDER BY c.last_message_seq DESC LIMIT $3";
        self.within(async {
            let limit = i64::from(MAX_CONVERSATIONS);
            let found = rows(&self.client().await?, sql, &[&user, &only, &limit]).await?;
            let searched = |row: &tokio_postgres::Row| {
                Ok(Searched {
                    id: row.try_get("id")?,
                    kind: named(row, "type", ConversationType::parse)?,
                    title: row.try_get("title")?,
                    messages: unsigned(row, "message_count")?,
                    last: unsigned(row, "last_message_seq")?,
                })
            };
            found.iter().map(searched).collect()
        })
        .await
    }

    /// How far the index is.
    ///
    /// # Errors
    /// As every statement.
    pub async fn search_state(&self) -> Result<IndexState, StoreError> {
        let sql = "
            SELECT s.last_seq AS indexed, p.last_seq AS persisted,
                   COALESCE((SELECT messages FROM search_words WHERE word = ''), 0) AS messages,
                   GREATEST((SELECT reltuples FROM pg_class WHERE oid = 'search_words'::regclass), 0)::bigint AS words,
                   r.done_seq, r.target_seq, r.started_at
            FROM progress s JOIN progress p ON p.name = 'persist'
            LEFT JOIN search_rebuild r ON true
            WHERE s.name = 'search'";
        self.within(async {
            let found = row(&self.client().await?, sql, &[]).await?;
            let row = found.ok_or_else(|| StoreError::bug("the progress row is missing"))?;
            let started: Option<Timestamp> = row.try_get("started_at")?;
            Ok(IndexState {
                indexed_seq: unsigned(&row, "indexed")?,
                persisted_seq: unsigned(&row, "persisted")?,
                messages: unsigned(&row, "messages")?,
                words: unsigned(&row, "words")?,
                rebuild: match started {
                    None => None,
                    Some(started_at) => Some(rebuild::Rebuild {
                        done: unsigned(&row, "done_seq")?,
                        target: unsigned(&row, "target_seq")?,
                        started_at,
                    }),
                },
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_the_last_digits() {
        let id = uuid::Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);
        assert_eq!(mark(id), "abcdef");
    }
}
