//! By which way messages are looked for, from how common their words are. No I/O.
//!
//! A message that is looked up costs about as much as one that is looked through: 10 µs or so, with its text. What
//! decides is how many of either it takes to fill a page.

use std::ops::RangeInclusive;

use crate::domain::search::query::Alternative;
use crate::store::search::candidates::{NEEDLES, Needle};

/// More hits than this are not looked up but looked for in the newest messages: of the 600,000 of somebody who writes much,
/// 4,000 hold a page of what 3,000 have.
const COMMON: u64 = 3_000;
/// The same if even the rarest word has so many messages: that words are used apart from each other is a guess, and where
/// it is wrong each of them is a hit, half a second for all.
const ALWAYS_COMMON: u64 = 50_000;
/// Messages that are looked through in a window, in all conversations together.
const LOOKED_THROUGH: RangeInclusive<u64> = 1_000..=5_000;
/// Candidates of a window, where the words that are looked up decide, and at most where more is compared.
const DECIDED: usize = 200;
const COMPARED: usize = 2_000;
/// To look up all words with one beginning takes 0.3 µs for each message that has one: the index lists them all, while of a
/// whole word it skips what others leave out. A message that is left in takes 17 µs to read and to compare. So a beginning is
/// only looked up beside other words if no more than this many have it for each message that they leave.
const WORTH: u64 = 50;

/// What an alternative is looked for by.
#[derive(Debug)]
pub struct Plan {
    /// The rarest first.
    pub needles: Vec<Needle>,
    /// Too many have them all: the newest messages are looked through.
    pub is_common: bool,
    /// Candidates of a look at most.
    pub window: usize,
    /// Messages of a look at most, for what is common.
    pub look_through: u64,
}

/// In what is looked, and for how much.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Messages of all conversations that are searched.
    pub messages: u64,
    /// Results of a page.
    pub limit: u64,
    /// Only somebody's, of one type, or up to a time: what few of the newest messages are, pages of those would be empty of.
    pub is_narrowed: bool,
}

