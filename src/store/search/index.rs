//! Writing the index: behind the projection, in the order of the log.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::ids::{ConversationId, Seq};
use crate::domain::search::words;

use super::{Store, StoreError, execute, mark, row, rows, signed, unsigned};

/// Words of one message that are found. Postgres holds a megabyte of them, and this many of the longest are 660 kB.
const MAX_WORDS: usize = 4_000;

/// How far a step has brought the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexed {
    /// The index has everything up to here.
    pub through: Seq,
    /// The projection has everything up to here.
    pub persisted: Seq,
}

/// A message as it is to be found; without words when it is a tombstone.
struct Entry {
    conversation_id: ConversationId,
    seq: i64,
    sender_id: Uuid,
    kind: String,
    created_at: Timestamp,
    words: BTreeSet<String>,
}

impl Store {
    /// Indexes the next messages and changes of messages, at most `limit` of each, and moves the place of the index, all
    /// or nothing. Several at once take turns.
    ///
    /// # Errors
    /// As every statement; nothing was indexed then.
    pub async fn index_next(&self, limit: u32) -> Result<Indexed, StoreError> {
        self.within(async {
            let mut client = self.client().await?;
            let before = places(&client).await?;
            if before.through >= before.persisted {
                return Ok(before);
            }
            let tx = client.transaction().await?;
            let from = hold(&tx).await?;
            let persisted = places(&tx).await?.persisted;
            let (fresh, through) = fresh(&tx, from, persisted, limit).await?;
            let (changed, through) = changed(&tx, from, through, limit).await?;
            let mut entries = fresh;
            entries.retain(|entry| entry.seq <= signed(through));
            entries.extend(entries_at(&tx, &changed).await?);
            put(&tx, &entries).await?;
            // Messages of which there is not even a tombstone any more.
            let there = entries.iter().map(|entry| (entry.conversation_id, entry.seq)).collect();
            forget(&tx, &changed.difference(&there).copied().collect()).await?;
            let sql = "UPDATE progress SET last_seq = $1 WHERE name = 'search'";
            execute(&tx, sql, &[&signed(through)]).await?;
            tx.commit().await?;
            Ok(Indexed { through, persisted })
        })
        .await
    }
}

async fn places(client: &impl GenericClient) -> Result<Indexed, StoreError> {
    let sql = "SELECT s.last_seq AS through, p.last_seq AS persisted
               FROM progress s, progress p WHERE s.name = 'search' AND p.name = 'persist'";
    let found = row(client, sql, &[]).await?;
    let row = found.ok_or_else(|| StoreError::bug("the progress row is missing"))?;
    Ok(Indexed { through: unsigned(&row, "through")?, persisted: unsigned(&row, "persisted")? })
}

/// Whoever writes the index holds its place: what one reads of a message is never written behind what another has read
/// later.
pub(super) async fn hold(tx: &Transaction<'_>) -> Result<Seq, StoreError> {
    let sql = "SELECT last_seq FROM progress WHERE name = 'search' FOR UPDATE";
    let found = row(tx, sql, &[]).await?;
    unsigned(&found.ok_or_else(|| StoreError::bug("the progress row is missing"))?, "last_seq")
}

/// Messages of a stretch of the log, and how far it reaches.
async fn fresh(
    tx: &Transaction<'_>,
    from: Seq,
    until: Seq,
    limit: u32,
) -> Result<(Vec<Entry>, Seq), StoreError> {
    let sql = "SELECT conversation_id, seq, sender_id, type, created_at, content, deleted_at
               FROM messages WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3";
    let found = rows(tx, sql, &[&signed(from), &signed(until), &i64::from(limit)]).await?;
    let through = end(&found, "seq", limit, until)?;
    Ok((found.iter().map(entry).collect::<Result<_, _>>()?, through))
}

/// Where messages were changed in a stretch of the log, and how far it reaches.
async fn changed(
    tx: &Transaction<'_>,
    from: Seq,
    until: Seq,
    limit: u32,
) -> Result<(BTreeSet<(Uuid, i64)>, Seq), StoreError> {
    let sql = "SELECT seq, conversation_id, message_seq FROM message_changes
               WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3";
    let found = rows(tx, sql, &[&signed(from), &signed(until), &i64::from(limit)]).await?;
    let through = end(&found, "seq", limit, until)?;
    let mut places = BTreeSet::new();
    for row in &found {
        places.insert((row.try_get("conversation_id")?, row.try_get("message_seq")?));
    }
    Ok((places, through))
}

