//! Who wants to hear nothing of whom.

use std::collections::BTreeSet;

use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;
use tokio_postgres::Row;

use crate::domain::ids::{ConversationId, UserId};
use crate::domain::membership::Refused;

use super::conversations::ChangeError;
use super::{Store, StoreError, execute, row, rows, signed, unsigned};

/// Most people whom one user may block: all of them are held in memory by every node, and are one answer.
pub const MAX_BLOCKS: u32 = 1_000;

/// Two people of whom one has, or had, blocked the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub low: UserId,
    pub high: UserId,
    pub low_blocks: bool,
    pub high_blocks: bool,
    /// Their direct conversations.
    pub direct: Vec<ConversationId>,
}

/// Somebody whom a user has blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    pub user_id: UserId,
    pub display_name: Option<String>,
    pub at: Timestamp,
}

/// What blocking somebody came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Now,
    /// So it was.
    Before,
    NoSuchUser,
    /// The user has blocked [`MAX_BLOCKS`] people.
    Full,
}

/// Conversations of both that are no communities, those with the newest activity first.
const SHARED: &str = "
SELECT c.id FROM conversation_participants a
JOIN conversation_participants b ON b.conversation_id = a.conversation_id AND b.user_id = $2
JOIN conversations c ON c.id = a.conversation_id
WHERE a.user_id = $1 AND c.type <> 'community' AND (c.type = 'direct' OR NOT $3)
ORDER BY c.last_message_at DESC NULLS LAST LIMIT $4";

/// Direct conversations of two people: one, and one for each thing that they spoke about.
const MAX_DIRECT: i64 = 10_000;

/// One change of a pair at a time, and no direct conversation that is opened beside it.
async fn lock(tx: &Transaction<'_>, one: UserId, other: UserId) -> Result<(), StoreError> {
    let key = format!("blocks:{}:{}", one.min(other), one.max(other));
    rows(tx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&key]).await?;
    Ok(())
}

/// Refuses a direct conversation of two people of whom one has blocked the other; until the transaction ends neither can.
pub(super) async fn may_open(
    tx: &Transaction<'_>,
    one: UserId,
    other: UserId,
) -> Result<(), ChangeError> {
    lock(tx, one, other).await?;
    let sql = "SELECT FROM blocks WHERE (blocker_id = $1 AND blocked_id = $2)
                                     OR (blocker_id = $2 AND blocked_id = $1)";
    match row(tx, sql, &[&one, &other]).await? {
        Some(_) => Err(Refused::Blocked.into()),
        None => Ok(()),
    }
}

/// Lets every node know that something has changed between two people.
async fn note(tx: &Transaction<'_>, one: UserId, other: UserId) -> Result<(), StoreError> {
    let direct = shared(tx, one, other, true, MAX_DIRECT).await?;
    let sql = "INSERT INTO block_pairs (low_id, high_id, direct_ids, changed_at)
               VALUES ($1, $2, $3, clock_timestamp())
               ON CONFLICT (low_id, high_id) DO UPDATE
               SET direct_ids = EXCLUDED.direct_ids, changed_at = EXCLUDED.changed_at";
    execute(tx, sql, &[&one.min(other), &one.max(other), &direct]).await?;
    Ok(())
}

