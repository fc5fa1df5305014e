//! Who may not come into a conversation any more.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;

use crate::domain::conversation::{Conversation, ConversationType, Role};
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::membership::{self, MAX_BANS, Refused};

use super::conversations::ChangeError;
use super::outbox::OutboxEvent;
use super::participants::{ParticipantKey, announce_and_commit, lock_as, page, remove, role_of};
use super::{Store, StoreError, execute, joining, named, row, rows, signed, users};

/// Somebody who is banned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Banned {
    pub user_id: UserId,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    pub reason: Option<String>,
    pub banned_by: UserId,
    pub banned_at: Timestamp,
}

/// One page of them, the first first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanPage {
    pub bans: Vec<Banned>,
    pub next: Option<ParticipantKey>,
}

/// Is one of these people banned?
pub(super) async fn any(
    client: &impl GenericClient,
    conversation: ConversationId,
    users: &[UserId],
) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT FROM conversation_bans
               WHERE conversation_id = $1 AND user_id = ANY($2)) AS banned";
    let found = row(client, sql, &[&conversation, &users]).await?;
    found.map_or(Ok(false), |row| Ok(row.try_get("banned")?))
}

/// Looks whether somebody may let people in, refuse and ban them.
pub(super) async fn check_moderator(
    client: &impl GenericClient,
    conversation: ConversationId,
    actor: UserId,
) -> Result<(), ChangeError> {
    let sql = "SELECT p.role, c.type FROM conversation_participants p
               JOIN conversations c ON c.id = p.conversation_id
               WHERE p.conversation_id = $1 AND p.user_id = $2";
    let found = row(client, sql, &[&conversation, &actor]).await?;
    let found = found.ok_or(Refused::NotAParticipant)?;
    let kind = named(&found, "type", ConversationType::parse)?;
    Ok(membership::may_moderate(kind, named(&found, "role", Role::parse)?)?)
}

fn banned(row: &Row) -> Result<Banned, StoreError> {
    Ok(Banned {
        user_id: row.try_get("user_id")?,
        display_name: row.try_get("display_name")?,
        avatar_url: row.try_get("avatar_url")?,
        reason: row.try_get("reason")?,
        banned_by: row.try_get("banned_by")?,
        banned_at: row.try_get("banned_at")?,
    })
}

impl Store {
    /// Bans somebody on behalf of an admin, and removes them if they are there: returns whether they were. Who is banned
    /// already stays so, with the new reason.
    pub async fn ban(
        &self,
        conversation: ConversationId,
        actor: UserId,
        (user, reason): (UserId, Option<&str>),
        now: Timestamp,
        event: impl FnOnce(&Conversation) -> OutboxEvent,
    ) -> Result<bool, ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let (kind, _, role) = lock_as(&tx, conversation, actor).await?;
            membership::may_moderate(kind, role)?;
            if actor == user {
                return Err(Refused::Oneself.into());
            }
            users::ensure_stubs(&tx, &[user]).await?;
            let sql = "INSERT INTO conversation_bans (conversation_id, user_id, banned_by, reason, banned_at)
                       SELECT $1, $2, $3, $4, $5
                       WHERE (SELECT count(*) FROM conversation_bans WHERE conversation_id = $1) < $6
                       ON CONFLICT (conversation_id, user_id)
                           DO UPDATE SET banned_by = EXCLUDED.banned_by, reason = EXCLUDED.reason";
            let most = i64::from(MAX_BANS);
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                [&conversation, &user, &actor, &reason, &now, &most];
            if execute(&tx, sql, &params).await? == 0 {
                return Err(Refused::TooManyBans { max: MAX_BANS }.into());
            }
            joining::forget(&tx, conversation, &[user]).await?;
            if role_of(&tx, conversation, user).await?.is_none() {
                tx.commit().await.map_err(StoreError::from)?;
                return Ok(false);
            }
            remove(&tx, conversation, user, now).await?;
            announce_and_commit(tx, conversation, now, event).await?;
            Ok(true)
        })
        .await
    }

    /// Lifts a ban on behalf of an admin. That brings nobody back.
    pub async fn unban(
        &self,
        conversation: ConversationId,
        actor: UserId,
        user: UserId,
    ) -> Result<(), ChangeError> {
        self.changing(async {
            let client = self.client().await?;
            check_moderator(&client, conversation, actor).await?;
            let sql = "DELETE FROM conversation_bans WHERE conversation_id = $1 AND user_id = $2";
            match execute(&client, sql, &[&conversation, &user]).await? {
                0 => Err(Refused::NoSuchBan.into()),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Who is banned, for an admin.
    pub async fn bans(
        &self,
        conversation: ConversationId,
        actor: UserId,
        after: Option<ParticipantKey>,
        limit: u32,
    ) -> Result<BanPage, ChangeError> {
        self.changing(async {
            let client = self.client().await?;
            check_moderator(&client, conversation, actor).await?;
            let sql =
                "SELECT b.user_id, b.reason, b.banned_by, b.banned_at, u.display_name, u.avatar_url
                       FROM conversation_bans b LEFT JOIN users u ON u.id = b.user_id
                       WHERE b.conversation_id = $1
                         AND ($2::timestamptz IS NULL OR (b.banned_at, b.user_id) > ($2, $3::uuid))
                       ORDER BY b.banned_at, b.user_id LIMIT $4";
            let (at, user) = (after.map(|key| key.joined_at), after.map(|key| key.user_id));
            let one_more = signed(u64::from(limit) + 1);
            let found = rows(&client, sql, &[&conversation, &at, &user, &one_more]).await?;
            let found = found.iter().map(banned).collect::<Result<_, _>>()?;
            let key = |b: &Banned| ParticipantKey { joined_at: b.banned_at, user_id: b.user_id };
            let (bans, next) = page(found, limit, key);
            Ok(BanPage { bans, next })
        })
        .await
    }
}
