//! What services bring about in conversations: notices of their own, and news of what conversations are about.

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::conversation::{Conversation, ConversationType, Role};
use crate::domain::ids::{ConversationId, UserId};

use super::conversations::ChangeError;
use super::outbox::{self, OutboxEvent};
use super::{
    Store, StoreError, blocks, conversations, execute, participants, row, rows, signed, users,
};

/// Somebody's notices from one service, to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notices {
    /// Follows from service and user, so that those who make it at the same time meet in one row.
    pub id: ConversationId,
    /// The service as a sender.
    pub sender: UserId,
    pub user: UserId,
    pub title: String,
}

/// Part of telling conversations that their context has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    /// Those that have something to announce now.
    pub conversations: Vec<ConversationId>,
    /// There was a context to tell of; ask again.
    pub more: bool,
}

impl Store {
    /// Makes the conversation of somebody's notices: a group of one, whose member manages nothing. Somebody who has
    /// left it is taken in again. `event` is told whether it is new.
    pub async fn open_notices(
        &self,
        notices: &Notices,
        now: Timestamp,
        event: impl FnOnce(&Conversation, bool) -> OutboxEvent,
    ) -> Result<(), StoreError> {
        let opening = self.changing(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await.map_err(StoreError::from)?;
            let sql = "INSERT INTO conversations
                           (id, type, title, creator_id, participant_count, created_at, updated_at)
                       VALUES ($1, $2, $3, $4, 1, $5, $5) ON CONFLICT (id) DO NOTHING";
            let Notices { id, sender, user, title } = notices;
            let kind = ConversationType::Group.as_str();
            let created = execute(&tx, sql, &[id, &kind, title, sender, &now]).await? > 0;
            if !created {
                let sql = "SELECT EXISTS (SELECT FROM conversation_participants p
                                          WHERE p.conversation_id = c.id AND p.user_id = $2) AS there
                           FROM conversations c WHERE c.id = $1 FOR NO KEY UPDATE OF c";
                let found = row(&tx, sql, &[id, user]).await?;
                let there = found.map_or(Ok(true), |row| row.try_get("there"));
                if there.map_err(StoreError::from)? {
                    return Ok(());
                }
                // An operator may have deleted it; what comes now is new.
                let sql = "UPDATE conversations SET participant_count = participant_count + 1,
                               updated_at = $2, title = $3, deleted_at = NULL WHERE id = $1";
                execute(&tx, sql, &[id, &now, title]).await?;
            }
            users::ensure_stubs(&tx, &[*user]).await?;
            participants::insert(&tx, *id, &[*user], Role::Member, now).await?;
            participants::announce_and_commit(tx, *id, now, |after| event(after, created)).await
        });
        match opening.await {
            Ok(()) => Ok(()),
            Err(ChangeError::Store(error)) => Err(error),
            Err(ChangeError::Refused(_)) => Err(StoreError::bug("notices are refused to nobody")),
        }
    }

    /// Tells the next conversations, `limit` at most, that what they are about has changed: where this was
    /// interrupted, whoever calls goes on. Several may call; each takes another context.
    pub async fn announce_contexts(
        &self,
        limit: u32,
        now: Timestamp,
        event: impl Fn(&Conversation, UserId) -> OutboxEvent,
    ) -> Result<Announced, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            // Most contexts have no conversation: those are dealt with at once, however many there are.
            let sql = "WITH silent AS MATERIALIZED (
                           SELECT x.type, x.id FROM contexts x
                           WHERE x.announcing IS NOT NULL AND NOT EXISTS (
                               SELECT FROM conversations c
                               WHERE c.context_type = x.type AND c.context_id = x.id)
                           ORDER BY x.type, x.id FOR NO KEY UPDATE OF x SKIP LOCKED)
                       UPDATE contexts x SET announcing = NULL FROM silent
                       WHERE x.type = silent.type AND x.id = silent.id";
            execute(&client, sql, &[]).await?;
            let tx = client.transaction().await?;
            let sql =
                "SELECT type, id, announcing, told_by FROM contexts WHERE announcing IS NOT NULL
                       ORDER BY updated_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED";
            let Some(context) = row(&tx, sql, &[]).await? else { return Ok(Announced::default()) };
            let (kind, id): (&str, Uuid) = (context.try_get("type")?, context.try_get("id")?);
            let after: Uuid = context.try_get("announcing")?;
            let told_by: Option<Uuid> = context.try_get("told_by")?;
            let told_by = told_by.ok_or_else(|| StoreError::bug("nobody has told of it"))?;
            let sql = "WITH next AS MATERIALIZED (
                           SELECT id FROM conversations
                           WHERE context_type = $1 AND context_id = $2 AND id > $3
                           ORDER BY id LIMIT $4 FOR NO KEY UPDATE)
                       UPDATE conversations c SET updated_at = $5 FROM next WHERE c.id = next.id
                       RETURNING c.id";
            let limit = signed(limit.into());
            let found = rows(&tx, sql, &[&kind, &id, &after, &limit, &now]).await?;
            let mut told: Vec<ConversationId> = found
                .iter()
                .map(|row| Ok(row.try_get("id")?))
                .collect::<Result<_, StoreError>>()?;
            told.sort_unstable();
            let mut loaded = conversations::load(&tx, &told).await?;
            // The log tells it to both of two, whoever has blocked whom.
            let severed = blocks::severed(&tx, &told).await?;
            for mut conversation in told.iter().filter_map(|id| loaded.remove(id)) {
                if severed.contains(&conversation.id) {
                    conversation = conversation.without_positions();
                }
                outbox::announce(&tx, conversation.id, &event(&conversation, told_by), now).await?;
            }
            let last = told.last().copied().filter(|_| signed(told.len() as u64) == limit);
            let sql = "UPDATE contexts SET announcing = $3 WHERE type = $1 AND id = $2";
            execute(&tx, sql, &[&kind, &id, &last]).await?;
            tx.commit().await?;
            Ok(Announced { conversations: told, more: true })
        })
        .await
    }
}
