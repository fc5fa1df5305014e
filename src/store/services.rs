//! What other services say: profiles, contexts, and where their messages go. Each call serves a whole batch.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::conversation::ContextType;
use crate::domain::ids::{ConversationId, MessageId, UserId};

use super::{Store, StoreError, execute, rows, signed, users};

/// Somebody's profile as a service knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldProfile {
    pub user_id: UserId,
    pub display_name: String,
    /// The outer `None` leaves what is there, the inner one clears it.
    pub avatar_url: Option<Option<String>>,
    pub told_at: Timestamp,
}

/// A context as its service describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldContext {
    pub kind: ContextType,
    pub id: Uuid,
    pub title: String,
    /// `None` leaves whoever it is.
    pub owner_id: Option<UserId>,
    pub image_url: Option<Option<String>>,
    pub url: Option<Option<String>>,
    pub told_at: Timestamp,
    /// The service as a sender.
    pub told_by: UserId,
}

/// A conversation that a message may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    pub id: ConversationId,
    /// It has something to announce that belongs in front of any message.
    pub is_announcing: bool,
}

/// What [`Destination`] is read from; the table is `c`.
macro_rules! destination {
    () => {
        "c.id, EXISTS (SELECT FROM outbox o WHERE o.conversation_id = c.id) AS announcing"
    };
}

fn destination(row: &tokio_postgres::Row) -> Result<Destination, StoreError> {
    Ok(Destination { id: row.try_get("id")?, is_announcing: row.try_get("announcing")? })
}

impl Store {
    /// The names that services go by as senders, each a row of its own the first time that it is used.
    pub async fn service_names(
        &self,
        services: &HashMap<UserId, String>,
    ) -> Result<HashMap<UserId, String>, StoreError> {
        self.within(async {
            let client = self.client().await?;
            let ids: Vec<UserId> = services.keys().copied().collect();
            let sql = "SELECT id, display_name FROM users
                       WHERE id = ANY($1) AND display_name IS NOT NULL";
            let mut names = HashMap::with_capacity(ids.len());
            for row in rows(&client, sql, &[&ids]).await? {
                names.insert(row.try_get("id")?, row.try_get("display_name")?);
            }
            let mut new: Vec<(UserId, &str)> = services
                .iter()
                .filter(|(id, _)| !names.contains_key(*id))
                .map(|(id, name)| (*id, name.as_str()))
                .collect();
            if !new.is_empty() {
                new.sort_unstable();
                let (ids, own): (Vec<UserId>, Vec<&str>) = new.into_iter().unzip();
                let sql = "INSERT INTO users AS u (id, display_name)
                           SELECT id, name FROM UNNEST($1::uuid[], $2::text[]) AS new(id, name)
                           ORDER BY id
                           ON CONFLICT (id) DO UPDATE
                           SET display_name = COALESCE(u.display_name, EXCLUDED.display_name)
                           RETURNING id, display_name";
                for row in rows(&client, sql, &[&ids, &own]).await? {
                    names.insert(row.try_get("id")?, row.try_get("display_name")?);
                }
            }
            Ok(names)
        })
        .await
    }

    /// Those of these conversations that exist.
    pub async fn destinations(
        &self,
        conversations: &[ConversationId],
    ) -> Result<Vec<Destination>, StoreError> {
        self.within(async {
            let sql = concat!(
                "SELECT ",
                destination!(),
                " FROM conversations c WHERE c.id = ANY($1) AND c.deleted_at IS NULL"
            );
            let found = rows(&self.client().await?, sql, &[&conversations]).await?;
            found.iter().map(destination).collect()
        })
        .await
    }

    /// Conversations about a context behind `after`, in the order of their ids.
    pub async fn destinations_about(
        &self,
        kind: ContextType,
        id: Uuid,
        after: ConversationId,
        limit: u32,
    ) -> Result<Vec<Destination>, StoreError> {
        self.within(async {
            let sql = concat!(
                "SELECT ",
                destination!(),
                " FROM conversations c
                  WHERE c.context_type = $1 AND c.context_id = $2 AND c.id > $3
                    AND c.deleted_at IS NULL
                  ORDER BY c.id LIMIT $4"
            );
            let limit = signed(limit.into());
            let client = self.client().await?;
            let found = rows(&client, sql, &[&kind.as_str(), &id, &after, &limit]).await?;
            found.iter().map(destination).collect()
        })
        .await
    }

    /// Those of these conversations that have this person in them, one for each conversation.
    pub async fn destinations_of(
        &self,
        notices: &[(ConversationId, UserId)],
    ) -> Result<Vec<Destination>, StoreError> {
        self.within(async {
            let sql = concat!(
                "SELECT ",
                destination!(),
                " FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted(conversation_id, user_id)
                  JOIN conversation_participants p USING (conversation_id, user_id)
                  JOIN conversations c ON c.id = p.conversation_id"
            );
            let (conversations, people): (Vec<Uuid>, Vec<Uuid>) = notices.iter().copied().unzip();
            let found = rows(&self.client().await?, sql, &[&conversations, &people]).await?;
            found.iter().map(destination).collect()
        })
        .await
    }

