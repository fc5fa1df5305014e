//! A batch of the log, applied in one transaction with the position it reaches.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, MessageId, Seq, UserId};
use crate::domain::message::Message;

use super::leadership::Leader;
use super::{StoreError, execute, rows, signed};

mod changes;
mod conversations;
mod counters;
mod insert;
mod media;
mod reactions;
mod retention;

pub use media::MediaUse;
pub(super) use media::release as release_files;

/// A message's content was replaced.
#[derive(Debug, Clone)]
pub struct Edit {
    pub seq: Seq,
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub message_seq: Seq,
    pub content: String,
    pub edited_at: Timestamp,
}

/// A message became a tombstone.
#[derive(Debug, Clone)]
pub struct Deletion {
    pub seq: Seq,
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub message_seq: Seq,
    pub deleted_at: Timestamp,
}

/// Somebody reacted to a message, or took it back.
#[derive(Debug, Clone)]
pub struct Reaction {
    pub seq: Seq,
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub user_id: UserId,
    pub emoji: String,
    pub added: bool,
}

/// Something about a conversation or its participants changed.
#[derive(Debug, Clone)]
pub struct ConversationChange {
    pub seq: Seq,
    pub conversation_id: ConversationId,
    /// The event as clients get it.
    pub payload: String,
    /// Those whom the change names.
    pub users: Vec<UserId>,
    /// Did they come? `None` when they neither came nor went.
    pub gained: Option<bool>,
}

/// What a stretch of the log says, in the order of the log within each kind.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub messages: Vec<Message>,
    pub edits: Vec<Edit>,
    pub deletions: Vec<Deletion>,
    pub reactions: Vec<Reaction>,
    pub conversations: Vec<ConversationChange>,
    /// Files that the messages name.
    pub media: Vec<MediaUse>,
    /// Everything up to here is dealt with once the batch is applied.
    pub through: Seq,
}

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// Messages of conversations that do not exist; without them the rest can be applied.
    #[error("{} conversations do not exist", .0.len())]
    UnknownConversations(HashSet<ConversationId>),
    /// Somebody else has moved the position: this session is not the leader it believes to be.
    #[error("the position in the log was moved by another writer")]
    Overtaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<tokio_postgres::Error> for ProjectionError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Leader {
    /// Applies a batch and moves the position `name` from `from` to `batch.through`, all or nothing.
    ///
    /// Messages whose id is there already (a send repeated after the log's duplicate window) are left out.
    ///
    /// # Errors
    /// See [`ProjectionError`]; nothing was applied then.
    pub async fn apply(
        &mut self,
        name: &str,
        from: Seq,
        batch: &Batch,
    ) -> Result<(), ProjectionError> {
        let known = match self.try_apply(name, from, batch, &HashSet::new()).await? {
            Applied::Committed => return Ok(()),
            Applied::Repeated(known) => known,
        };
        tracing::debug!(messages = known.len(), "messages repeated after the duplicate window");
        match self.try_apply(name, from, batch, &known).await? {
            Applied::Committed => Ok(()),
            Applied::Repeated(_) => {
                Err(StoreError::bug("message ids collide although known ones were left out").into())
            }
        }
    }

    async fn try_apply(
        &mut self,
        name: &str,
        from: Seq,
        batch: &Batch,
        known: &HashSet<MessageId>,
    ) -> Result<Applied, ProjectionError> {
        let tx = self.client.transaction().await?;
        move_position(&tx, name, from, batch.through).await?;
        let messages = fresh(&batch.messages, known);
        if !messages.is_empty() {
            let counted = counters::advance(&tx, &messages).await?;
            let inserted = insert::messages(&tx, &messages, &counted).await?;
            if inserted < messages.len() as u64 {
                let ids: Vec<Uuid> = batch.messages.iter().map(|m| m.id).collect();
                tx.rollback().await?;
                return Ok(Applied::Repeated(self.known(&ids).await?));
            }
            counters::mark_senders(&tx, &messages, &counted).await?;
        }
        counters::mark_joined(&tx, &batch.conversations, &messages).await?;
        conversations::note(&tx, &batch.conversations).await?;
        changes::edits(&tx, &batch.edits).await?;
        // Before the deletions of the batch, which take along what stands in front of them and make void what follows.
        reactions::apply(&tx, &batch.reactions).await?;
        media::confirm(&tx, &batch.media, &messages).await?;
        changes::deletions(&tx, &batch.deletions).await?;
        tx.commit().await?;
        Ok(Applied::Committed)
    }

    async fn known(&self, ids: &[MessageId]) -> Result<HashSet<MessageId>, StoreError> {
        let found =
            rows(&self.client, "SELECT id FROM messages WHERE id = ANY($1)", &[&ids]).await?;
        found.iter().map(|row| Ok(row.try_get("id")?)).collect()
    }
}

/// Applies what a stretch of the log says to rows that may have been there before, `again` being the messages that are
/// not. Their counters are 0 until the conversation is numbered again; the position in the log is left alone.
pub(super) async fn replay(
    tx: &Transaction<'_>,
    batch: &Batch,
    again: &[&Message],
) -> Result<(), StoreError> {
    insert::messages(tx, again, &Counted { counters: vec![0; again.len()] }).await?;
    conversations::note(tx, &batch.conversations).await?;
    changes::edits(tx, &batch.edits).await?;
    reactions::apply(tx, &batch.reactions).await?;
    let all: Vec<&Message> = batch.messages.iter().collect();
    media::confirm(tx, &batch.media, &all).await?;
    changes::deletions(tx, &batch.deletions).await
}

enum Applied {
    Committed,
    /// These ids were there already; nothing was applied.
    Repeated(HashSet<MessageId>),
}

async fn move_position(
    tx: &Transaction<'_>,
    name: &str,
    from: Seq,
    through: Seq,
) -> Result<(), ProjectionError> {
    let sql = "UPDATE progress SET last_seq = $3 WHERE name = $1 AND last_seq = $2";
    let moved = execute(tx, sql, &[&name, &signed(from), &signed(through)]).await?;
    if moved == 1 { Ok(()) } else { Err(ProjectionError::Overtaken) }
}

/// The messages that are not known, the first of each id.
fn fresh<'a>(messages: &'a [Message], known: &HashSet<MessageId>) -> Vec<&'a Message> {
    let mut seen = HashSet::with_capacity(messages.len());
    messages.iter().filter(|m| !known.contains(&m.id) && seen.insert(m.id)).collect()
}

/// The counter of each message, in the order of the batch.
struct Counted {
    counters: Vec<i64>,
}

/// How many messages of each conversation come behind a sequence in the batch.
fn behind(messages: &[&Message], conversation: ConversationId, seq: Seq) -> i64 {
    let later = messages.iter().filter(|m| m.conversation_id == conversation && m.seq > seq);
    i64::try_from(later.count()).unwrap_or(i64::MAX)
}

/// Groups indices by conversation, keeping the order of the log in each.
fn by_conversation(messages: &[&Message]) -> HashMap<ConversationId, Vec<usize>> {
    let mut groups: HashMap<_, Vec<usize>> = HashMap::new();
    for (at, message) in messages.iter().enumerate() {
        groups.entry(message.conversation_id).or_default().push(at);
    }
    groups
}
