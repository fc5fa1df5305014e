//! Which words there are, and how common they are.
//!
//! The vocabulary is of all conversations together and is never shown: it says how to look for a word, and what it may be
//! a slip of. Of slips only those count that are in the asker's own conversations, and nothing that is found depends on words
//! of others. How common a word is decides by which way it is looked for, from some thousand messages on.

use std::collections::HashMap;

use tokio_postgres::types::ToSql;

use crate::domain::ids::ConversationId;
use crate::domain::search::slips::{self, Halves};

use super::candidates::PATIENCE;
use super::{Searched, Store, StoreError, mark, rows, unsigned};

/// Words with one beginning that are counted: more make it a common one in any case.
const COUNTED: i64 = 2_000;
/// Words that a typed one may be a slip of. Each is looked up like a typed one.
const MEANT: i64 = 8;

/// A word that so many messages of the asker's conversations have is spelled as they spell it: a page of results.
const SPELLED: i64 = 20;

/// Messages of the asker that have a word: a look-up in one conversation after the other, some 3 µs each, until enough are
/// found. `OFFSET 0` keeps it a look-up. One for all conversations at once takes four times as long: what a look-up has to
/// prove grows with the square of what it looks for.
macro_rules! in_conversations {
    ($word:literal) => {
        concat!(
            "SELECT FROM UNNEST($5::text[]) AS c(mark)
             CROSS JOIN LATERAL (
                 SELECT conversation_id FROM message_search
                 WHERE words @@ ('''' || c.mark || ",
            $word,
            " || '''')::tsquery OFFSET 0) AS e
             WHERE e.conversation_id = ANY($6::uuid[])"
        )
    };
}

/// All words that have one of the halves and one of the patterns, some 2 µs for each that has the half: 10 ms for the few
/// thousand of 100,000 that begin with the same two letters. Then those that are in a conversation of the asker.
const SLIPS: &str = concat!(
    "WITH slips AS MATERIALIZED (
         SELECT word FROM (
             SELECT word FROM search_words
             WHERE word >= $1 COLLATE \"C\" AND word <= ($1 || U&'\\+10FFFF') COLLATE \"C\" AND word LIKE ANY($4)
             UNION
             SELECT word FROM search_words
             WHERE reverse(word) COLLATE \"C\" >= reverse($2) COLLATE \"C\"
               AND reverse(word) COLLATE \"C\" <= (reverse($2) || U&'\\+10FFFF') COLLATE \"C\" AND word LIKE ANY($4)
             UNION
             SELECT word FROM search_words WHERE word = $3 COLLATE \"C\"
         ) AS any_of_them ORDER BY word)
     SELECT s.word FROM slips s
     WHERE (SELECT count(*) FROM (",
    in_conversations!("$8::text"),
    " LIMIT $9) AS spelled) < $9 AND EXISTS (",
    in_conversations!("s.word"),
    ") LIMIT $7"
);

/// How common words are.
#[derive(Debug, Clone, Default)]
pub struct Frequencies {
    /// Messages in the index.
    messages: u64,
    words: HashMap<String, u64>,
}

impl Frequencies {
    /// Messages that have the word, or one that begins so: at most, of `among`, if words were spread evenly.
    pub fn expected(&self, word: &str, among: u64) -> u64 {
        let count = self.words.get(word).copied().unwrap_or(0);
        let share = u128::from(count) * u128::from(among) / u128::from(self.messages.max(1));
        u64::try_from(share).unwrap_or(u64::MAX).min(among)
    }
}

impl Store {
    /// How common words are; with `true`, together with those that begin so.
    ///
    /// # Errors
    /// As every statement.
    pub async fn frequencies(&self, asked: &[(&str, bool)]) -> Result<Frequencies, StoreError> {
        let (words, prefixes): (Vec<&str>, Vec<bool>) = asked.iter().copied().unzip();
        // Behind the last letter that there is comes nothing that begins with the word.
        let sql = "
            SELECT a.word, COALESCE(f.messages, 0)::bigint AS messages
            FROM (SELECT '' AS word, false AS is_prefix
                  UNION ALL SELECT * FROM UNNEST($1::text[], $2::boolean[])) AS a
            CROSS JOIN LATERAL (
                SELECT sum(messages) AS messages FROM (
                    SELECT messages FROM search_words w
                    WHERE w.word >= a.word COLLATE \"C\"
                      AND w.word <= (a.word || CASE WHEN a.is_prefix THEN U&'\\+10FFFF' ELSE '' END) COLLATE \"C\"
                    LIMIT $3) AS counted) AS f";
        self.within(async {
            let found = rows(&self.client().await?, sql, &[&words, &prefixes, &COUNTED]).await?;
            let mut frequencies = Frequencies::default();
            for row in &found {
                let word: String = row.try_get("word")?;
                let messages = unsigned(row, "messages")?;
                if word.is_empty() {
                    frequencies.messages = messages;
                }
                frequencies.words.insert(word, messages);
            }
            Ok(frequencies)
        })
        .await
    }

    /// Words of these conversations that somebody may have meant, in the order of the alphabet; none for a word that many of
    /// their messages have.
    ///
    /// Which they are must not depend on what others write elsewhere, or whoever plants words of their own could find out
    /// what strangers say: so nothing is left out for being rare, and the limit counts only words of these conversations.
    ///
    /// # Errors
    /// As every statement; [`StoreError::Unavailable`] also when it takes too long.
    pub async fn meant(
        &self,
        typed: &str,
        conversations: &[Searched],
    ) -> Result<Vec<String>, StoreError> {
        let Some(Halves { beginning, ending, crossed }) = slips::halves(typed) else {
            return Ok(Vec::new());
        };
        let patterns = slips::patterns(typed);
        // The smallest first: there it takes least to find a few messages that have a word.
        let mut smallest: Vec<&Searched> = conversations.iter().collect();
        smallest.sort_by_key(|one| one.messages);
        let marks: Vec<String> = smallest.iter().map(|one| mark(one.id)).collect();
        let ids: Vec<ConversationId> = smallest.iter().map(|one| one.id).collect();
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.build_transaction().read_only(true).start().await?;
            tx.batch_execute(PATIENCE).await?;
            let params: [&(dyn ToSql + Sync); 9] =
                [&beginning, &ending, &crossed, &patterns, &marks, &ids, &MEANT, &typed, &SPELLED];
            let found = rows(&tx, SLIPS, &params).await?;
            tx.commit().await?;
            let words = found.iter().map(|row| Ok(row.try_get("word")?));
            let words = words.collect::<Result<Vec<String>, StoreError>>()?;
            Ok(words.into_iter().filter(|word| slips::is_slip(typed, word)).collect())
        })
        .await
    }
}
