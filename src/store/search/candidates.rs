//! Messages that may answer a query, the newest first.
//!
//! Two ways lead to them. A word that few messages have is looked up: an entry for each conversation of the asker. Of a word
//! that many have, the newest messages of each conversation are looked through instead: they hold enough of it, and reading
//! all of its entries would take longer the longer people write. Both end at a place in the log above which nothing is
//! missing, so that the next page goes on there.

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};
use uuid::Uuid;

use crate::domain::ids::{ConversationId, Seq, UserId};
use crate::domain::message::MessageType;

use super::{Searched, Store, StoreError, mark, rows, signed, stretch, unsigned};

/// What is said of messages beside their words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    pub sender: Option<UserId>,
    pub kind: Option<MessageType>,
    /// The earliest and the latest time of sending, both included.
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// Any of these words; one with `true` also as the beginning of a word.
pub type Needle = Vec<(String, bool)>;

/// What to look for.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    pub conversations: &'a [Searched],
    pub filter: Filter,
    /// Words that a message has all of, the rarest first. There is at least one.
    pub needles: &'a [Needle],
    /// Have more messages all of them than are worth being looked up?
    pub is_common: bool,
    /// Candidates of one look at most. Each is read and compared: 2 ms for 500.
    pub window: usize,
    /// For a common word: messages that are looked through at most, in all conversations together.
    pub look_through: u64,
    /// Places in the log: this one and behind, up to before that one. A `low` of 0 is not known yet.
    pub low: Seq,
    pub high: Seq,
}

/// A message to compare with the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub conversation_id: ConversationId,
    pub seq: Seq,
    pub content: String,
    pub created_at: Timestamp,
}

/// The newest candidates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    pub candidates: Vec<Candidate>,
    /// From here on nothing is missing; 1 when there is nothing more at all.
    pub low: Seq,
    /// Are there messages among them that are not indexed yet? Nothing is known of their words.
    pub is_behind: bool,
}

/// Words of a query that are looked up: the rarest leave few messages for the others.
pub const NEEDLES: usize = 3;
/// Messages that are not indexed yet and are looked through, in all and of one conversation.
const BEHIND: i64 = 1_000;
const BEHIND_OF_ONE: i64 = 100;
/// The server gives up after this: a search is worth no more of the database than that.
pub(super) const PATIENCE: &str = "SET LOCAL statement_timeout = '2s'; SET LOCAL enable_seqscan = off; SET LOCAL work_mem = '16MB'";

/// What every way ends with; tombstones and what has vanished are not read. `$1` to `$7`: sender, type, times, now, and
/// from where to where in the log.
macro_rules! compared {
    ($($hits:expr),+) => {
        concat!(
            "WITH hits AS MATERIALIZED (",
            $($hits,)+
            ") SELECT h.conversation_id, h.seq, m.content, m.created_at
               FROM hits h LEFT JOIN messages m
                 ON m.conversation_id = h.conversation_id AND m.seq = h.seq
                AND m.deleted_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > $5)
               ORDER BY h.seq DESC"
        )
    };
}

/// What is said of a message, or of its entry, `s`.
macro_rules! filtered {
    () => {
        "(($1::uuid IS NULL OR s.sender_id = $1) AND ($2::text IS NULL OR s.type = $2)
          AND ($3::timestamptz IS NULL OR s.created_at >= $3)
          AND ($4::timestamptz IS NULL OR s.created_at <= $4))"
    };
}

/// A look-up in each conversation: one for all of them at once compares each hit with all of the others. `OFFSET 0` keeps
/// what follows out of the look-up, which otherwise would begin with all messages of the stretch.
const RARE: &str = compared!(
    "SELECT s.conversation_id, s.seq FROM UNNEST($9::text[]) AS c(words)
     CROSS JOIN LATERAL (
         SELECT * FROM message_search WHERE words @@ c.words::tsquery OFFSET 0) AS s
     WHERE s.seq >= $6 AND s.seq < $7 AND ",
    filtered!(),
    " ORDER BY s.seq DESC LIMIT $8"
);

/// All messages of a stretch. The first `OFFSET 0`: a query is read once for a conversation, and not for each message of it,
/// which takes as long as the message. The second: as above.
const COMMON: &str = compared!(
    "SELECT s.conversation_id, s.seq
     FROM (SELECT id, words::tsquery AS words FROM UNNEST($9::text[], $10::uuid[]) AS u(words, id) OFFSET 0) AS c
     CROSS JOIN LATERAL (
         SELECT * FROM message_search e
         WHERE e.conversation_id = c.id AND e.seq >= $6 AND e.seq < $7 OFFSET 0) AS s
     WHERE s.words @@ c.words AND ",
    filtered!(),
    " ORDER BY s.seq DESC LIMIT $8"
);

