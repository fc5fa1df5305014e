//! Conversations: creating, opening, changing and looking at them.

use std::collections::HashMap;
use std::future::Future;

use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::domain::conversation::{
    Context, ContextType, Conversation, ConversationType, INLINE_PARTICIPANTS, Role, View,
};
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::membership::Refused;
use crate::domain::message::Message;
use crate::domain::posting::{Posting, PostingPolicy};
use crate::domain::receipt::Status;

use super::outbox::OutboxEvent;
use super::{
    Store, StoreError, blocks, execute, messages, named, participants, receipts, row, rows,
    unsigned, users,
};

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rules forbid it; nothing was changed.
    #[error("refused: {0:?}")]
    Refused(Refused),
}

impl From<Refused> for ChangeError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// What a new conversation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub kind: ContextType,
    pub id: Option<Uuid>,
    /// What its opener calls it, until the owning service says better.
    pub title: Option<String>,
}

/// A conversation to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConversation {
    pub id: ConversationId,
    pub kind: ConversationType,
    pub title: Option<String>,
    pub description: Option<String>,
    pub creator: UserId,
    /// Without the creator, without doubles.
    pub others: Vec<UserId>,
    pub about: Option<About>,
    /// Set for a direct one, and only then.
    pub direct_key: Option<String>,
}

/// A conversation that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    pub id: ConversationId,
    /// `false` if these two people had it already.
    pub created: bool,
}

/// What [`shared`] reads; the tables are `c` and `x`.
macro_rules! conversation_columns {
    () => {
        "c.id, c.type, c.title, c.description, c.avatar_url, c.creator_id, c.context_type, c.context_id, \
         c.participant_count, c.posting_policy, c.slow_mode_seconds, c.join_approval, c.created_at, c.updated_at, x.owner_id AS x_owner_id, \
         COALESCE(x.title, c.context_title) AS x_title, x.image_url AS x_image_url, x.url AS x_url"
    };
}

