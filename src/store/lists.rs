//! A user's own list of conversations, and what is unread in it.
//!
//! Pages are sorted from all conversations of one user: the order changes with every message, so that an
//! index on it would be rewritten by every message. It grows with that user's conversations only.

use jiff::Timestamp;
use tokio_postgres::types::ToSql;

use crate::domain::conversation::{ContextType, ConversationType, View};
use crate::domain::ids::{ConversationId, UserId};

use super::{Store, StoreError, conversations, row, rows, signed, unsigned};

/// Which conversations to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub archived: bool,
    pub kind: Option<ConversationType>,
    pub context: Option<ContextType>,
    /// Part of the title, of the context's title, or of another participant's name.
    pub text: Option<String>,
}

/// Where in the list to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// A page by number, from 1.
    Page(u32),
    /// Behind this place.
    Behind(ListKey),
}

/// The place of a conversation in the list: pinned first, then the newest activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListKey {
    pub pinned: bool,
    /// Of the last message, or of the creation where there is none.
    pub active_at: Timestamp,
    pub id: ConversationId,
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub views: Vec<View>,
    /// How many the filter lets through in all.
    pub total: u64,
    /// The place of the last one, if there are more behind it.
    pub next: Option<ListKey>,
}

/// What waits to be read, muted conversations apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    pub total: u64,
    /// In how many conversations.
    pub conversations: u64,
}

/// Rows of the list; `$1` to `$5` are user, archived, type, context and text. Names are not looked for in
/// communities: they have too many people for that to mean anything.
macro_rules! listed {
    () => {
        "FROM conversation_participants p
         JOIN conversations c ON c.id = p.conversation_id
         LEFT JOIN contexts x ON x.type = c.context_type AND x.id = c.context_id
         WHERE p.user_id = $1 AND p.is_archived = $2
           AND ($3::text IS NULL OR c.type = $3)
           AND ($4::text IS NULL OR c.context_type = $4)
           AND ($5::text IS NULL OR c.title ILIKE $5 OR COALESCE(x.title, c.context_title) ILIKE $5
                OR (c.type <> 'community' AND EXISTS (
                    SELECT FROM conversation_participants o JOIN users u ON u.id = o.user_id
                    WHERE o.conversation_id = c.id AND o.user_id <> $1 AND u.display_name ILIKE $5)))"
    };
}

impl Store {
    /// The user's conversations, at most `limit` of them.
    pub async fn list(
        &self,
        user: UserId,
        filter: &Filter,
        from: From,
        limit: u32,
        now: Timestamp,
    ) -> Result<Listing, StoreError> {
        let page = concat!(
            "SELECT c.id, p.is_pinned, COALESCE(c.last_message_at, c.created_at) AS active_at ",
            listed!(),
            " AND ($6::timestamptz IS NULL
                   OR (p.is_pinned, COALESCE(c.last_message_at, c.created_at), c.id) < ($7::boolean, $6, $8::uuid))
              ORDER BY p.is_pinned DESC, active_at DESC, c.id DESC OFFSET $9 LIMIT $10"
        );
        let count = concat!("SELECT count(*) AS total ", listed!());
        self.within(async {
            let kind = filter.kind.map(ConversationType::as_str);
            let context = filter.context.map(ContextType::as_str);
            let text = filter.text.as_deref().map(containing);
            let (offset, behind) = match from {
                From::Page(page) => (i64::from(page.saturating_sub(1)) * i64::from(limit), None),
                From::Behind(key) => (0, Some(key)),
            };
            let active_at = behind.map(|key| key.active_at);
            let (pinned, id) = (behind.map(|key| key.pinned), behind.map(|key| key.id));
            let one_more = signed(u64::from(limit) + 1);
            let counted: [&(dyn ToSql + Sync); 5] =
                [&user, &filter.archived, &kind, &context, &text];
            let paged: [&(dyn ToSql + Sync); 10] = [
                &user,
                &filter.archived,
                &kind,
                &context,
                &text,
                &active_at,
                &pinned,
                &id,
                &offset,
                &one_more,
            ];
            let client = self.client().await?;
            let (found, total) =
                tokio::try_join!(rows(&client, page, &paged), row(&client, count, &counted))?;
            let keys = found
                .iter()
                .map(|row| {
                    Ok(ListKey {
                        pinned: row.try_get("is_pinned")?,
                        active_at: row.try_get("active_at")?,
                        id: row.try_get("id")?,
                    })
                })
                .collect::<Result<Vec<_>, StoreError>>()?;
            let limit = limit as usize;
            let next = (keys.len() > limit).then(|| keys.get(limit.saturating_sub(1)).copied());
            let ids: Vec<ConversationId> = keys.iter().take(limit).map(|key| key.id).collect();
            Ok(Listing {
                views: conversations::views(&client, user, &ids, now).await?,
                total: total.map_or(Ok(0), |row| unsigned(&row, "total"))?,
                next: next.flatten(),
            })
        })
        .await
    }

    /// What waits to be read in all conversations of a user that are not muted now.
    pub async fn unread(&self, user: UserId, now: Timestamp) -> Result<Unread, StoreError> {
        self.within(async {
            let sql = "SELECT COALESCE(sum(unread), 0)::bigint AS total,
                              count(*) FILTER (WHERE unread > 0) AS conversations
                       FROM (SELECT GREATEST(c.message_count - GREATEST(p.last_read_counter, c.removed_through), 0) AS unread
                             FROM conversation_participants p JOIN conversations c ON c.id = p.conversation_id
                             WHERE p.user_id = $1
                               AND NOT (p.is_muted AND (p.muted_until IS NULL OR p.muted_until > $2))) AS own";
            match row(&self.client().await?, sql, &[&user, &now]).await? {
                None => Ok(Unread { total: 0, conversations: 0 }),
                Some(row) => Ok(Unread {
                    total: unsigned(&row, "total")?,
                    conversations: unsigned(&row, "conversations")?,
                }),
            }
        })
        .await
    }
}

/// A pattern that finds text literally.
fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_in_a_search_are_taken_literally() {
        assert_eq!(containing(r"50%_\o"), r"%50\%\_\\o%");
    }
}
