//! Whether a message answers a query, where, and how well.

use std::ops::Range;

use jiff::Timestamp;

use super::query::{Alternative, Query, Term};
use super::slips;
use super::words::{Token, tokens};

/// What a hit is worth: the word itself, a word that begins so, and one with a slip.
const EXACT: u64 = 1_000;
const PREFIX: u64 = 600;
const SLIP: u64 = 350;

/// The age at which half of what recency is worth is left.
const HALF_LIFE_SECONDS: u64 = 30 * 24 * 3_600;
/// The part of a rank, in thousandths, that the age takes nothing of: an exact hit of last year still comes before a slip
/// of last month.
const TIMELESS: u64 = 300;

/// A message that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// How well its words answer, at most 1,000.
    pub quality: u64,
    /// What answers, in bytes of the text, in order and apart.
    pub hits: Vec<Range<usize>>,
}

/// Compares a text with a query; `None` when it does not answer. `with_slips` lets words with one slip count.
pub fn matches(query: &Query, text: &str, with_slips: bool) -> Option<Match> {
    let tokens = tokens(text);
    let answers = query.alternatives.iter().filter_map(|one| answers(one, &tokens, with_slips));
    let best = answers.reduce(|mut best, other| {
        best.quality = best.quality.max(other.quality);
        best.hits.extend(other.hits);
        best
    })?;
    Some(Match { hits: tidy(best.hits), ..best })
}

/// How far up a match stands, seen from `now`. Only whole numbers go into it, so every node comes to the same.
pub fn rank(quality: u64, created_at: Timestamp, now: Timestamp) -> u64 {
    let age = now.as_second().saturating_sub(created_at.as_second());
    let age = u64::try_from(age).unwrap_or(0);
    let recency = HALF_LIFE_SECONDS * 1_000_000 / (HALF_LIFE_SECONDS + age);
    quality * (TIMELESS * 1_000 + (1_000 - TIMELESS) * recency / 1_000)
}

fn answers(one: &Alternative, tokens: &[Token], with_slips: bool) -> Option<Match> {
    if one.unwanted.iter().any(|term| find(term, tokens, false).is_some()) {
        return None;
    }
    let mut found = Match { quality: 0, hits: Vec::new() };
    for term in &one.wanted {
        let here = find(term, tokens, with_slips)?;
        found.quality += here.quality;
        found.hits.extend(here.hits);
    }
    found.quality /= one.wanted.len().max(1) as u64;
    Some(found)
}

/// Everything that answers a term; its quality is that of the best.
fn find(term: &Term, tokens: &[Token], with_slips: bool) -> Option<Match> {
    let mut found = Match { quality: 0, hits: Vec::new() };
    for at in tokens.windows(term.words.len()) {
        let worth = worth(term, at, with_slips);
        if let (1.., [first, .., last] | [first @ last]) = (worth, at) {
            found.quality = found.quality.max(worth);
            found.hits.push(first.range.start..last.range.end);
        }
    }
    (found.quality > 0).then_some(found)
}

fn worth(term: &Term, at: &[Token], with_slips: bool) -> u64 {
    if at.iter().zip(&term.words).all(|(token, word)| token.word == *word) {
        return EXACT;
    }
    match (term.loose(), at) {
        (Some(word), [token]) if term.is_prefix() && token.word.starts_with(word) => PREFIX,
        (Some(word), [token]) if with_slips && slips::is_slip(word, &token.word) => SLIP,
        _ => 0,
    }
}

/// In order, each part of the text once.
fn tidy(mut hits: Vec<Range<usize>>) -> Vec<Range<usize>> {
    hits.sort_by_key(|hit| (hit.start, hit.end));
    let mut apart: Vec<Range<usize>> = Vec::with_capacity(hits.len());
    for hit in hits {
        match apart.last_mut() {
            Some(last) if hit.start < last.end => last.end = last.end.max(hit.end),
            _ => apart.push(hit),
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality(query: &str, text: &str) -> u64 {
        let query = Query::parse(query).expect("a query");
        matches(&query, text, true).map_or(0, |found| found.quality)
    }

    #[test]
    fn words_beginnings_and_slips_are_found_in_this_order() {
        assert_eq!(quality("ola", "Ọlá dey"), EXACT);
        assert_eq!(quality("ola", "Ọláwálé dey"), PREFIX);
        assert_eq!(quality("meetng", "the meeting"), SLIP);
        assert_eq!(quality("ol", "Ọlá"), 0, "two letters are no beginning");
        let query = Query::parse("meetng").expect("a query");
        assert_eq!(matches(&query, "the meeting", false), None);
    }

    #[test]
    fn phrases_minus_and_or_decide() {
        assert_eq!(quality("\"jazz night\"", "Lagos Jazz, Night!"), EXACT);
        assert_eq!(quality("\"jazz night\"", "night jazz"), 0);
        assert_eq!(quality("jazz -lagos", "Lagos jazz"), 0);
        assert_eq!(quality("jazz -lag", "Lagos jazz"), EXACT, "a minus takes no beginnings");
        assert_eq!(quality("rice or yam", "pounded yam"), EXACT);
        assert_eq!(quality("rice yam", "pounded yam"), 0);
    }

    #[test]
    fn hits_do_not_overlap() {
        let query = Query::parse("jazz \"lagos jazz\" or lagos").expect("a query");
        let found = matches(&query, "Lagos Jazz", false).expect("answers");
        assert_eq!((found.hits.len(), found.hits[0].clone()), (1, 0..10));
    }

    #[test]
    fn what_is_newer_stands_higher_and_what_fits_better_too() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let ago = |days: i64| now - jiff::SignedDuration::from_hours(days * 24);
        assert!(rank(EXACT, now, now) > rank(EXACT, ago(1), now));
        assert!(rank(EXACT, ago(1), now) > rank(PREFIX, ago(1), now));
        assert!(rank(PREFIX, now, now) > rank(EXACT, ago(365), now));
        assert!(rank(EXACT, ago(365), now) > rank(SLIP, ago(60), now) / 2);
        assert_eq!(rank(EXACT, ago(-1), now), rank(EXACT, now, now), "a clock may be ahead");
    }
}
