//! Who knows whom: people meet in conversations.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::domain::ids::UserId;

use super::{Store, StoreError, execute, rows, signed};

/// Those who share a direct conversation with a user, or a group of up to `$2`. The row of the other one in the
/// user's smallest conversations is all that is read: communities and large groups end at their own row.
const CONTACTS: &str = "
SELECT u.id AS user_id, c.user_id AS contact_id FROM UNNEST($1::uuid[]) AS u(id)
CROSS JOIN LATERAL (
    SELECT DISTINCT other.user_id
    FROM conversation_participants own
    JOIN conversations c ON c.id = own.conversation_id
    JOIN conversation_participants other ON other.conversation_id = c.id
    WHERE own.user_id = u.id AND other.user_id <> u.id
      AND c.type <> 'community' AND c.participant_count <= $2
    LIMIT $3) AS c";

/// `$2` without those who share nothing with `$1`, and when each was last seen.
const VISIBLE: &str = "
WITH own AS MATERIALIZED (
    SELECT conversation_id FROM conversation_participants WHERE user_id = $1
), seen AS (
    SELECT DISTINCT p.user_id FROM conversation_participants p
    WHERE p.user_id = ANY($2::uuid[]) AND p.conversation_id IN (SELECT conversation_id FROM own)
    UNION SELECT $1::uuid WHERE $1 = ANY($2)
)
SELECT seen.user_id, u.last_seen_at FROM seen LEFT JOIN users u ON u.id = seen.user_id";

/// The places of those pairs that share a conversation.
const SHARING: &str = "
SELECT i.n FROM UNNEST($1::uuid[], $2::uuid[]) WITH ORDINALITY AS i(viewer, about, n)
WHERE i.viewer = i.about OR EXISTS (
    SELECT FROM conversation_participants v JOIN conversation_participants a USING (conversation_id)
    WHERE v.user_id = i.viewer AND a.user_id = i.about)";

/// Nobody is seen less recently than before. Locked in order: two nodes may have the same users.
const SEEN: &str = "
WITH seen AS (
    SELECT id, max(at) AS at FROM UNNEST($1::uuid[], $2::timestamptz[]) AS t(id, at) GROUP BY id
), locked AS MATERIALIZED (
    SELECT id FROM users WHERE id IN (SELECT id FROM seen) ORDER BY id FOR NO KEY UPDATE
)
UPDATE users u SET last_seen_at = seen.at FROM seen JOIN locked USING (id)
WHERE u.id = seen.id AND (u.last_seen_at IS NULL OR u.last_seen_at < seen.at)";

impl Store {
    /// The contacts of each user: who shares a direct conversation or a group of up to `max_group` people with
    /// them. At most `limit` each.
    pub async fn contacts(
        &self,
        users: &[UserId],
        max_group: u32,
        limit: u32,
    ) -> Result<HashMap<UserId, Vec<UserId>>, StoreError> {
        self.within(async {
            let max_group = i32::try_from(max_group).unwrap_or(i32::MAX);
            let client = self.client().await?;
            let found =
                rows(&client, CONTACTS, &[&users, &max_group, &signed(limit.into())]).await?;
            let mut contacts: HashMap<UserId, Vec<UserId>> = HashMap::with_capacity(users.len());
            for row in found {
                contacts.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
            }
            Ok(contacts)
        })
        .await
    }

    /// Those of `asked` with whom the viewer shares a conversation, and when each was last seen.
    pub async fn visible(
        &self,
        viewer: UserId,
        asked: &[UserId],
    ) -> Result<HashMap<UserId, Option<Timestamp>>, StoreError> {
        self.within(async {
            let found = rows(&self.client().await?, VISIBLE, &[&viewer, &asked]).await?;
            found.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
        })
        .await
    }

    /// Those of the pairs (viewer, other) who share a conversation.
    pub async fn sharing(
        &self,
        pairs: &[(UserId, UserId)],
    ) -> Result<Vec<(UserId, UserId)>, StoreError> {
        self.within(async {
            let (viewers, others): (Vec<UserId>, Vec<UserId>) = pairs.iter().copied().unzip();
            let found = rows(&self.client().await?, SHARING, &[&viewers, &others]).await?;
            let place = |row: &tokio_postgres::Row| {
                let n: i64 = row.try_get(0)?;
                let pair = usize::try_from(n - 1).ok().and_then(|n| pairs.get(n));
                pair.copied().ok_or_else(|| StoreError::bug("a pair that was not asked for"))
            };
            found.iter().map(place).collect()
        })
        .await
    }

    /// Notes when users were last seen.
    pub async fn last_seen(&self, seen: &[(UserId, Timestamp)]) -> Result<(), StoreError> {
        self.within(async {
            let (users, times): (Vec<UserId>, Vec<Timestamp>) = seen.iter().copied().unzip();
            execute(&self.client().await?, SEEN, &[&users, &times]).await?;
            Ok(())
        })
        .await
    }
}