    /// Those of these messages that Postgres has, deleted ones included.
    pub async fn known_messages(
        &self,
        ids: &[MessageId],
    ) -> Result<HashSet<MessageId>, StoreError> {
        self.within(async {
            let sql = "SELECT id FROM messages WHERE id = ANY($1)";
            let found = rows(&self.client().await?, sql, &[&ids]).await?;
            found.iter().map(|row| Ok(row.try_get("id")?)).collect()
        })
        .await
    }

    /// Takes over profiles, each named once, where nothing later was said.
    pub async fn tell_profiles(&self, told: &[ToldProfile]) -> Result<(), StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let ids: Vec<UserId> = told.iter().map(|t| t.user_id).collect();
            users::ensure_stubs(&tx, &ids).await?;
            let names: Vec<&str> = told.iter().map(|t| t.display_name.as_str()).collect();
            let sets: Vec<bool> = told.iter().map(|t| t.avatar_url.is_some()).collect();
            let avatars: Vec<Option<&str>> = told.iter().map(|t| inner(&t.avatar_url)).collect();
            let times: Vec<Timestamp> = told.iter().map(|t| t.told_at).collect();
            let sql = "
                WITH d AS (
                    SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::boolean[], $4::text[], $5::timestamptz[])
                        AS t(id, name, sets_avatar, avatar, told_at)
                ), locked AS MATERIALIZED (
                    SELECT u.id FROM users u JOIN d USING (id) ORDER BY u.id FOR NO KEY UPDATE OF u
                )
                UPDATE users u
                SET display_name = d.name, told_at = d.told_at, updated_at = $6,
                    avatar_url = CASE WHEN d.sets_avatar THEN d.avatar ELSE u.avatar_url END
                FROM d JOIN locked USING (id)
                WHERE u.id = d.id AND (u.told_at IS NULL OR u.told_at <= d.told_at)";
            execute(&tx, sql, &[&ids, &names, &sets, &avatars, &times, &self.now()]).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Takes over descriptions of contexts, each named once, where nothing later was said. Where what conversations
    /// show has changed they have to be told; see [`Store::announce_contexts`].
    pub async fn tell_contexts(&self, told: &[ToldContext]) -> Result<(), StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            let kinds: Vec<&str> = told.iter().map(|t| t.kind.as_str()).collect();
            let ids: Vec<Uuid> = told.iter().map(|t| t.id).collect();
            let sql = "INSERT INTO contexts (type, id)
                       SELECT type, id FROM UNNEST($1::text[], $2::uuid[]) AS new(type, id)
                       ORDER BY type, id ON CONFLICT DO NOTHING";
            execute(&tx, sql, &[&kinds, &ids]).await?;
            let titles: Vec<&str> = told.iter().map(|t| t.title.as_str()).collect();
            let owners: Vec<Option<Uuid>> = told.iter().map(|t| t.owner_id).collect();
            let sets_image: Vec<bool> = told.iter().map(|t| t.image_url.is_some()).collect();
            let images: Vec<Option<&str>> = told.iter().map(|t| inner(&t.image_url)).collect();
            let sets_url: Vec<bool> = told.iter().map(|t| t.url.is_some()).collect();
            let urls: Vec<Option<&str>> = told.iter().map(|t| inner(&t.url)).collect();
            let times: Vec<Timestamp> = told.iter().map(|t| t.told_at).collect();
            let tellers: Vec<Uuid> = told.iter().map(|t| t.told_by).collect();
            let sql = "
                WITH d AS (
                    SELECT * FROM UNNEST($1::text[], $2::uuid[], $3::text[], $4::uuid[], $5::boolean[],
                        $6::text[], $7::boolean[], $8::text[], $9::timestamptz[], $11::uuid[])
                        AS t(type, id, title, owner_id, sets_image, image_url, sets_url, url, told_at, told_by)
                ), locked AS MATERIALIZED (
                    SELECT x.type, x.id FROM contexts x JOIN d USING (type, id)
                    ORDER BY x.type, x.id FOR NO KEY UPDATE OF x
                )
                UPDATE contexts x
                SET title = d.title, owner_id = COALESCE(d.owner_id, x.owner_id),
                    image_url = CASE WHEN d.sets_image THEN d.image_url ELSE x.image_url END,
                    url = CASE WHEN d.sets_url THEN d.url ELSE x.url END,
                    told_at = d.told_at, told_by = d.told_by, updated_at = $10,
                    announcing = CASE
                        WHEN x.title IS NOT DISTINCT FROM d.title
                            AND (NOT d.sets_image OR x.image_url IS NOT DISTINCT FROM d.image_url)
                            AND (NOT d.sets_url OR x.url IS NOT DISTINCT FROM d.url)
                        THEN x.announcing
                        ELSE '00000000-0000-0000-0000-000000000000'::uuid END
                FROM d JOIN locked USING (type, id)
                WHERE x.type = d.type AND x.id = d.id
                  AND (x.told_at IS NULL OR x.told_at <= d.told_at)";
            execute(
                &tx,
                sql,
                &[
                    &kinds,
                    &ids,
                    &titles,
                    &owners,
                    &sets_image,
                    &images,
                    &sets_url,
                    &urls,
                    &times,
                    &self.now(),
                    &tellers,
                ],
            )
            .await?;
            Ok(tx.commit().await?)
        })
        .await
    }
}

fn inner(field: &Option<Option<String>>) -> Option<&str> {
    field.as_ref().and_then(Option::as_deref)
}
