//! Who is in a conversation, and how each sees it.

use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;
use tokio_postgres::Row;

use crate::domain::conversation::{Conversation, ConversationType, Participant, Role};
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::membership::{self, Refused, State};

use super::conversations::{self, ChangeError};
use super::outbox::{self, OutboxEvent};
use super::{Store, StoreError, bans, execute, joining, named, row, rows, signed, unsigned, users};

/// What somebody is in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    pub role: Role,
    pub kind: ConversationType,
}

/// One page of participants, in the order they joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParticipantPage {
    pub participants: Vec<Participant>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<ParticipantKey>,
}

/// The place of a participant in the order of joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParticipantKey {
    pub joined_at: Timestamp,
    pub user_id: UserId,
}

/// What a page holds, of which one row more was read, and where the next page begins.
pub(super) fn page<T>(
    mut found: Vec<T>,
    limit: u32,
    key: impl Fn(&T) -> ParticipantKey,
) -> (Vec<T>, Option<ParticipantKey>) {
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(key);
    (found, next)
}

/// What [`participant`] reads; the tables are `p` and `u`.
macro_rules! participant_columns {
    () => {
        "p.conversation_id, p.user_id, p.role, p.joined_at, p.last_read_message_id, p.last_read_seq, \
         GREATEST(p.delivered_seq, p.last_read_seq) AS delivered_seq, u.display_name, u.avatar_url, u.last_seen_at"
    };
}

fn participant(row: &Row) -> Result<Participant, StoreError> {
    Ok(Participant {
        user_id: row.try_get("user_id")?,
        display_name: row.try_get("display_name")?,
        avatar_url: row.try_get("avatar_url")?,
        role: named(row, "role", Role::parse)?,
        last_seen_at: row.try_get("last_seen_at")?,
        last_read_message_id: row.try_get("last_read_message_id")?,
        last_read_seq: unsigned(row, "last_read_seq")?,
        delivered_seq: unsigned(row, "delivered_seq")?,
        joined_at: row.try_get("joined_at")?,
    })
}

/// The first `limit` participants of each conversation.
pub(super) async fn first(
    client: &impl GenericClient,
    conversations: &[ConversationId],
    limit: usize,
) -> Result<Vec<(ConversationId, Participant)>, StoreError> {
    let sql = concat!(
        "SELECT ",
        participant_columns!(),
        " FROM UNNEST($1::uuid[]) AS wanted(id)
          CROSS JOIN LATERAL (
              SELECT * FROM conversation_participants
              WHERE conversation_id = wanted.id ORDER BY joined_at, user_id LIMIT $2) AS p
          LEFT JOIN users u ON u.id = p.user_id
          ORDER BY p.conversation_id, p.joined_at, p.user_id"
    );
    rows(client, sql, &[&conversations, &signed(limit as u64)])
        .await?
        .iter()
        .map(|row| Ok((row.try_get("conversation_id")?, participant(row)?)))
        .collect()
}

/// Adds people who start with everything so far as read, and returns nothing: the caller counted them.
pub(super) async fn insert(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    users: &[UserId],
    role: Role,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO conversation_participants
                   (conversation_id, user_id, role, joined_at, last_read_seq, last_read_counter, last_read_message_id)
               SELECT c.id, new.user_id, $3, $4, c.last_message_seq, c.message_count, c.last_message_id
               FROM conversations c CROSS JOIN UNNEST($2::uuid[]) AS new(user_id)
               WHERE c.id = $1";
    execute(tx, sql, &[&conversation, &users, &role.as_str(), &now]).await?;
    Ok(())
}

/// Takes in people who are not there, in a transaction that holds the conversation's row. Whoever had asked to be let in asks
/// no more.
///
/// # Errors
/// [`Refused::Banned`] where one of them is.
pub(super) async fn take_in(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    new: &[UserId],
    now: Timestamp,
) -> Result<(), ChangeError> {
    if bans::any(tx, conversation, new).await? {
        return Err(Refused::Banned.into());
    }
    joining::forget(tx, conversation, new).await?;
    users::ensure_stubs(tx, new).await?;
    insert(tx, conversation, new, Role::Member, now).await?;
    let by = i32::try_from(new.len()).unwrap_or(i32::MAX);
    Ok(count_change(tx, conversation, by, now).await?)
}

