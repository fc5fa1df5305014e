//! Which words there are, and how common they are.
//!
//! The vocabulary is of all conversations together and is never shown: it says how to look for a word, and what it may be
//! a slip of. What comes of that is looked for in the asker's own conversations only.

use std::collections::HashMap;

use crate::domain::search::slips::{self, Halves};

use super::{Store, StoreError, rows, unsigned};

/// Words with one beginning that are counted: more make it a common one in any case.
const COUNTED: i64 = 2_000;
/// Words that are compared with a half of a typed one. A half of two letters begins some thousand words of 100,000.
const COMPARED: i64 = 5_000;
/// Words that a typed one may be a slip of, the most common first. Each is looked up like a typed one.
const MEANT: usize = 4;

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

    /// Words that somebody may have meant, the most common first.
    ///
    /// # Errors
    /// As every statement.
    pub async fn meant(&self, typed: &str) -> Result<Vec<String>, StoreError> {
        let Some(Halves { beginning, ending, crossed }) = slips::halves(typed) else {
            return Ok(Vec::new());
        };
        let sql = "
            (SELECT word, messages FROM search_words
             WHERE word >= $1 COLLATE \"C\" AND word <= ($1 || U&'\\+10FFFF') COLLATE \"C\"
               AND length(word) BETWEEN $4 - 1 AND $4 + 1 LIMIT $5)
            UNION
            (SELECT word, messages FROM search_words
             WHERE reverse(word) COLLATE \"C\" >= reverse($2) COLLATE \"C\"
               AND reverse(word) COLLATE \"C\" <= (reverse($2) || U&'\\+10FFFF') COLLATE \"C\"
               AND length(word) BETWEEN $4 - 1 AND $4 + 1 LIMIT $5)
            UNION
            (SELECT word, messages FROM search_words WHERE word = $3 COLLATE \"C\")";
        let length = i32::try_from(typed.chars().count()).unwrap_or(i32::MAX - 1);
        self.within(async {
            let client = self.client().await?;
            let found =
                rows(&client, sql, &[&beginning, &ending, &crossed, &length, &COMPARED]).await?;
            let mut meant: Vec<(u64, String)> = Vec::new();
            for row in &found {
                let word: &str = row.try_get("word")?;
                if slips::is_slip(typed, word) {
                    meant.push((unsigned(row, "messages")?, word.to_owned()));
                }
            }
            meant.sort_by(|a, b| b.cmp(a));
            Ok(meant.into_iter().take(MEANT).map(|(_, word)| word).collect())
        })
        .await
    }
}