/// What is not indexed yet: messages behind the place of the index, and older ones that were changed behind it.
const NEW: &str = compared!(
    "WITH at AS MATERIALIZED (SELECT last_seq FROM progress WHERE name = 'search')
     SELECT s.conversation_id, s.seq FROM (
         SELECT s.* FROM at
         JOIN conversations c ON c.id = ANY($9) AND c.last_message_seq > at.last_seq
         CROSS JOIN LATERAL (
             SELECT m.conversation_id, m.seq, m.sender_id, m.type, m.created_at FROM messages m
             WHERE m.conversation_id = c.id AND m.seq > at.last_seq
             ORDER BY m.seq DESC LIMIT $10) AS s
         UNION
         SELECT m.conversation_id, m.seq, m.sender_id, m.type, m.created_at FROM at
         JOIN LATERAL (
             SELECT d.conversation_id, d.message_seq FROM message_changes d
             WHERE d.seq > at.last_seq ORDER BY d.seq DESC LIMIT $8) AS d ON d.conversation_id = ANY($9)
         JOIN messages m ON m.conversation_id = d.conversation_id AND m.seq = d.message_seq
     ) AS s WHERE s.seq >= $6 AND s.seq < $7 AND ",
    filtered!(),
    " ORDER BY s.seq DESC LIMIT $8"
);

impl Store {
    /// The newest candidates of what is asked.
    ///
    /// # Errors
    /// As every statement; [`StoreError::Unavailable`] also when it takes too long.
    pub async fn candidates(&self, asked: &Asked<'_>) -> Result<Found, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            // Seen at one moment: what is indexed between two statements would be found by neither.
            let moment = IsolationLevel::RepeatableRead;
            let tx = client.build_transaction().isolation_level(moment).read_only(true);
            let tx = tx.start().await?;
            tx.batch_execute(PATIENCE).await?;
            let stretch = if asked.is_common {
                let Asked { conversations, low, high, look_through, .. } = *asked;
                stretch::beginning(&tx, conversations, low, high, look_through).await?
            } else {
                asked.low
            };
            let (low, high) = (signed(stretch), signed(asked.high));
            let now = self.now();
            let kind = asked.filter.kind.map(MessageType::as_str);
            let Filter { sender, from, to, .. } = asked.filter;
            let shared: [&(dyn ToSql + Sync); 7] = [&sender, &kind, &from, &to, &now, &low, &high];
            let ids: Vec<Uuid> = asked.conversations.iter().map(|one| one.id).collect();
            let new = with(&shared, &[&BEHIND, &ids, &BEHIND_OF_ONE]);
            // The others have nothing there.
            let there = || asked.conversations.iter().filter(|one| one.last >= stretch);
            let words = words(asked, there());
            let of: Vec<Uuid> = there().map(|one| one.id).collect();
            // Of a stretch none is left out: twice as many are there at most.
            let most = if asked.is_common { 2 * asked.look_through } else { asked.window as u64 };
            let most = signed(most);
            let mut params = with(&shared, &[&most, &words]);
            if asked.is_common {
                params.push(&of);
            }
            let sql = if asked.is_common { COMMON } else { RARE };
            let (found, new) = tokio::try_join!(rows(&tx, sql, &params), rows(&tx, NEW, &new))?;
            let filled = if asked.is_common { None } else { full(asked.window, &found)? };
            let low = filled.unwrap_or(stretch);
            tx.commit().await?;
            gathered(asked, &found, &new, low.max(1))
        })
        .await
    }
}

fn with<'a>(
    shared: &[&'a (dyn ToSql + Sync)],
    more: &[&'a (dyn ToSql + Sync)],
) -> Vec<&'a (dyn ToSql + Sync)> {
    shared.iter().chain(more).copied().collect()
}

/// The place of the last, if there were as many as there could be.
fn full(window: usize, found: &[Row]) -> Result<Option<Seq>, StoreError> {
    found.get(window - 1).map(|row| unsigned(row, "seq")).transpose()
}

fn gathered(asked: &Asked<'_>, found: &[Row], new: &[Row], low: Seq) -> Result<Found, StoreError> {
    let mut candidates = std::collections::BTreeMap::new();
    let own: std::collections::HashSet<Uuid> =
        asked.conversations.iter().map(|one| one.id).collect();
    for row in found.iter().chain(new) {
        let conversation_id: Uuid = row.try_get("conversation_id")?;
        let seq = unsigned(row, "seq")?;
        let content: Option<String> = row.try_get("content")?;
        let Some(content) = content else { continue };
        // Another conversation may have the same digits.
        if seq < low || !own.contains(&conversation_id) {
            continue;
        }
        let created_at = row.try_get("created_at")?;
        candidates.insert(
            (seq, conversation_id),
            Candidate { conversation_id, seq, content, created_at },
        );
    }
    let candidates = candidates.into_values().rev().collect();
    Ok(Found { candidates, low, is_behind: !new.is_empty() })
}

/// Words are letters and digits: nothing in them means anything to the database.
fn lexeme(mark: &str, word: &str, is_prefix: bool) -> String {
    format!("'{mark}{word}'{}", if is_prefix { ":*" } else { "" })
}

/// What is looked for in each of some conversations, in the language of the index.
fn words<'a>(asked: &Asked<'_>, within: impl IntoIterator<Item = &'a Searched>) -> Vec<String> {
    let words = |one: &Searched| {
        let mark = mark(one.id);
        let needle = |needle: &Needle| {
            let any = needle.iter().map(|(word, is_prefix)| lexeme(&mark, word, *is_prefix));
            format!("({})", any.collect::<Vec<_>>().join("|"))
        };
        asked.needles.iter().take(NEEDLES).map(needle).collect::<Vec<_>>().join("&")
    };
    within.into_iter().map(words).collect()
}
