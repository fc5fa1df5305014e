//! Finding messages by their words: what a word is, what a query means, whether a message answers it, and how well.
//!
//! Several languages meet in one conversation, so nothing is stemmed and no word is too common to be looked for. Accents,
//! tone marks and letters with hooks are folded alike in messages and in queries.

pub mod matching;
pub mod query;
pub mod slips;
pub mod snippet;
pub mod words;
