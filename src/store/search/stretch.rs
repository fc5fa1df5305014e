//! How far back the newest messages of somebody's conversations reach.
//!
//! People write in bursts: how many messages a conversation has says nothing about when the last hundred of them were written.
//! So a stretch of the log is guessed, the messages in it are counted, and the guess is corrected. What is counted are keys,
//! which an index has in order: some 3 µs for each conversation that has any there, and 0.1 µs for each message.

use deadpool_postgres::Transaction;
use uuid::Uuid;

use crate::domain::ids::Seq;

use super::{Searched, StoreError, row, signed, unsigned};

/// Guesses at most. By steps of 64, seven lead from all of a log of 2^48 events to a stretch of 1,000, or by steps of 256 the
/// other way; what lies between two steps is halved on a logarithmic scale, three times until it is within a factor of two.
const GUESSES: usize = 12;

/// `LIMIT` in each conversation keeps it a look-up in each.
const COUNT: &str = "
    SELECT count(*) AS counted FROM (
        SELECT FROM UNNEST($1::uuid[]) AS c(id)
        CROSS JOIN LATERAL (
            SELECT FROM message_search e
            WHERE e.conversation_id = c.id AND e.seq >= $2 AND e.seq < $3 LIMIT $4) AS one
        LIMIT $4) AS all_of_them";

const NEWEST: &str = "
    SELECT COALESCE(max(newest.seq), 0) AS seq FROM UNNEST($1::uuid[]) AS c(id)
    CROSS JOIN LATERAL (
        SELECT e.seq FROM message_search e
        WHERE e.conversation_id = c.id AND e.seq < $2 ORDER BY e.seq DESC LIMIT 1) AS newest";

/// Where a stretch begins that ends before `high` and has at most `most` messages and, if there are so many and no burst
/// is in the way, half of that at least. A `low` above 0 was found in this way before, and is taken again while there are not twice as many by now.
pub(super) async fn beginning(
    tx: &Transaction<'_>,
    conversations: &[Searched],
    low: Seq,
    high: Seq,
    most: u64,
) -> Result<Seq, StoreError> {
    if low > 0 && count(tx, conversations, low, high, 2 * most).await? <= 2 * most {
        return Ok(low);
    }
    // It begins with a message, however long nobody has said anything: so no stretch is empty.
    let ids: Vec<Uuid> = conversations.iter().map(|one| one.id).collect();
    let newest = row(tx, NEWEST, &[&ids, &signed(high)]).await?;
    let newest = unsigned(&newest.ok_or_else(|| StoreError::bug("a maximum has no row"))?, "seq")?;
    let messages = conversations.iter().map(|one| one.messages).sum();
    let mut guess = Guess::new(newest + 1, messages, most);
    for _ in 0..GUESSES {
        let counted = count(tx, conversations, guess.beginning(), newest + 1, most).await?;
        if guess.is_good(counted) {
            return Ok(guess.beginning());
        }
    }
    Ok(guess.safe())
}

/// Messages from `low` to before `high`, one more than `most` at most.
async fn count(
    tx: &Transaction<'_>,
    conversations: &[Searched],
    low: Seq,
    high: Seq,
    most: u64,
) -> Result<u64, StoreError> {
    let ids: Vec<Uuid> =
        conversations.iter().filter(|one| one.last >= low).map(|one| one.id).collect();
    let found = row(tx, COUNT, &[&ids, &signed(low), &signed(high), &signed(most + 1)]).await?;
    unsigned(&found.ok_or_else(|| StoreError::bug("a count has no row"))?, "counted")
}

/// The length of a stretch of the log, corrected until it has about as many messages as are wanted. No I/O.
#[derive(Debug)]
struct Guess {
    high: Seq,
    most: u64,
    length: u64,
    /// The longest that has too few, the shortest that has too many.
    few: Option<u64>,
    many: Option<u64>,
}

impl Guess {
    /// As if messages were spread evenly over the log.
    fn new(high: Seq, messages: u64, most: u64) -> Self {
        let even = u128::from(high) * u128::from(most) * 3 / 4 / u128::from(messages.max(1));
        let length = u64::try_from(even).unwrap_or(u64::MAX).max(most).min(high);
        Self { high, most, length, few: None, many: None }
    }

    /// 0 for all of the log.
    fn beginning(&self) -> Seq {
        self.high - self.length
    }

    /// The beginning of the longest stretch that is known to have no more than is wanted.
    fn safe(&self) -> Seq {
        self.high - self.few.unwrap_or(self.most).min(self.high)
    }

    /// Is the stretch with so many messages good enough? If not, the next one is another.
    fn is_good(&mut self, counted: u64) -> bool {
        if counted > self.most {
            self.many = Some(self.length);
        } else if counted >= self.most / 2 || self.length == self.high {
            return true;
        } else {
            self.few = Some(self.length);
        }
        self.length = match (self.few, self.many) {
            (Some(few), Some(many)) if many / 2 <= few => {
                self.length = few;
                return true;
            }
            (Some(few), Some(many)) => (few as f64 * many as f64).sqrt() as u64,
            // As long as what is wanted it cannot have more: an event is one message at most.
            (None, Some(many)) => (many / 64).max(self.most),
            (Some(few), None) => {
                let times = (self.most * 3 / 4 / counted.max(1)).clamp(2, 256);
                few.saturating_mul(times).min(self.high)
            }
            (None, None) => self.length,
        };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stretch is found to have, and after how many guesses. `places` are those of the messages.
    fn guessed(places: &[Seq], high: Seq, most: u64) -> (u64, usize) {
        let mut guess = Guess::new(high, places.len() as u64, most);
        let has = |from: Seq| places.iter().filter(|at| (from..high).contains(at)).count() as u64;
        for guesses in 1..=GUESSES {
            let counted = has(guess.beginning());
            if guess.is_good(counted.min(most + 1)) {
                return (has(guess.beginning()), guesses);
            }
        }
        panic!("no end of guessing: {guess:?}");
    }

    #[test]
    fn what_is_spread_evenly_is_guessed_at_once() {
        let places: Vec<Seq> = (0..600_000).map(|n| n * 16 + 1).collect();
        let (has, guesses) = guessed(&places, 9_600_001, 1_000);
        assert!((500..=1_000).contains(&has) && guesses == 1, "{has} after {guesses}");
    }

    #[test]
    fn bursts_are_found_however_long_they_are_ago_and_however_far_apart() {
        let log = 1 << 40;
        for (first, step) in [(1, 1), (log - 50_000, 1), (log / 2, 3), (1, log / 50_001)] {
            let places: Vec<Seq> = (0..50_000).map(|n| first + n * step).collect();
            let (has, guesses) = guessed(&places, places[49_999] + 1, 1_000);
            assert!((500..=1_000).contains(&has), "{first} {step}: {has}");
            assert!(guesses < GUESSES, "{first} {step}: {guesses}");
        }
    }

    #[test]
    fn fewer_than_are_wanted_are_all_found() {
        assert_eq!(guessed(&[5, 9, 1 << 40], (1 << 40) + 1, 1_000).0, 3);
        assert_eq!(guessed(&[], 1, 1_000).0, 0);
    }

    #[test]
    fn a_few_behind_a_burst_are_a_stretch_of_their_own() {
        let burst = 1_000_000..1_030_000;
        let places: Vec<Seq> = burst.chain((0..10).map(|n| 900_000_000 + n)).collect();
        assert_eq!(guessed(&places, 900_000_010, 1_000).0, 10);
        let (has, _) = guessed(&places[..30_000], 1_030_000, 1_000);
        assert!((500..=1_000).contains(&has), "{has}");
    }
}
