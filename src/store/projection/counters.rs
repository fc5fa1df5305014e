//! The dense counter of each conversation, and the read markers that follow from sending and joining.
//!
//! Rows are taken in the order (conversation, user), as everyone does who updates several.

use std::collections::{BTreeMap, HashSet};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::ids::Seq;
use crate::domain::message::Message;
use crate::store::{StoreError, execute, rows, signed};

use super::{ConversationChange, Counted, ProjectionError, behind, by_conversation};

/// Raises the counters of the conversations and gives each message its own.
pub async fn advance(
    tx: &Transaction<'_>,
    messages: &[&Message],
) -> Result<Counted, ProjectionError> {
    let groups = by_conversation(messages);
    let mut ids: Vec<Uuid> = groups.keys().copied().collect();
    ids.sort_unstable();
    let last = |id: &Uuid| messages[groups[id][groups[id].len() - 1]];
    let counts: Vec<i64> = ids.iter().map(|id| groups[id].len() as i64).collect();
    let seqs: Vec<i64> = ids.iter().map(|id| signed(last(id).seq)).collect();
    let last_ids: Vec<Uuid> = ids.iter().map(|id| last(id).id).collect();
    let times: Vec<Timestamp> = ids.iter().map(|id| last(id).created_at).collect();
    let sql = "
        WITH locked AS MATERIALIZED (
            SELECT c.id FROM conversations c WHERE c.id = ANY($1) ORDER BY c.id FOR NO KEY UPDATE
        )
        UPDATE conversations c
        SET message_count = c.message_count + d.n, last_message_seq = d.seq,
            last_message_id = d.message_id, last_message_at = d.at
        FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::timestamptz[])
            AS d(id, n, seq, message_id, at)
        JOIN locked USING (id)
        WHERE c.id = d.id
        RETURNING c.id, c.message_count";
    let updated = rows(tx, sql, &[&ids, &counts, &seqs, &last_ids, &times]).await?;
    if updated.len() < ids.len() {
        let mut unknown: HashSet<Uuid> = ids.into_iter().collect();
        for row in &updated {
            unknown.remove(&row.try_get::<_, Uuid>("id")?);
        }
        return Err(ProjectionError::UnknownConversations(unknown));
    }
    let mut counters = vec![0; messages.len()];
    for row in &updated {
        let group = &groups[&row.try_get::<_, Uuid>("id")?];
        let total: i64 = row.try_get("message_count")?;
        for (place, at) in group.iter().enumerate() {
            counters[*at] = total - (group.len() - 1 - place) as i64;
        }
    }
    Ok(Counted { counters })
}

/// Sending marks what came before as read: the sender's marker moves to the own message.
pub async fn mark_senders(
    tx: &Transaction<'_>,
    messages: &[&Message],
    counted: &Counted,
) -> Result<(), StoreError> {
    // The last message of each sender in each conversation; the map sorts by (conversation, user).
    let mut last: BTreeMap<(Uuid, Uuid), usize> = BTreeMap::new();
    for (at, message) in messages.iter().enumerate() {
        last.insert((message.conversation_id, message.sender_id), at);
    }
    let conversations: Vec<Uuid> = last.keys().map(|(conversation, _)| *conversation).collect();
    let users: Vec<Uuid> = last.keys().map(|(_, user)| *user).collect();
    let seqs: Vec<i64> = last.values().map(|at| signed(messages[*at].seq)).collect();
    let counters: Vec<i64> = last.values().map(|at| counted.counters[*at]).collect();
    let ids: Vec<Uuid> = last.values().map(|at| messages[*at].id).collect();
    let times: Vec<Timestamp> = last.values().map(|at| messages[*at].created_at).collect();
    let sql = "
        WITH d AS (
            SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::uuid[],
                $6::timestamptz[]) AS t(conversation_id, user_id, seq, counter, message_id, at)
        ), locked AS MATERIALIZED (
            SELECT p.conversation_id, p.user_id
            FROM conversation_participants p JOIN d USING (conversation_id, user_id)
            ORDER BY p.conversation_id, p.user_id FOR NO KEY UPDATE OF p
        )
        UPDATE conversation_participants p
        SET last_read_seq = d.seq, last_read_counter = GREATEST(p.last_read_counter, d.counter),
            last_read_message_id = d.message_id, last_read_at = d.at
        FROM d JOIN locked USING (conversation_id, user_id)
        WHERE p.conversation_id = d.conversation_id AND p.user_id = d.user_id
          AND p.last_read_seq < d.seq";
    execute(tx, sql, &[&conversations, &users, &seqs, &counters, &ids, &times]).await?;
    Ok(())
}

/// What a batch says of somebody's coming to a conversation.
#[derive(Default)]
struct Coming {
    /// The first announcement that they came, since they last went.
    joined: Option<Seq>,
    /// They went before: what was known of their coming is of an earlier time.
    anew: bool,
}

/// What came before somebody joined is not unread for them, although it may have been written to Postgres after
/// their row was. The first announcement counts: it may have been stored again later. After somebody has left it is the
/// first one behind that.
pub async fn mark_joined(
    tx: &Transaction<'_>,
    changes: &[ConversationChange],
    messages: &[&Message],
) -> Result<(), StoreError> {
    // The map sorts by (conversation, user).
    let mut comings: BTreeMap<(Uuid, Uuid), Coming> = BTreeMap::new();
    for change in changes {
        let Some(came) = change.gained else { continue };
        for user in &change.users {
            let coming = comings.entry((change.conversation_id, *user)).or_default();
            if came {
                coming.joined.get_or_insert(change.seq);
            } else {
                *coming = Coming { joined: None, anew: true };
            }
        }
    }
    if comings.is_empty() {
        return Ok(());
    }
    let conversations: Vec<Uuid> = comings.keys().map(|(conversation, _)| *conversation).collect();
    let users: Vec<Uuid> = comings.keys().map(|(_, user)| *user).collect();
    let seqs: Vec<i64> = comings.values().map(|c| c.joined.map_or(0, signed)).collect();
    let anew: Vec<bool> = comings.values().map(|c| c.anew).collect();
    let later: Vec<i64> = comings
        .iter()
        .map(|((conversation, _), c)| {
            c.joined.map_or(0, |seq| behind(messages, *conversation, seq))
        })
        .collect();
    let sql = "
        WITH d AS (
            SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::boolean[])
                AS t(conversation_id, user_id, later, seq, anew)
        ), locked AS MATERIALIZED (
            SELECT p.conversation_id, p.user_id
            FROM conversation_participants p JOIN d USING (conversation_id, user_id)
            ORDER BY p.conversation_id, p.user_id FOR NO KEY UPDATE OF p
        )
        UPDATE conversation_participants p
        SET joined_seq = d.seq,
            last_read_counter = CASE WHEN d.seq = 0 THEN p.last_read_counter
                ELSE GREATEST(p.last_read_counter, c.message_count - d.later) END
        FROM d JOIN locked USING (conversation_id, user_id)
        JOIN conversations c ON c.id = d.conversation_id
        WHERE p.conversation_id = d.conversation_id AND p.user_id = d.user_id
          AND (p.joined_seq = 0 OR d.anew)";
    execute(tx, sql, &[&conversations, &users, &later, &seqs, &anew]).await?;
    Ok(())
}