/// Plans an alternative. `expected` says how many messages of the scope have a needle.
pub fn plan(
    one: &Alternative,
    mut needles: Vec<Needle>,
    expected: impl Fn(&Needle) -> u64,
    scope: Scope,
) -> Plan {
    let Scope { messages, limit, is_narrowed } = scope;
    needles.sort_by_key(&expected);
    needles.dedup();
    let left = |among: u64, needle: &Needle| {
        let share = u128::from(among) * u128::from(expected(needle)) / u128::from(messages.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    let together = needles.iter().take(NEEDLES).fold(messages, left);
    let rarest = needles.first().map_or(0, &expected);
    let is_common = !is_narrowed && (together > COMMON || rarest > ALWAYS_COMMON);
    let has_phrase = one.wanted.iter().any(|term| term.words.len() > 1);
    let is_compared = has_phrase || !one.unwanted.is_empty();
    let decides = !is_compared && needles.len() <= NEEDLES;
    // Two pages of what has the words; a minus takes something of that, and of a phrase nobody knows.
    let pages = match (decides, has_phrase) {
        (true, _) => 2,
        (false, false) => 5,
        (false, true) => u64::MAX,
    };
    let hold = pages.saturating_mul(limit).saturating_mul(messages) / together.max(1);
    let looked_up =
        if is_common { NEEDLES } else { worthwhile(&needles, &expected, left, messages) };
    needles.truncate(looked_up);
    let found = needles.iter().fold(messages, left);
    let window = match usize::try_from(found / together.max(1)) {
        Ok(times) if decides => times.saturating_mul(DECIDED).clamp(DECIDED, COMPARED),
        _ => COMPARED,
    };
    Plan {
        needles,
        is_common,
        window,
        look_through: hold.clamp(*LOOKED_THROUGH.start(), *LOOKED_THROUGH.end()),
    }
}

/// How many of the needles, the rarest first, are worth being looked up.
fn worthwhile(
    needles: &[Needle],
    expected: impl Fn(&Needle) -> u64,
    left: impl Fn(u64, &Needle) -> u64,
    messages: u64,
) -> usize {
    let mut among = messages;
    for (at, needle) in needles.iter().take(NEEDLES).enumerate() {
        let is_beginning = needle.iter().any(|(_, is_prefix)| *is_prefix);
        if at > 0 && is_beginning && expected(needle) > among.saturating_mul(WORTH) {
            return at;
        }
        among = left(among, needle);
    }
    needles.len().min(NEEDLES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::search::query::Query;

    const SCOPE: Scope = Scope { messages: 600_000, limit: 20, is_narrowed: false };

    /// Of 600,000 messages `the` is in 90,000, `you` in 60,000, `market` in 6,000, `jazz` in 600.
    fn planned(query: &str, scope: Scope) -> Plan {
        planned_as(query, scope, false)
    }

    fn planned_as(query: &str, scope: Scope, is_prefix: bool) -> Plan {
        let query = Query::parse(query).expect("a query");
        let one = &query.alternatives[0];
        let words = one.wanted.iter().flat_map(|term| &term.words);
        let needles = words.map(|word| vec![(word.clone(), is_prefix)]).collect();
        let expected = |needle: &Needle| match needle[0].0.trim_end_matches(char::is_numeric) {
            "the" => 90_000,
            "you" => 60_000,
            "market" => 6_000,
            _ => 600,
        };
        plan(one, needles, expected, scope)
    }

    #[test]
    fn what_few_have_together_is_looked_up_the_rarest_word_first() {
        for query in ["jazz", "jazz the", "market you the"] {
            assert!(!planned(query, SCOPE).is_common, "{query}");
        }
        assert_eq!(planned("the market jazz", SCOPE).needles[0][0].0, "jazz");
    }

    #[test]
    fn what_many_have_is_looked_for_in_as_many_of_the_newest_as_hold_two_pages() {
        let look = |query| planned(query, SCOPE).look_through;
        assert!(planned("market", SCOPE).is_common && planned("the you", SCOPE).is_common);
        assert_eq!((look("the"), look("market")), (1_000, 4_000));
        assert_eq!((look("the -you"), look("\"the you\"")), (1_000, 5_000));
        assert_eq!(look("market -you"), 5_000);
    }

    #[test]
    fn words_that_may_always_be_used_together_are_not_looked_up() {
        // Of 600,000 messages 600 would have all three, if each were used without regard to the others.
        assert!(planned("you you2 you3", SCOPE).is_common);
        assert!(!planned("market market2 market3", SCOPE).is_common);
    }

    #[test]
    fn what_is_narrowed_is_looked_up_however_common_it_is() {
        assert!(!planned("the", Scope { is_narrowed: true, ..SCOPE }).is_common);
    }

    #[test]
    fn where_more_is_compared_more_is_read() {
        let window = |query| planned(query, SCOPE).window;
        assert_eq!((window("jazz"), window("jazz the")), (DECIDED, DECIDED));
        assert_eq!((window("jazz -you"), window("\"jazz market\"")), (COMPARED, COMPARED));
    }

    #[test]
    fn a_common_beginning_beside_rare_words_is_compared_and_not_looked_up() {
        let words = |query, is_prefix| planned_as(query, SCOPE, is_prefix).needles.len();
        // 600 have it; to list the 90,000 would take longer than to read those.
        assert_eq!((words("jazz the", true), words("jazz the", false)), (1, 2));
        // `market` is listed in a fifth of the time that those would take which do not have it.
        assert_eq!(words("market jazz", true), 2);
        assert_eq!(words("market market2 the", true), 2);
        // One of seven has it: a page takes seven times as many.
        assert_eq!(planned_as("jazz the", SCOPE, true).window, 6 * DECIDED);
    }
}