async fn shared(
    client: &impl GenericClient,
    one: UserId,
    other: UserId,
    direct_only: bool,
    limit: i64,
) -> Result<Vec<ConversationId>, StoreError> {
    let found = rows(client, SHARED, &[&one, &other, &direct_only, &limit]).await?;
    found.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// Which of these are direct conversations of two people of whom one has blocked the other.
pub(super) async fn severed(
    client: &impl GenericClient,
    conversations: &[ConversationId],
) -> Result<BTreeSet<ConversationId>, StoreError> {
    let sql = "SELECT DISTINCT a.conversation_id
               FROM conversation_participants a
               JOIN conversations c ON c.id = a.conversation_id AND c.type = 'direct'
               JOIN blocks b ON b.blocker_id = a.user_id
               JOIN conversation_participants o
                 ON o.conversation_id = a.conversation_id AND o.user_id = b.blocked_id
               WHERE a.conversation_id = ANY($1)";
    let found = rows(client, sql, &[&conversations]).await?;
    found.iter().map(|row| Ok(row.try_get("conversation_id")?)).collect()
}

/// Blocks somebody in a transaction that holds the lock of the pair.
async fn block(
    tx: &Transaction<'_>,
    user: UserId,
    other: UserId,
    now: Timestamp,
) -> Result<Outcome, StoreError> {
    // One block of a user at a time, or two at once would both find room.
    let sql = "SELECT id FROM users WHERE id = $1 OR id = $2 ORDER BY id FOR NO KEY UPDATE";
    let known = rows(tx, sql, &[&user, &other]).await?;
    let is_known = |row: &Row| row.try_get::<_, UserId>("id").is_ok_and(|id| id == other);
    if !known.iter().any(is_known) {
        return Ok(Outcome::NoSuchUser);
    }
    let sql = "SELECT count(*) AS blocks, COALESCE(bool_or(blocked_id = $2), false) AS before
               FROM blocks WHERE blocker_id = $1";
    let Some(counted) = row(tx, sql, &[&user, &other]).await? else {
        return Err(StoreError::bug("a count of nothing"));
    };
    if counted.try_get("before")? {
        return Ok(Outcome::Before);
    }
    if unsigned(&counted, "blocks")? >= u64::from(MAX_BLOCKS) {
        return Ok(Outcome::Full);
    }
    let sql = "INSERT INTO blocks (blocker_id, blocked_id, created_at) VALUES ($1, $2, $3)";
    execute(tx, sql, &[&user, &other, &now]).await?;
    note(tx, user, other).await?;
    Ok(Outcome::Now)
}

impl Store {
    /// Blocks somebody. Nothing passes between the two in direct conversations from now on.
    ///
    /// # Errors
    /// As every statement.
    pub async fn block(
        &self,
        user: UserId,
        other: UserId,
        now: Timestamp,
    ) -> Result<Outcome, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            lock(&tx, user, other).await?;
            let outcome = block(&tx, user, other, now).await?;
            tx.commit().await?;
            Ok(outcome)
        })
        .await
    }

    /// Takes a block back. `false` if there was none.
    ///
    /// # Errors
    /// As every statement.
    pub async fn unblock(&self, user: UserId, other: UserId) -> Result<bool, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            lock(&tx, user, other).await?;
            let sql = "DELETE FROM blocks WHERE blocker_id = $1 AND blocked_id = $2";
            let was = execute(&tx, sql, &[&user, &other]).await? > 0;
            if was {
                note(&tx, user, other).await?;
            }
            tx.commit().await?;
            Ok(was)
        })
        .await
    }

    /// Whom a user has blocked, the latest first.
    ///
    /// # Errors
    /// As every statement.
    pub async fn blocks_of(&self, user: UserId) -> Result<Vec<Blocked>, StoreError> {
        let sql = "SELECT b.blocked_id, b.created_at, u.display_name
                   FROM blocks b LEFT JOIN users u ON u.id = b.blocked_id
                   WHERE b.blocker_id = $1 ORDER BY b.created_at DESC, b.blocked_id LIMIT $2";
        self.within(async {
            let limit = signed(MAX_BLOCKS.into());
            let found = rows(&self.client().await?, sql, &[&user, &limit]).await?;
            let blocked = |row: &Row| {
                Ok(Blocked {
                    user_id: row.try_get("blocked_id")?,
                    display_name: row.try_get("display_name")?,
                    at: row.try_get("created_at")?,
                })
            };
            found.iter().map(blocked).collect()
        })
        .await
    }

    /// Conversations of both that are no communities, those with the newest activity first.
    ///
    /// # Errors
    /// As every statement.
    pub async fn shared_conversations(
        &self,
        one: UserId,
        other: UserId,
        direct_only: bool,
        limit: u32,
    ) -> Result<Vec<ConversationId>, StoreError> {
        let limit = signed(limit.into());
        self.within(async { shared(&self.client().await?, one, other, direct_only, limit).await })
            .await
    }

    /// Pairs between whom something has changed since a time of the database's clock, as they are now, and that time now.
    /// Without a time: all pairs.
    ///
    /// # Errors
    /// As every statement.
    pub async fn block_pairs(
        &self,
        since: Option<Timestamp>,
    ) -> Result<(Timestamp, Vec<Pair>), StoreError> {
        let sql = "SELECT t.now, p.low_id, p.high_id, p.direct_ids,
                          EXISTS (SELECT FROM blocks b WHERE b.blocker_id = p.low_id AND b.blocked_id = p.high_id)
                              AS low_blocks,
                          EXISTS (SELECT FROM blocks b WHERE b.blocker_id = p.high_id AND b.blocked_id = p.low_id)
                              AS high_blocks
                   FROM (SELECT clock_timestamp() AS now) t
                   LEFT JOIN block_pairs p ON p.changed_at > COALESCE($1::timestamptz, '-infinity')";
        self.within(async {
            let found = rows(&self.client().await?, sql, &[&since]).await?;
            let now = match found.first() {
                Some(first) => first.try_get("now")?,
                None => return Err(StoreError::bug("no time")),
            };
            let mut pairs = Vec::with_capacity(found.len());
            for row in &found {
                if let Some(low) = row.try_get("low_id")? {
                    pairs.push(pair(low, row)?);
                }
            }
            Ok((now, pairs))
        })
        .await
    }
}

fn pair(low: UserId, row: &Row) -> Result<Pair, StoreError> {
    Ok(Pair {
        low,
        high: row.try_get("high_id")?,
        low_blocks: row.try_get("low_blocks")?,
        high_blocks: row.try_get("high_blocks")?,
        direct: row.try_get("direct_ids")?,
    })
}
