//! Coming into a community by oneself: at once, or by asking its admins.

use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;
use tokio_postgres::Row;

use crate::domain::conversation::{Conversation, Role};
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::membership::{self, MAX_JOIN_REQUESTS, Refused};

use super::conversations::ChangeError;
use super::outbox::OutboxEvent;
use super::participants::{
    ParticipantKey, announce_and_commit, count_change, insert, lock, lock_as, page, role_of,
};
use super::{Store, StoreError, bans, execute, row, rows, signed, users};

/// What became of a wish to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The user is in, and was not before.
    New,
    Already,
    /// An admin has to let the user in; asked for at that time.
    Asked {
        at: Timestamp,
        is_new: bool,
    },
}

/// Somebody who waits to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    pub user_id: UserId,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    pub requested_at: Timestamp,
}

/// One page of them, the first who asked first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequestPage {
    pub requests: Vec<JoinRequest>,
    pub next: Option<ParticipantKey>,
}

/// Who is to be told of requests, and how many wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doorkeepers {
    pub admins: Vec<UserId>,
    pub waiting: u32,
}

/// Requests of people who are in now.
pub(super) async fn forget(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    users: &[UserId],
) -> Result<u64, StoreError> {
    let sql =
        "DELETE FROM conversation_join_requests WHERE conversation_id = $1 AND user_id = ANY($2)";
    execute(tx, sql, &[&conversation, &users]).await
}

async fn waiting(
    client: &impl GenericClient,
    conversation: ConversationId,
) -> Result<u32, StoreError> {
    let sql =
        "SELECT count(*) AS waiting FROM conversation_join_requests WHERE conversation_id = $1";
    let counted = row(client, sql, &[&conversation]).await?;
    let counted: i64 = counted.map_or(Ok(0), |row| row.try_get("waiting"))?;
    Ok(u32::try_from(counted).unwrap_or(u32::MAX))
}

/// Notes a request; the first time counts.
async fn ask(
    tx: Transaction<'_>,
    conversation: ConversationId,
    user: UserId,
    now: Timestamp,
) -> Result<Joined, ChangeError> {
    let sql = "SELECT requested_at FROM conversation_join_requests
               WHERE conversation_id = $1 AND user_id = $2";
    if let Some(known) = row(&tx, sql, &[&conversation, &user]).await? {
        let at = known.try_get("requested_at").map_err(StoreError::from)?;
        return Ok(Joined::Asked { at, is_new: false });
    }
    if waiting(&tx, conversation).await? >= MAX_JOIN_REQUESTS {
        return Err(Refused::TooManyRequests { max: MAX_JOIN_REQUESTS }.into());
    }
    users::ensure_stubs(&tx, &[user]).await?;
    let sql = "INSERT INTO conversation_join_requests (conversation_id, user_id, requested_at)
               VALUES ($1, $2, $3)";
    execute(&tx, sql, &[&conversation, &user, &now]).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(Joined::Asked { at: now, is_new: true })
}

fn request(row: &Row) -> Result<JoinRequest, StoreError> {
    Ok(JoinRequest {
        user_id: row.try_get("user_id")?,
        display_name: row.try_get("display_name")?,
        avatar_url: row.try_get("avatar_url")?,
        requested_at: row.try_get("requested_at")?,
    })
}