/// A conversation whose row is locked.
pub(super) struct Locked {
    pub kind: ConversationType,
    pub participants: u32,
    pub join_approval: bool,
}

/// Locks the row of a conversation, unless there is none, or it was deleted for everyone.
pub(super) async fn lock(
    tx: &Transaction<'_>,
    conversation: ConversationId,
) -> Result<Option<Locked>, StoreError> {
    let sql = "SELECT type, participant_count, join_approval FROM conversations
               WHERE id = $1 AND deleted_at IS NULL FOR UPDATE";
    let Some(row) = row(tx, sql, &[&conversation]).await? else { return Ok(None) };
    let participants: i32 = row.try_get("participant_count")?;
    Ok(Some(Locked {
        kind: named(&row, "type", ConversationType::parse)?,
        participants: participants.unsigned_abs(),
        join_approval: row.try_get("join_approval")?,
    }))
}

/// Locks the conversation and tells what `actor` is in it.
pub(super) async fn lock_as(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    actor: UserId,
) -> Result<(ConversationType, u32, Role), ChangeError> {
    let locked = lock(tx, conversation).await?.ok_or(Refused::NotAParticipant)?;
    let role = role_of(tx, conversation, actor).await?.ok_or(Refused::NotAParticipant)?;
    Ok((locked.kind, locked.participants, role))
}

/// What somebody is in a conversation; `None` for nothing.
pub(super) async fn role_of(
    client: &impl GenericClient,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<Role>, StoreError> {
    let sql =
        "SELECT role FROM conversation_participants WHERE conversation_id = $1 AND user_id = $2";
    let row = row(client, sql, &[&conversation, &user]).await?;
    row.as_ref().map(|row| named(row, "role", Role::parse)).transpose()
}

async fn has_other_admin(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    user: UserId,
) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT FROM conversation_participants
               WHERE conversation_id = $1 AND role = 'admin' AND user_id <> $2) AS other";
    row(tx, sql, &[&conversation, &user]).await?.map_or(Ok(false), |row| Ok(row.try_get("other")?))
}

/// So many people more, or fewer.
pub(super) async fn count_change(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    by: i32,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE conversations SET participant_count = participant_count + $2, updated_at = $3
               WHERE id = $1";
    execute(tx, sql, &[&conversation, &by, &now]).await?;
    Ok(())
}

/// Takes somebody out.
pub(super) async fn remove(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    user: UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM conversation_participants WHERE conversation_id = $1 AND user_id = $2";
    execute(tx, sql, &[&conversation, &user]).await?;
    count_change(tx, conversation, -1, now).await
}

