//! Conversations, as operators see, make and change them.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::conversation::{ContextType, Conversation, ConversationType, Role};
use crate::domain::ids::{ConversationId, Seq, UserId};
use crate::domain::membership::Refused;
use crate::domain::posting::Posting;

use crate::store::audit::{self, Audit};
use crate::store::conversations::{self, ChangeError, NewConversation, Opened, posting};
use crate::store::details::{self, Details};
use crate::store::outbox::{self, OutboxEvent};
use crate::store::{Store, StoreError, named, participants, row, rows, signed, unsigned};

/// A conversation in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationRow {
    pub id: ConversationId,
    pub kind: ConversationType,
    pub title: Option<String>,
    pub creator_id: UserId,
    pub context: Option<(String, Option<Uuid>)>,
    pub participants: u64,
    pub messages: u64,
    pub last_message_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
    /// Under legal hold since then: nothing of it may be deleted.
    pub held_at: Option<Timestamp>,
}

/// One conversation, with figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationDetails {
    pub conversation: ConversationRow,
    pub description: Option<String>,
    pub avatar_url: Option<String>,
    pub updated_at: Timestamp,
    pub last_message_seq: Seq,
    pub posting: Posting,
    /// Whoever joins has to be let in.
    pub join_approval: bool,
    pub admins: u64,
    /// Announcements that the log does not have yet.
    pub announcements: u64,
}

/// Which conversations to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub kind: Option<ConversationType>,
    /// In which this user is.
    pub user: Option<UserId>,
    pub context: Option<(ContextType, Option<Uuid>)>,
    /// Part of the title, in any case.
    pub title: Option<String>,
    /// Only behind this one.
    pub after: Option<ConversationId>,
}

/// What [`conversation`] reads; the table is `c`.
macro_rules! columns {
    () => {
        "c.id, c.type, c.title, c.creator_id, c.context_type, c.context_id, c.participant_count, \
         c.message_count, c.last_message_at, c.created_at, c.deleted_at, c.held_at"
    };
}

fn conversation(row: &tokio_postgres::Row) -> Result<ConversationRow, StoreError> {
    let participants: i32 = row.try_get("participant_count")?;
    let context: Option<String> = row.try_get("context_type")?;
    let about: Option<Uuid> = row.try_get("context_id")?;
    Ok(ConversationRow {
        id: row.try_get("id")?,
        kind: named(row, "type", ConversationType::parse)?,
        title: row.try_get("title")?,
        creator_id: row.try_get("creator_id")?,
        context: context.map(|kind| (kind, about)),
        participants: participants.unsigned_abs().into(),
        messages: unsigned(row, "message_count")?,
        last_message_at: row.try_get("last_message_at")?,
        created_at: row.try_get("created_at")?,
        deleted_at: row.try_get("deleted_at")?,
        held_at: row.try_get("held_at")?,
    })
}

/// Announces the conversation as it is after a change.
pub(super) async fn announce(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    now: Timestamp,
    event: impl FnOnce(&Conversation) -> OutboxEvent,
) -> Result<(), StoreError> {
    let after = conversations::load(tx, &[conversation]).await?.remove(&conversation);
    let after = after.ok_or_else(|| StoreError::bug("a locked conversation is gone"))?;
    outbox::announce(tx, conversation, &event(&after), now).await
}

impl Store {
    /// Conversations in the order of their ids, at most `limit`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn admin_conversations(
        &self,
        filter: &Filter,
        limit: u32,
    ) -> Result<Vec<ConversationRow>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM conversations c
              WHERE ($1::uuid IS NULL OR c.id > $1)
                AND ($2::text IS NULL OR c.type = $2)
                AND ($3::uuid IS NULL OR c.id IN (
                    SELECT conversation_id FROM conversation_participants WHERE user_id = $3))
                AND ($4::text IS NULL OR c.context_type = $4)
                AND ($5::uuid IS NULL OR c.context_id = $5)
                AND ($6::text IS NULL OR strpos(lower(c.title), lower($6)) > 0)
              ORDER BY c.id LIMIT $7"
        );
        self.within(async {
            let Filter { kind, user, context, title, after } = filter;
            let kind = kind.map(ConversationType::as_str);
            let context_type = context.map(|(kind, _)| kind.as_str());
            let context_id = context.and_then(|(_, id)| id);
            let client = self.client().await?;
            let limit = signed(limit.into());
            rows(&client, sql, &[after, &kind, user, &context_type, &context_id, title, &limit])
                .await?
                .iter()
                .map(conversation)
                .collect()
        })
        .await
    }

    /// One conversation, deleted ones included; `None` if there never was one.
    ///
    /// # Errors
    /// As every statement.
    pub async fn admin_conversation(
        &self,
        id: ConversationId,
    ) -> Result<Option<ConversationDetails>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            ", c.description, c.avatar_url, c.updated_at, c.last_message_seq, c.posting_policy, c.slow_mode_seconds,
               c.join_approval,
               (SELECT count(*) FROM conversation_participants p
                WHERE p.conversation_id = c.id AND p.role = 'admin') AS admins,
               (SELECT count(*) FROM outbox o WHERE o.conversation_id = c.id) AS announcements
             FROM conversations c WHERE c.id = $1"
        );
        self.within(async {
            let found = row(&self.client().await?, sql, &[&id]).await?;
            let details = |row: tokio_postgres::Row| {
                Ok(ConversationDetails {
                    conversation: conversation(&row)?,
                    description: row.try_get("description")?,
                    avatar_url: row.try_get("avatar_url")?,
                    updated_at: row.try_get("updated_at")?,
                    last_message_seq: unsigned(&row, "last_message_seq")?,
                    posting: posting(&row)?,
                    join_approval: row.try_get("join_approval")?,
                    admins: unsigned(&row, "admins")?,
                    announcements: unsigned(&row, "announcements")?,
                })
            };
            found.map(details).transpose()
        })
        .await
    }

    /// As [`Store::open`], for an operator, who is no participant.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn admin_open(
        &self,
        new: &NewConversation,
        now: Timestamp,
        (audit, dry_run): (&Audit, bool),
        event: impl FnOnce(&Conversation) -> OutboxEvent,
    ) -> Result<Opened, ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let key = new.direct_key.as_deref();
            if key.is_some()
                && let Some(id) = conversations::by_direct_key(&client, key).await?
            {
                return Ok(Opened { id, created: false });
            }
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let opened = conversations::make(&tx, new, now).await?;
            if opened.created {
                announce(&tx, opened.id, now, event).await?;
                audit::finish(tx, audit, dry_run).await?;
            }
            Ok(opened)
        })
        .await
    }

    /// Changes title, description, picture and who may write and join.
    ///
    /// # Errors
    /// [`ChangeError::Refused`] as for an admin of the conversation.
    pub async fn admin_set_details(
        &self,
        conversation: ConversationId,
        details: &Details,
        now: Timestamp,
        (audit, dry_run): (&Audit, bool),
        event: impl FnOnce(&Conversation) -> OutboxEvent,
    ) -> Result<(), ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let locked = participants::lock(&tx, conversation).await?;
            let locked = locked.ok_or(Refused::NotAParticipant)?;
            details::write(&tx, conversation, (locked.kind, Role::Admin), details, now).await?;
            announce(&tx, conversation, now, event).await?;
            Ok(audit::finish(tx, audit, dry_run).await?)
        })
        .await
    }
}