impl Store {
    /// Joins a community, or asks its admins.
    pub async fn join(
        &self,
        conversation: ConversationId,
        user: UserId,
        now: Timestamp,
        event: impl FnOnce(&Conversation) -> OutboxEvent,
    ) -> Result<Joined, ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let locked = lock(&tx, conversation).await?.ok_or(Refused::NotAParticipant)?;
            if role_of(&tx, conversation, user).await?.is_some() {
                return Ok(Joined::Already);
            }
            membership::may_join(locked.kind)?;
            if bans::any(&tx, conversation, &[user]).await? {
                return Err(Refused::Banned.into());
            }
            if locked.join_approval {
                return ask(tx, conversation, user, now).await;
            }
            users::ensure_stubs(&tx, &[user]).await?;
            forget(&tx, conversation, &[user]).await?;
            insert(&tx, conversation, &[user], Role::Member, now).await?;
            count_change(&tx, conversation, 1, now).await?;
            announce_and_commit(tx, conversation, now, event).await?;
            Ok(Joined::New)
        })
        .await
    }

    /// Lets somebody in who has asked, on behalf of an admin.
    pub async fn approve_join(
        &self,
        conversation: ConversationId,
        actor: UserId,
        user: UserId,
        now: Timestamp,
        event: impl FnOnce(&Conversation) -> OutboxEvent,
    ) -> Result<(), ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let (kind, _, role) = lock_as(&tx, conversation, actor).await?;
            membership::may_moderate(kind, role)?;
            if forget(&tx, conversation, &[user]).await? == 0 {
                return Err(Refused::NoSuchRequest.into());
            }
            insert(&tx, conversation, &[user], Role::Member, now).await?;
            count_change(&tx, conversation, 1, now).await?;
            announce_and_commit(tx, conversation, now, event).await
        })
        .await
    }

    /// Refuses a request on behalf of an admin, or takes back one's own.
    pub async fn drop_join_request(
        &self,
        conversation: ConversationId,
        actor: UserId,
        user: UserId,
    ) -> Result<(), ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await.map_err(StoreError::from)?;
            if actor != user {
                let (kind, _, role) = lock_as(&tx, conversation, actor).await?;
                membership::may_moderate(kind, role)?;
            }
            if forget(&tx, conversation, &[user]).await? == 0 {
                return Err(Refused::NoSuchRequest.into());
            }
            tx.commit().await.map_err(StoreError::from)?;
            Ok(())
        })
        .await
    }

    /// Who waits to be let in, for an admin.
    pub async fn join_requests(
        &self,
        conversation: ConversationId,
        actor: UserId,
        after: Option<ParticipantKey>,
        limit: u32,
    ) -> Result<JoinRequestPage, ChangeError> {
        self.changing(async {
            let client = self.client().await?;
            bans::check_moderator(&client, conversation, actor).await?;
            let sql = "SELECT r.user_id, r.requested_at, u.display_name, u.avatar_url
                       FROM conversation_join_requests r LEFT JOIN users u ON u.id = r.user_id
                       WHERE r.conversation_id = $1
                         AND ($2::timestamptz IS NULL OR (r.requested_at, r.user_id) > ($2, $3::uuid))
                       ORDER BY r.requested_at, r.user_id LIMIT $4";
            let (at, user) = (after.map(|key| key.joined_at), after.map(|key| key.user_id));
            let one_more = signed(u64::from(limit) + 1);
            let found = rows(&client, sql, &[&conversation, &at, &user, &one_more]).await?;
            let found = found.iter().map(request).collect::<Result<_, _>>()?;
            let key =
                |r: &JoinRequest| ParticipantKey { joined_at: r.requested_at, user_id: r.user_id };
            let (requests, next) = page(found, limit, key);
            Ok(JoinRequestPage { requests, next })
        })
        .await
    }

    /// At most `limit` admins of a conversation, and how many wait to be let in.
    pub async fn doorkeepers(
        &self,
        conversation: ConversationId,
        limit: u32,
    ) -> Result<Doorkeepers, StoreError> {
        self.within(async {
            let client = self.client().await?;
            let sql = "SELECT user_id FROM conversation_participants
                       WHERE conversation_id = $1 AND role = 'admin' LIMIT $2";
            let found = rows(&client, sql, &[&conversation, &signed(limit.into())]).await?;
            let admins = found.iter().map(|row| Ok(row.try_get("user_id")?));
            let admins = admins.collect::<Result<_, StoreError>>()?;
            Ok(Doorkeepers { admins, waiting: waiting(&client, conversation).await? })
        })
        .await
    }
}