/// Announces the conversation as it is after the change, and commits.
pub(super) async fn announce_and_commit(
    tx: Transaction<'_>,
    conversation: ConversationId,
    now: Timestamp,
    event: impl FnOnce(&Conversation) -> OutboxEvent,
) -> Result<(), ChangeError> {
    let after = conversations::load(&tx, &[conversation]).await?.remove(&conversation);
    let after = after.ok_or_else(|| StoreError::bug("a locked conversation is gone"))?;
    outbox::announce(&tx, conversation, &event(&after), now).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

impl Store {
    /// What `user` is in a conversation; `None` also when there is none.
    pub async fn membership(
        &self,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<Membership>, StoreError> {
        self.within(async {
            let sql = "SELECT p.role, c.type FROM conversation_participants p
                       JOIN conversations c ON c.id = p.conversation_id
                       WHERE p.conversation_id = $1 AND p.user_id = $2";
            let row = row(&self.client().await?, sql, &[&conversation, &user]).await?;
            row.map(|row| {
                Ok(Membership {
                    role: named(&row, "role", Role::parse)?,
                    kind: named(&row, "type", ConversationType::parse)?,
                })
            })
            .transpose()
        })
        .await
    }

    /// How many of these people, each named once, are in a conversation.
    pub async fn participants_among(
        &self,
        conversation: ConversationId,
        users: &[UserId],
    ) -> Result<usize, StoreError> {
        self.within(async {
            let sql = "SELECT user_id FROM conversation_participants
                       WHERE conversation_id = $1 AND user_id = ANY($2)";
            Ok(rows(&self.client().await?, sql, &[&conversation, &users]).await?.len())
        })
        .await
    }

    /// Participants in the order they joined, behind `after` if given.
    pub async fn participants(
        &self,
        conversation: ConversationId,
        after: Option<ParticipantKey>,
        limit: u32,
    ) -> Result<ParticipantPage, StoreError> {
        let sql = concat!(
            "SELECT ",
            participant_columns!(),
            " FROM conversation_participants p LEFT JOIN users u ON u.id = p.user_id
              WHERE p.conversation_id = $1
                AND (p.joined_at, p.user_id) > ($2, $3)
              ORDER BY p.joined_at, p.user_id LIMIT $4"
        );
        self.within(async {
            // Nobody joined before the epoch.
            let (joined_at, user_id) = after
                .map_or((Timestamp::UNIX_EPOCH, UserId::nil()), |key| (key.joined_at, key.user_id));
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&conversation, &joined_at, &user_id, &signed(u64::from(limit) + 1)];
            let found = rows(&self.client().await?, sql, &params).await?;
            let found = found.iter().map(participant).collect::<Result<_, _>>()?;
            let key =
                |p: &Participant| ParticipantKey { joined_at: p.joined_at, user_id: p.user_id };
            let (participants, next) = page(found, limit, key);
            Ok(ParticipantPage { participants, next })
        })
        .await
    }

    /// Adds people on behalf of an admin and announces those who were not there yet; returns them.
    /// `max` bounds groups, 0 does not.
    pub async fn add_participants(
        &self,
        conversation: ConversationId,
        actor: UserId,
        added: &[UserId],
        max: u32,
        now: Timestamp,
        event: impl FnOnce(&Conversation, &[UserId]) -> OutboxEvent,
    ) -> Result<Vec<UserId>, ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let (kind, participants, role) = lock_as(&tx, conversation, actor).await?;
            let sql = "SELECT DISTINCT id FROM UNNEST($2::uuid[]) AS new(id)
                       WHERE NOT EXISTS (SELECT FROM conversation_participants p
                                         WHERE p.conversation_id = $1 AND p.user_id = new.id)";
            let new: Vec<UserId> = rows(&tx, sql, &[&conversation, &added])
                .await?
                .iter()
                .map(|row| row.try_get("id").map_err(StoreError::from))
                .collect::<Result<_, _>>()?;
            let state = State { kind, participants, has_other_admin: true };
            let count = u32::try_from(new.len()).unwrap_or(u32::MAX);
            membership::may_add(state, role, count, max)?;
            if new.is_empty() {
                return Ok(new);
            }
            take_in(&tx, conversation, &new, now).await?;
            announce_and_commit(tx, conversation, now, |after| event(after, &new)).await?;
            Ok(new)
        })
        .await
    }

    /// Removes somebody on behalf of an admin, or oneself.
    pub async fn remove_participant(
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
            let (kind, participants, role) = lock_as(&tx, conversation, actor).await?;
            if actor == user {
                let has_other_admin = has_other_admin(&tx, conversation, user).await?;
                membership::may_leave(State { kind, participants, has_other_admin }, role)?;
            } else {
                membership::may_remove(kind, role)?;
                role_of(&tx, conversation, user).await?.ok_or(Refused::NoSuchParticipant)?;
            }
            remove(&tx, conversation, user, now).await?;
            announce_and_commit(tx, conversation, now, event).await
        })
        .await
    }

    /// Gives somebody a role, on behalf of an admin. `false` if they have it already.
    pub async fn set_role(
        &self,
        conversation: ConversationId,
        actor: UserId,
        (user, to): (UserId, Role),
        now: Timestamp,
        event: impl FnOnce(&Conversation) -> OutboxEvent,
    ) -> Result<bool, ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let (kind, participants, role) = lock_as(&tx, conversation, actor).await?;
            let from = role_of(&tx, conversation, user).await?;
            let has_other_admin = has_other_admin(&tx, conversation, user).await?;
            let state = State { kind, participants, has_other_admin };
            membership::may_set_role(state, role, from.unwrap_or(Role::Member), to)?;
            let from = from.ok_or(Refused::NoSuchParticipant)?;
            if from == to {
                return Ok(false);
            }
            let sql = "UPDATE conversation_participants SET role = $3
                       WHERE conversation_id = $1 AND user_id = $2";
            execute(&tx, sql, &[&conversation, &user, &to.as_str()]).await?;
            count_change(&tx, conversation, 0, now).await?;
            announce_and_commit(tx, conversation, now, event).await?;
            Ok(true)
        })
        .await
    }
}