fn shared(row: &Row) -> Result<Conversation, StoreError> {
    let context_type: Option<&str> = row.try_get("context_type")?;
    let context_type = context_type.and_then(ContextType::parse);
    let context_id: Option<Uuid> = row.try_get("context_id")?;
    let context = match (context_type, context_id) {
        (Some(kind), Some(id)) => Some(Context {
            kind,
            id,
            title: row.try_get("x_title")?,
            image_url: row.try_get("x_image_url")?,
            url: row.try_get("x_url")?,
            owner_id: row.try_get("x_owner_id")?,
        }),
        _ => None,
    };
    let participant_count: i32 = row.try_get("participant_count")?;
    Ok(Conversation {
        id: row.try_get("id")?,
        kind: named(row, "type", ConversationType::parse)?,
        title: row.try_get("title")?,
        description: row.try_get("description")?,
        avatar_url: row.try_get("avatar_url")?,
        creator_id: row.try_get("creator_id")?,
        context_type,
        context_id,
        context,
        participants: Vec::new(),
        participant_count: participant_count.unsigned_abs(),
        posting: posting(row)?,
        join_approval: row.try_get("join_approval")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

pub(super) fn posting(row: &Row) -> Result<Posting, StoreError> {
    let slow_mode: i32 = row.try_get("slow_mode_seconds")?;
    let policy = named(row, "posting_policy", PostingPolicy::parse)?;
    Ok(Posting { policy, slow_mode_seconds: slow_mode.unsigned_abs() })
}

/// Conversations with their first participants.
pub(super) async fn load(
    client: &impl GenericClient,
    ids: &[ConversationId],
) -> Result<HashMap<ConversationId, Conversation>, StoreError> {
    let sql = concat!(
        "SELECT ",
        conversation_columns!(),
        " FROM conversations c
          LEFT JOIN contexts x ON x.type = c.context_type AND x.id = c.context_id
          WHERE c.id = ANY($1)"
    );
    let params: [&(dyn ToSql + Sync); 1] = [&ids];
    let (found, people) = tokio::try_join!(
        rows(client, sql, &params),
        participants::first(client, ids, INLINE_PARTICIPANTS),
    )?;
    let mut loaded: HashMap<ConversationId, Conversation> =
        found.iter().map(|row| shared(row).map(|c| (c.id, c))).collect::<Result<_, _>>()?;
    for (id, participant) in people {
        if let Some(conversation) = loaded.get_mut(&id) {
            conversation.participants.push(participant);
        }
    }
    Ok(loaded)
}

/// How one user sees conversations of theirs, in the order of `ids`; those that are not theirs are left out.
pub(super) async fn views(
    client: &impl GenericClient,
    user: UserId,
    ids: &[ConversationId],
    now: Timestamp,
) -> Result<Vec<View>, StoreError> {
    let sql = "SELECT c.id, c.last_message_seq, c.last_message_at,
                      GREATEST(c.message_count - GREATEST(p.last_read_counter, c.removed_through), 0) AS unread_count,
                      p.role, p.is_pinned, p.is_muted, p.muted_until, p.is_archived,
                      CASE WHEN c.join_approval AND p.role = 'admin' THEN
                          (SELECT count(*) FROM conversation_join_requests r WHERE r.conversation_id = c.id)
                      END AS join_requests
               FROM conversation_participants p JOIN conversations c ON c.id = p.conversation_id
               WHERE p.user_id = $1 AND p.conversation_id = ANY($2)";
    let params: [&(dyn ToSql + Sync); 2] = [&user, &ids];
    let (own, mut shared) = tokio::try_join!(rows(client, sql, &params), load(client, ids))?;
    let mut newest = newest_messages(client, &own, now).await?;
    let sent: Vec<ConversationId> =
        newest.values().filter(|m| m.sender_id == user).map(|m| m.conversation_id).collect();
    let others = match sent.is_empty() {
        true => HashMap::new(),
        false => receipts::others_markers(client, &sent, user).await?,
    };
    let mut found = HashMap::with_capacity(own.len());
    for row in &own {
        let id: ConversationId = row.try_get("id")?;
        if let Some(conversation) = shared.remove(&id) {
            let mut view = view(user, row, conversation, newest.remove(&id), now)?;
            let last = view.last_message.as_ref().filter(|last| last.sender_id == user);
            view.last_message_status = last.map(|last| Status::of(last.seq, others.get(&id)));
            found.insert(id, view);
        }
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

async fn newest_messages(
    client: &impl GenericClient,
    own: &[Row],
    now: Timestamp,
) -> Result<HashMap<ConversationId, Message>, StoreError> {
    let ids: Vec<Uuid> = own.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
    let seqs: Vec<i64> =
        own.iter().map(|row| row.try_get("last_message_seq")).collect::<Result<_, _>>()?;
    let found = messages::newest(client, &ids, &seqs, now).await?;
    Ok(found.into_iter().map(|m| (m.conversation_id, m)).collect())
}

fn view(
    viewer: UserId,
    row: &Row,
    conversation: Conversation,
    last_message: Option<Message>,
    now: Timestamp,
) -> Result<View, StoreError> {
    let muted_until: Option<Timestamp> = row.try_get("muted_until")?;
    let join_requests: Option<i64> = row.try_get("join_requests")?;
    let is_muted = row.try_get("is_muted")? && muted_until.is_none_or(|until| until > now);
    Ok(View {
        viewer,
        conversation,
        role: named(row, "role", Role::parse)?,
        unread_count: unsigned(row, "unread_count")?,
        is_pinned: row.try_get("is_pinned")?,
        is_muted,
        muted_until: muted_until.filter(|_| is_muted),
        is_archived: row.try_get("is_archived")?,
        join_requests: join_requests.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        last_message,
        last_message_status: None,
        last_message_at: row.try_get("last_message_at")?,
    })
}

/// Inserts the row; `false` if the direct conversation exists already.
pub(super) async fn insert(
    tx: &Transaction<'_>,
    new: &NewConversation,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO conversations
                   (id, type, title, description, creator_id, context_type, context_id, context_title,
                    direct_key, participant_count, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
               ON CONFLICT (direct_key) DO NOTHING";
    let about = new.about.as_ref();
    let count = i32::try_from(new.others.len() + 1).unwrap_or(i32::MAX);
    let inserted = execute(
        tx,
        sql,
        &[
            &new.id,
            &new.kind.as_str(),
            &new.title,
            &new.description,
            &new.creator,
            &about.map(|a| a.kind.as_str()),
            &about.and_then(|a| a.id),
            &about.and_then(|a| a.title.as_deref()),
            &new.direct_key,
            &count,
            &now,
        ],
    )
    .await?;
    Ok(inserted > 0)
}

pub(super) async fn by_direct_key(
    client: &impl GenericClient,
    key: Option<&str>,
) -> Result<Option<ConversationId>, StoreError> {
    let sql = "SELECT id FROM conversations WHERE direct_key = $1";
    row(client, sql, &[&key]).await?.map(|row| Ok(row.try_get("id")?)).transpose()
}

/// Makes a conversation with its people in the caller's transaction, unless it is a direct one that they have by now.
///
/// # Errors
/// [`Refused::Blocked`](crate::domain::membership::Refused::Blocked) for a direct one of two people of whom one has
/// blocked the other: the nodes would not know that nothing passes in it.
pub(super) async fn make(
    tx: &Transaction<'_>,
    new: &NewConversation,
    now: Timestamp,
) -> Result<Opened, ChangeError> {
    if let (ConversationType::Direct, [other]) = (new.kind, new.others.as_slice()) {
        blocks::may_open(tx, new.creator, *other).await?;
    }
    if !insert(tx, new, now).await? {
        // The winner has committed: the insertion waited for that.
        let id = by_direct_key(tx, new.direct_key.as_deref()).await?;
        let id = id.ok_or_else(|| StoreError::bug("a direct conversation vanished"))?;
        return Ok(Opened { id, created: false });
    }
    let mut everyone = new.others.clone();
    everyone.push(new.creator);
    users::ensure_stubs(tx, &everyone).await?;
    participants::insert(tx, new.id, &[new.creator], Role::Admin, now).await?;
    participants::insert(tx, new.id, &new.others, Role::Member, now).await?;
    Ok(Opened { id: new.id, created: true })
}

impl Store {
    /// As [`Store::within`], for changes that the rules may refuse.
    pub(super) async fn changing<T>(
        &self,
        change: impl Future<Output = Result<T, ChangeError>>,
    ) -> Result<T, ChangeError> {
        self.within(async {
            match change.await {
                Ok(done) => Ok(Ok(done)),
                Err(ChangeError::Refused(refused)) => Ok(Err(ChangeError::Refused(refused))),
                Err(ChangeError::Store(error)) => Err(error),
            }
        })
        .await?
    }

    /// Creates a conversation, or finds the direct one that these people have: concurrent callers meet in
    /// one row. Ids never seen before become users.
    pub async fn open(
        &self,
        new: &NewConversation,
        now: Timestamp,
        event: impl FnOnce(&Conversation) -> OutboxEvent,
    ) -> Result<Opened, ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let key = new.direct_key.as_deref();
            if key.is_some()
                && let Some(id) = by_direct_key(&client, key).await?
            {
                return Ok(Opened { id, created: false });
            }
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let opened = make(&tx, new, now).await?;
            if opened.created {
                participants::announce_and_commit(tx, opened.id, now, event).await?;
            }
            Ok(opened)
        })
        .await
    }

    /// A conversation as `user` sees it; `None` if it is not theirs.
    pub async fn view(
        &self,
        conversation: ConversationId,
        user: UserId,
        now: Timestamp,
    ) -> Result<Option<View>, StoreError> {
        self.within(async {
            Ok(views(&self.client().await?, user, &[conversation], now).await?.pop())
        })
        .await
    }

    /// What is known of an event, a business or a listing.
    pub async fn context(
        &self,
        kind: ContextType,
        id: Uuid,
    ) -> Result<Option<Context>, StoreError> {
        self.within(async {
            let sql =
                "SELECT title, image_url, url, owner_id FROM contexts WHERE type = $1 AND id = $2";
            let row = row(&self.client().await?, sql, &[&kind.as_str(), &id]).await?;
            row.map(|row| {
                Ok(Context {
                    kind,
                    id,
                    title: row.try_get("title")?,
                    image_url: row.try_get("image_url")?,
                    url: row.try_get("url")?,
                    owner_id: row.try_get("owner_id")?,
                })
            })
            .transpose()
        })
        .await
    }
}
