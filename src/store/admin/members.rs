//! Who is in a conversation, as operators change it.

use deadpool_postgres::Transaction;
use jiff::Timestamp;

use crate::domain::conversation::{Conversation, Role};
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::membership::{self, Refused, State};

use crate::store::audit::{self, Audit};
use crate::store::conversations::ChangeError;
use crate::store::outbox::OutboxEvent;
use crate::store::participants::{self, Locked};
use crate::store::{Store, StoreError, execute, rows};

use super::conversations::announce;

/// What an operator does to somebody's place in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Takes in whoever is not there yet; `max` bounds groups, 0 does not.
    Add {
        max: u32,
    },
    Remove,
    Role(Role),
}

/// Does it, and returns whom it concerned.
async fn moved(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    (people, what): (&[UserId], Move),
    locked: &Locked,
    now: Timestamp,
) -> Result<Vec<UserId>, ChangeError> {
    let there =
        "SELECT asked.id FROM (SELECT DISTINCT id FROM UNNEST($2::uuid[]) AS t(id)) AS asked
                 JOIN conversation_participants p ON p.conversation_id = $1 AND p.user_id = asked.id
                 ORDER BY asked.id";
    let there: Vec<UserId> = rows(tx, there, &[&conversation, &people])
        .await?
        .iter()
        .map(|row| row.try_get("id").map_err(StoreError::from))
        .collect::<Result<_, _>>()?;
    let mut others: Vec<UserId> = people.iter().copied().filter(|id| !there.contains(id)).collect();
    others.sort_unstable();
    others.dedup();
    let count = u32::try_from(others.len()).unwrap_or(u32::MAX);
    let state =
        State { kind: locked.kind, participants: locked.participants, has_other_admin: true };
    match what {
        Move::Add { max } => {
            membership::may_add(state, Role::Admin, count, max)?;
            if !others.is_empty() {
                participants::take_in(tx, conversation, &others, now).await?;
            }
            return Ok(others);
        }
        Move::Remove => membership::may_remove(locked.kind, Role::Admin)?,
        Move::Role(to) => membership::may_set_role(state, Role::Admin, to, to)?,
    }
    if !others.is_empty() {
        return Err(Refused::NoSuchParticipant.into());
    }
    if let Move::Role(to) = what {
        let sql = "UPDATE conversation_participants SET role = $3
                   WHERE conversation_id = $1 AND user_id = ANY($2)";
        execute(tx, sql, &[&conversation, &there, &to.as_str()]).await?;
        participants::count_change(tx, conversation, 0, now).await?;
        return Ok(there);
    }
    for user in &there {
        participants::remove(tx, conversation, *user, now).await?;
    }
    Ok(there)
}

impl Store {
    /// Moves people, and announces it where it concerned anybody; returns whom.
    ///
    /// # Errors
    /// [`ChangeError::Refused`] as for an admin of the conversation; the last admin may be removed.
    pub async fn admin_move(
        &self,
        conversation: ConversationId,
        (people, what): (&[UserId], Move),
        now: Timestamp,
        (noted, dry_run): (&Audit, bool),
        event: impl FnOnce(&Conversation, &[UserId]) -> OutboxEvent,
    ) -> Result<Vec<UserId>, ChangeError> {
        self.changing(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let locked = participants::lock(&tx, conversation).await?;
            let locked = locked.ok_or(Refused::NotAParticipant)?;
            let whom = moved(&tx, conversation, (people, what), &locked, now).await?;
            if !whom.is_empty() {
                announce(&tx, conversation, now, |after| event(after, &whom)).await?;
                let places = whom.iter().map(|user| audit::place(conversation, Some(*user)));
                audit::finish_each(tx, noted, places, dry_run).await?;
            }
            Ok(whom)
        })
        .await
    }

    /// Puts a conversation into the archive of one participant or all, or takes it out; returns who had it
    /// otherwise.
    ///
    /// # Errors
    /// As every statement.
    pub async fn admin_archive(
        &self,
        conversation: ConversationId,
        (user, archived): (Option<UserId>, bool),
        now: Timestamp,
        (audit, dry_run): (&Audit, bool),
    ) -> Result<Vec<UserId>, StoreError> {
        let sql = "WITH mine AS MATERIALIZED (
                       SELECT user_id FROM conversation_participants
                       WHERE conversation_id = $1 AND ($2::uuid IS NULL OR user_id = $2) AND is_archived <> $3
                       ORDER BY user_id FOR UPDATE)
                   UPDATE conversation_participants p
                   SET is_archived = $3, archived_at = CASE WHEN $3 THEN $4::timestamptz END
                   FROM mine WHERE p.conversation_id = $1 AND p.user_id = mine.user_id
                   RETURNING p.user_id";
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let changed = rows(&tx, sql, &[&conversation, &user, &archived, &now]).await?;
            let whose: Vec<UserId> =
                changed.iter().map(|row| row.try_get("user_id")).collect::<Result<_, _>>()?;
            if !whose.is_empty() {
                audit::finish(tx, audit, dry_run).await?;
            }
            Ok(whose)
        })
        .await
    }
}
