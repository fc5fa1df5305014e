//! People, as operators see them.

use jiff::Timestamp;

use crate::domain::ids::UserId;

use super::super::{Store, StoreError, row, rows, signed, unsigned};

/// A user in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    pub id: UserId,
    pub display_name: Option<String>,
    pub created_at: Timestamp,
    pub last_seen_at: Option<Timestamp>,
}

/// One user, with figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDetails {
    pub user: UserRow,
    pub avatar_url: Option<String>,
    pub updated_at: Timestamp,
    pub conversations: u64,
    pub unread: u64,
    /// Devices that can be notified.
    pub devices: u64,
    /// Users that this one has blocked, and that have blocked this one.
    pub blocks: u64,
    pub blocked_by: u64,
    /// Messages that wait for their time.
    pub scheduled: u64,
}

fn user(row: &tokio_postgres::Row) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        id: row.try_get("id")?,
        display_name: row.try_get("display_name")?,
        created_at: row.try_get("created_at")?,
        last_seen_at: row.try_get("last_seen_at")?,
    })
}

impl Store {
    /// Users in the order of their ids, behind `after`; with `name`, those whose name contains it.
    ///
    /// # Errors
    /// As every statement.
    pub async fn admin_users(
        &self,
        name: Option<&str>,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<UserRow>, StoreError> {
        let sql = "SELECT id, display_name, created_at, last_seen_at FROM users
                   WHERE ($1::uuid IS NULL OR id > $1)
                     AND ($2::text IS NULL OR strpos(lower(display_name), lower($2)) > 0)
                   ORDER BY id LIMIT $3";
        self.within(async {
            let client = self.client().await?;
            let limit = signed(limit.into());
            rows(&client, sql, &[&after, &name, &limit]).await?.iter().map(user).collect()
        })
        .await
    }

    /// One user; `None` if the id was never used.
    ///
    /// # Errors
    /// As every statement.
    pub async fn admin_user(&self, id: UserId) -> Result<Option<UserDetails>, StoreError> {
        let sql = "SELECT u.id, u.display_name, u.avatar_url, u.created_at, u.updated_at, u.last_seen_at,
                       own.conversations, own.unread,
                       (SELECT count(*) FROM devices WHERE user_id = u.id) AS devices,
                       (SELECT count(*) FROM blocks WHERE blocker_id = u.id) AS blocks,
                       (SELECT count(*) FROM blocks WHERE blocked_id = u.id) AS blocked_by,
                       (SELECT count(*) FROM scheduled_messages
                        WHERE sender_id = u.id AND state = 'waiting') AS scheduled
                   FROM users u
                   CROSS JOIN LATERAL (
                       SELECT count(*) AS conversations,
                              COALESCE(sum(GREATEST(c.message_count - GREATEST(p.last_read_counter, c.removed_through), 0)), 0)::bigint AS unread
                       FROM conversation_participants p JOIN conversations c ON c.id = p.conversation_id
                       WHERE p.user_id = u.id) AS own
                   WHERE u.id = $1";
        self.within(async {
            let found = row(&self.client().await?, sql, &[&id]).await?;
            let details = |row: tokio_postgres::Row| {
                Ok(UserDetails {
                    user: user(&row)?,
                    avatar_url: row.try_get("avatar_url")?,
                    updated_at: row.try_get("updated_at")?,
                    conversations: unsigned(&row, "conversations")?,
                    unread: unsigned(&row, "unread")?,
                    devices: unsigned(&row, "devices")?,
                    blocks: unsigned(&row, "blocks")?,
                    blocked_by: unsigned(&row, "blocked_by")?,
                    scheduled: unsigned(&row, "scheduled")?,
                })
            };
            found.map(details).transpose()
        })
        .await
    }
}
