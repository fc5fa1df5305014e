//! People, and what a node needs when some of them arrive.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

use crate::domain::ids::{ConversationId, UserId};
use crate::domain::user::Profile;

use super::{Store, StoreError, execute, rows, signed};

/// A user whose token was just accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    pub user_id: UserId,
    /// From the token; `None` leaves what is stored.
    pub name: Option<String>,
    pub picture: Option<String>,
}

/// What a node needs to serve a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    pub profile: Profile,
    /// Those with the newest activity where there are more than the caller's limit.
    pub conversations: Vec<ConversationId>,
}

pub(super) fn profile(row: &Row) -> Result<Profile, StoreError> {
    Ok(Profile {
        id: row.try_get("id")?,
        display_name: row.try_get("display_name")?,
        avatar_url: row.try_get("avatar_url")?,
        last_seen_at: row.try_get("last_seen_at")?,
    })
}

/// Makes sure that every id has a row.
pub(super) async fn ensure_stubs(
    client: &impl GenericClient,
    users: &[UserId],
) -> Result<(), StoreError> {
    // Sorted, so that two transactions that meet the same new users do not wait in a circle.
    let sql = "INSERT INTO users (id) SELECT DISTINCT id FROM UNNEST($1::uuid[]) AS new(id)
               WHERE NOT EXISTS (SELECT FROM users WHERE users.id = new.id)
               ORDER BY id ON CONFLICT (id) DO NOTHING";
    execute(client, sql, &[&users]).await?;
    Ok(())
}

impl Store {
    /// The name that somebody is shown with, if they have one.
    pub async fn display_name(&self, user: UserId) -> Result<Option<String>, StoreError> {
        self.within(async {
            let sql = "SELECT display_name FROM users WHERE id = $1";
            let found = rows(&self.client().await?, sql, &[&user]).await?;
            Ok(found.first().map(|row| row.try_get("display_name")).transpose()?.flatten())
        })
        .await
    }

    /// Refreshes the profiles of users who arrive and loads their conversations: one round of statements
    /// for all of them, and writes only where a profile differs.
    ///
    /// A user may be named more than once; the last name and picture count.
    pub async fn arrivals(
        &self,
        arrivals: &[Arrival],
        max_conversations: u32,
    ) -> Result<HashMap<UserId, Arrived>, StoreError> {
        self.within(async {
            let mut latest: HashMap<UserId, &Arrival> = HashMap::with_capacity(arrivals.len());
            latest.extend(arrivals.iter().map(|a| (a.user_id, a)));
            let ids: Vec<UserId> = latest.keys().copied().collect();
            let client = self.client().await?;
            // Sent together, answered together: one round trip.
            let (mut profiles, conversations) = tokio::try_join!(
                load_profiles(&client, &ids),
                load_conversations(&client, &ids, max_conversations),
            )?;
            let outdated: Vec<&Arrival> =
                latest.values().copied().filter(|a| differs(a, profiles.get(&a.user_id))).collect();
            if !outdated.is_empty() {
                refresh_profiles(&client, &outdated, &mut profiles).await?;
            }
            Ok(arrived(profiles, conversations))
        })
        .await
    }
}

fn differs(arrival: &Arrival, stored: Option<&Profile>) -> bool {
    let Some(stored) = stored else { return true };
    let changed = |new: &Option<String>, old: &Option<String>| new.is_some() && new != old;
    changed(&arrival.name, &stored.display_name) || changed(&arrival.picture, &stored.avatar_url)
}

fn arrived(
    profiles: HashMap<UserId, Profile>,
    mut conversations: HashMap<UserId, Vec<ConversationId>>,
) -> HashMap<UserId, Arrived> {
    profiles
        .into_iter()
        .map(|(id, profile)| {
            let conversations = conversations.remove(&id).unwrap_or_default();
            (id, Arrived { profile, conversations })
        })
        .collect()
}

async fn load_profiles(
    client: &impl GenericClient,
    users: &[UserId],
) -> Result<HashMap<UserId, Profile>, StoreError> {
    let sql = "SELECT id, display_name, avatar_url, last_seen_at FROM users WHERE id = ANY($1)";
    rows(client, sql, &[&users]).await?.iter().map(|row| profile(row).map(|p| (p.id, p))).collect()
}

async fn refresh_profiles(
    client: &impl GenericClient,
    outdated: &[&Arrival],
    profiles: &mut HashMap<UserId, Profile>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO users AS u (id, display_name, avatar_url)
               SELECT id, name, picture FROM UNNEST($1::uuid[], $2::text[], $3::text[]) AS new(id, name, picture)
               ORDER BY id
               ON CONFLICT (id) DO UPDATE SET
                   display_name = COALESCE(EXCLUDED.display_name, u.display_name),
                   avatar_url = COALESCE(EXCLUDED.avatar_url, u.avatar_url),
                   updated_at = now()
               RETURNING id, display_name, avatar_url, last_seen_at";
    let ids: Vec<UserId> = outdated.iter().map(|a| a.user_id).collect();
    let names: Vec<Option<&str>> = outdated.iter().map(|a| a.name.as_deref()).collect();
    let pictures: Vec<Option<&str>> = outdated.iter().map(|a| a.picture.as_deref()).collect();
    for row in rows(client, sql, &[&ids, &names, &pictures]).await? {
        let profile = profile(&row)?;
        profiles.insert(profile.id, profile);
    }
    Ok(())
}

/// The conversations of each user. Only those few users who have more than `limit` cost a sort.
async fn load_conversations(
    client: &impl GenericClient,
    users: &[UserId],
    limit: u32,
) -> Result<HashMap<UserId, Vec<ConversationId>>, StoreError> {
    let sql = "SELECT u.id AS user_id, p.conversation_id
               FROM UNNEST($1::uuid[]) AS u(id)
               CROSS JOIN LATERAL (
                   SELECT conversation_id FROM conversation_participants
                   WHERE user_id = u.id LIMIT $2) AS p";
    let mut found: HashMap<UserId, Vec<ConversationId>> = HashMap::with_capacity(users.len());
    for row in rows(client, sql, &[&users, &(signed(limit.into()) + 1)]).await? {
        found.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
    }
    for (user, conversations) in &mut found {
        if conversations.len() > limit as usize {
            *conversations = newest_conversations(client, *user, limit).await?;
        }
    }
    Ok(found)
}

async fn newest_conversations(
    client: &impl GenericClient,
    user: UserId,
    limit: u32,
) -> Result<Vec<ConversationId>, StoreError> {
    let sql = "SELECT c.id FROM conversation_participants p JOIN conversations c ON c.id = p.conversation_id
               WHERE p.user_id = $1 ORDER BY COALESCE(c.last_message_at, c.created_at) DESC LIMIT $2";
    rows(client, sql, &[&user, &signed(limit.into())])
        .await?
        .iter()
        .map(|row| Ok(row.try_get("id")?))
        .collect()
}