fn end(found: &[Row], column: &str, limit: u32, until: Seq) -> Result<Seq, StoreError> {
    match found.last() {
        Some(last) if found.len() >= limit as usize => unsigned(last, column),
        _ => Ok(until),
    }
}

async fn entries_at(
    tx: &Transaction<'_>,
    places: &BTreeSet<(Uuid, i64)>,
) -> Result<Vec<Entry>, StoreError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let (conversations, seqs): (Vec<Uuid>, Vec<i64>) = places.iter().copied().unzip();
    let sql = "SELECT m.conversation_id, m.seq, m.sender_id, m.type, m.created_at, m.content, m.deleted_at
               FROM UNNEST($1::uuid[], $2::bigint[]) AS wanted(conversation_id, seq)
               JOIN messages m USING (conversation_id, seq)";
    rows(tx, sql, &[&conversations, &seqs]).await?.iter().map(entry).collect()
}

/// Brings the entries of a stretch of the log in line with its messages; returns how far it came.
pub(super) async fn renew(
    tx: &Transaction<'_>,
    from: Seq,
    until: Seq,
    limit: u32,
) -> Result<Seq, StoreError> {
    let (entries, through) = fresh(tx, from, until, limit).await?;
    put(tx, &entries).await?;
    Ok(through)
}

fn entry(row: &Row) -> Result<Entry, StoreError> {
    let is_buried = row.try_get::<_, Option<Timestamp>>("deleted_at")?.is_some();
    let words = if is_buried { BTreeSet::new() } else { words::distinct(row.try_get("content")?) };
    Ok(Entry {
        conversation_id: row.try_get("conversation_id")?,
        seq: row.try_get("seq")?,
        sender_id: row.try_get("sender_id")?,
        kind: row.try_get("type")?,
        created_at: row.try_get("created_at")?,
        words: words.into_iter().take(MAX_WORDS).collect(),
    })
}

/// Writes entries and the vocabulary with them. What has not changed is not touched.
async fn put(tx: &Transaction<'_>, entries: &[Entry]) -> Result<(), StoreError> {
    // Of a message that comes twice, the last: it was read last.
    let entries: BTreeMap<(Uuid, i64), &Entry> =
        entries.iter().map(|entry| ((entry.conversation_id, entry.seq), entry)).collect();
    let places: BTreeSet<(Uuid, i64)> = entries.keys().copied().collect();
    let known = known(tx, &places).await?;
    let mut counts = Counts::default();
    let mut outdated = BTreeSet::new();
    let mut written = Vec::new();
    for (place, entry) in &entries {
        let before = known.get(place);
        if before.map_or(entry.words.is_empty(), |before| *before == entry.words) {
            continue;
        }
        if let Some(before) = before {
            counts.add(before, -1);
            outdated.insert(*place);
        }
        if !entry.words.is_empty() {
            counts.add(&entry.words, 1);
            written.push(*entry);
        }
    }
    remove(tx, &outdated).await?;
    insert(tx, &written).await?;
    counts.write(tx).await
}

type Known = HashMap<(Uuid, i64), BTreeSet<String>>;

/// What the index says of messages.
async fn known(tx: &Transaction<'_>, places: &BTreeSet<(Uuid, i64)>) -> Result<Known, StoreError> {
    let (conversations, seqs): (Vec<Uuid>, Vec<i64>) = places.iter().copied().unzip();
    let sql = "SELECT s.conversation_id, s.seq, tsvector_to_array(s.words) AS words
               FROM UNNEST($1::uuid[], $2::bigint[]) AS wanted(conversation_id, seq)
               JOIN message_search s USING (conversation_id, seq)";
    let mut known = HashMap::new();
    for row in rows(tx, sql, &[&conversations, &seqs]).await? {
        let conversation: Uuid = row.try_get("conversation_id")?;
        let marked: Vec<&str> = row.try_get("words")?;
        let mark = mark(conversation);
        let plain = |word: &str| word.strip_prefix(&mark).map(str::to_owned);
        let words = marked.into_iter().filter_map(plain).collect();
        known.insert((conversation, row.try_get("seq")?), words);
    }
    Ok(known)
}

