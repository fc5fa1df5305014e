//! Rows of messages, many in one statement.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::message::{Message, ReplyPreview};
use crate::store::{StoreError, execute, signed};

use super::Counted;

/// Inserts the messages with their counters and returns how many were new.
pub async fn messages(
    tx: &Transaction<'_>,
    messages: &[&Message],
    counted: &Counted,
) -> Result<u64, StoreError> {
    fn all<'a, T>(messages: &[&'a Message], field: impl Fn(&'a Message) -> T) -> Vec<T> {
        messages.iter().map(|m| field(m)).collect()
    }
    let conversations: Vec<Uuid> = all(messages, |m| m.conversation_id);
    let seqs: Vec<i64> = all(messages, |m| signed(m.seq));
    let ids: Vec<Uuid> = all(messages, |m| m.id);
    let senders: Vec<Uuid> = all(messages, |m| m.sender_id);
    let names: Vec<Option<&str>> = all(messages, |m| m.sender_name.as_deref());
    let kinds: Vec<&str> = all(messages, |m| m.kind.as_str());
    let contents: Vec<&str> = all(messages, |m| m.content.as_str());
    let quoted: Vec<Option<Uuid>> = all(messages, |m| m.reply_to_message_id);
    let quotes: Vec<Option<String>> = all(messages, |m| m.reply_to.as_ref().map(quote));
    let metadata: Vec<&str> = all(messages, |m| m.metadata.as_str());
    let mentions: Vec<String> = all(messages, |m| array(&m.mentions));
    let client_ids: Vec<Option<&str>> = all(messages, |m| m.client_message_id.as_deref());
    let expiries: Vec<Option<Timestamp>> = all(messages, |m| m.expires_at);
    let created: Vec<Timestamp> = all(messages, |m| m.created_at);
    // Arrays of arrays must be rectangular in Postgres, so mentions travel as text.
    let sql = "
        INSERT INTO messages (conversation_id, seq, id, counter, sender_id, sender_name, type, content,
            reply_to_message_id, reply_to, metadata, mentions, client_message_id, expires_at,
            created_at, updated_at)
        SELECT conversation_id, seq, id, counter, sender_id, sender_name, type, content,
            reply_to_message_id, reply_to::jsonb, metadata::jsonb, mentions::uuid[],
            client_message_id, expires_at, created_at, created_at
        FROM UNNEST($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::uuid[], $6::text[],
            $7::text[], $8::text[], $9::uuid[], $10::text[], $11::text[], $12::text[], $13::text[],
            $14::timestamptz[], $15::timestamptz[])
            AS t(conversation_id, seq, id, counter, sender_id, sender_name, type, content,
                reply_to_message_id, reply_to, metadata, mentions, client_message_id, expires_at,
                created_at)
        ON CONFLICT DO NOTHING";
    let counters = &counted.counters;
    execute(
        tx,
        sql,
        &[
            &conversations,
            &seqs,
            &ids,
            counters,
            &senders,
            &names,
            &kinds,
            &contents,
            &quoted,
            &quotes,
            &metadata,
            &mentions,
            &client_ids,
            &expiries,
            &created,
        ],
    )
    .await
}

/// The stored form of a quoted message; `messages::QUOTE` reads it.
fn quote(reply: &ReplyPreview) -> String {
    serde_json::json!({
        "id": reply.id,
        "senderId": reply.sender_id,
        "type": reply.kind.as_str(),
        "content": reply.content,
    })
    .to_string()
}

/// `{a,b}`: UUIDs need no quoting.
fn array(ids: &[Uuid]) -> String {
    let mut text = String::with_capacity(2 + ids.len() * 37);
    text.push('{');
    for (at, id) in ids.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_ids_are_postgres_literals() {
        assert_eq!(array(&[]), "{}");
        let id = Uuid::nil();
        assert_eq!(array(&[id, id]), format!("{{{id},{id}}}"));
    }
}