async fn remove(tx: &Transaction<'_>, places: &BTreeSet<(Uuid, i64)>) -> Result<(), StoreError> {
    if places.is_empty() {
        return Ok(());
    }
    let (conversations, seqs): (Vec<Uuid>, Vec<i64>) = places.iter().copied().unzip();
    let sql = "DELETE FROM message_search s USING UNNEST($1::uuid[], $2::bigint[]) AS d(conversation_id, seq)
               WHERE s.conversation_id = d.conversation_id AND s.seq = d.seq";
    execute(tx, sql, &[&conversations, &seqs]).await?;
    Ok(())
}

async fn insert(tx: &Transaction<'_>, entries: &[&Entry]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let conversations: Vec<Uuid> = entries.iter().map(|e| e.conversation_id).collect();
    let seqs: Vec<i64> = entries.iter().map(|e| e.seq).collect();
    let senders: Vec<Uuid> = entries.iter().map(|e| e.sender_id).collect();
    let kinds: Vec<&str> = entries.iter().map(|e| e.kind.as_str()).collect();
    let created: Vec<Timestamp> = entries.iter().map(|e| e.created_at).collect();
    let words: Vec<String> = entries.iter().map(|entry| marked(entry)).collect();
    // Arrays of arrays must be rectangular in Postgres, so words travel as text.
    let sql = "
        INSERT INTO message_search (conversation_id, seq, sender_id, type, created_at, words)
        SELECT conversation_id, seq, sender_id, type, created_at, array_to_tsvector(string_to_array(words, ' '))
        FROM UNNEST($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[])
            AS t(conversation_id, seq, sender_id, type, created_at, words)";
    execute(tx, sql, &[&conversations, &seqs, &senders, &kinds, &created, &words]).await?;
    Ok(())
}

fn marked(entry: &Entry) -> String {
    let mark = mark(entry.conversation_id);
    let words: Vec<String> = entry.words.iter().map(|word| format!("{mark}{word}")).collect();
    words.join(" ")
}

/// How the numbers of messages with each word change. The empty word stands for any.
#[derive(Default)]
struct Counts(BTreeMap<String, i64>);

impl Counts {
    fn add(&mut self, words: &BTreeSet<String>, messages: i64) {
        *self.0.entry(String::new()).or_default() += messages;
        for word in words {
            *self.0.entry(word.clone()).or_default() += messages;
        }
    }

    /// In the order of the words, so that two writers never wait for each other.
    async fn write(mut self, tx: &Transaction<'_>) -> Result<(), StoreError> {
        self.0.retain(|_, messages| *messages != 0);
        if self.0.is_empty() {
            return Ok(());
        }
        let (words, messages): (Vec<&str>, Vec<i64>) =
            self.0.iter().map(|(word, messages)| (word.as_str(), *messages)).unzip();
        let sql = "
            INSERT INTO search_words (word, messages)
            SELECT word, messages FROM UNNEST($1::text[], $2::bigint[]) AS t(word, messages)
            ON CONFLICT (word) DO UPDATE SET messages = search_words.messages + EXCLUDED.messages";
        execute(tx, sql, &[&words, &messages]).await?;
        let fewer: Vec<&str> =
            self.0.iter().filter(|(_, n)| **n < 0).map(|(word, _)| word.as_str()).collect();
        if !fewer.is_empty() {
            let sql =
                "DELETE FROM search_words WHERE word = ANY($1) AND messages <= 0 AND word <> ''";
            execute(tx, sql, &[&fewer]).await?;
        }
        Ok(())
    }
}

/// Brings the entries of some places in line with what messages say there, in the transaction that has changed or removed
/// them. What was not indexed before is from now on; the indexer finds nothing to do there.
pub(in crate::store) async fn renew_at(
    tx: &Transaction<'_>,
    places: &BTreeSet<(ConversationId, i64)>,
) -> Result<(), StoreError> {
    if places.is_empty() {
        return Ok(());
    }
    hold(tx).await?;
    let entries = entries_at(tx, places).await?;
    put(tx, &entries).await?;
    let there = entries.iter().map(|entry| (entry.conversation_id, entry.seq)).collect();
    forget(tx, &places.difference(&there).copied().collect()).await
}

/// Takes messages out of the index, and their words out of the vocabulary, in the transaction that removes their rows.
pub(super) async fn forget(
    tx: &Transaction<'_>,
    places: &BTreeSet<(ConversationId, i64)>,
) -> Result<(), StoreError> {
    if places.is_empty() {
        return Ok(());
    }
    let mut counts = Counts::default();
    for words in known(tx, places).await?.values() {
        counts.add(words, -1);
    }
    remove(tx, places).await?;
    counts.write(tx).await
}
