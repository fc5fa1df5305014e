//! What the leader itself puts into the log when its time has come: messages that were scheduled, and deletions of
//! those that have vanished, or that an operator or a rule has asked for.
//!
//! **Once.** Postgres says what is due, and it says so until the event has come back through the log and was applied.
//! So nothing is looked for before everything that the log held when this leader began was applied (a predecessor may
//! have put something there), nor while what this leader has put there is still on its way. A predecessor that does
//! not know yet that it was replaced is what the log's duplicate window is for.
//!
//! Nothing here waits: batches go on while the log takes its time to answer.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::bus::BusError;
use crate::bus::publish::{Record, Stored};
use crate::domain::ids::{MessageId, Seq};
use crate::store::expiry::Expired;
use crate::store::leadership::Leader;
use crate::wire::event::{EventKind, MessageDeleted};

use super::{Fault, Persister, due};

/// How often to look. Nothing that is over is shown in between; those who have it are told this much later at worst.
const EVERY: Duration = Duration::from_millis(500);
/// Events of each kind in one round: at some 20,000 a second the log takes them in 10 ms.
const ROUND: u32 = 200;
/// The pause behind a full round, when more is waiting: a conversation of 100,000 messages is deleted within a minute, and
/// live messages have most of the log to themselves.
const SOON: Duration = Duration::from_millis(50);
/// How long a scheduled message that failed, or was cancelled, is remembered: longer than anybody repeats a request.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Between two goes of forgetting them.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// What the leader has put into the log, and when it looks again.
pub struct Sweep {
    due: Instant,
    /// When to forget what is long over.
    forget: Instant,
    /// The end of the log when leading began, until all of it was applied.
    inherited: Option<Seq>,
    round: Option<Arc<Round>>,
    /// Messages of a round that has come back.
    sent: Vec<MessageId>,
}

/// Events that were put into the log together.
struct Round {
    outcome: Mutex<Outcome>,
}

struct Outcome {
    unanswered: usize,
    failed: usize,
    /// The highest sequence that was given to one of them.
    last: Seq,
    /// The messages among those that were stored.
    messages: Vec<MessageId>,
}

impl Round {
    fn answered(&self, message: Option<MessageId>, stored: Result<Stored, BusError>) {
        let mut outcome = self.outcome.lock();
        outcome.unanswered -= 1;
        match stored {
            Ok(stored) => {
                outcome.last = outcome.last.max(stored.seq);
                outcome.messages.extend(message);
            }
            Err(cause) => {
                outcome.failed += 1;
                tracing::debug!(%cause, "an event that is due has to wait");
            }
        }
        if outcome.unanswered == 0 && outcome.failed > 0 {
            // They are still due, and found again.
            tracing::warn!(events = outcome.failed, "what is due cannot be put into the log");
        }
    }

    fn is_applied(&self, through: Seq) -> bool {
        let outcome = self.outcome.lock();
        outcome.unanswered == 0 && outcome.last <= through
    }
}

impl Sweep {
    /// For a leader that begins when the log ends at `end`.
    pub fn behind(end: Seq) -> Self {
        let now = Instant::now();
        Self { due: now, forget: now, inherited: Some(end), round: None, sent: Vec::new() }
    }

    /// When to look again.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Everything up to `through` was applied. `all` of what the log had then: its very end may have been erased.
    pub fn applied(&mut self, through: Seq, all: bool) {
        if all || self.inherited.is_some_and(|end| end <= through) {
            self.inherited = None;
        }
        if let Some(round) = self.round.take_if(|round| round.is_applied(through)) {
            self.sent.append(&mut round.outcome.lock().messages);
        }
    }

    fn is_settled(&self) -> bool {
        self.inherited.is_none() && self.round.is_none()
    }
}

impl Persister {
    /// Looks, if it is time.
    pub(super) async fn sweep(
        &self,
        leader: &Leader,
        sweep: &mut Sweep,
        through: Seq,
    ) -> Result<(), Fault> {
        if Instant::now() < sweep.due {
            return Ok(());
        }
        sweep.due = Instant::now() + EVERY;
        sweep.applied(through, false);
        if !sweep.is_settled() {
            return Ok(leader.heartbeat().await?);
        }
        let now = self.clock.now();
        self.settle(leader, sweep, now).await?;
        let expired = leader.expired(now, ROUND).await?;
        let asked = leader.due_deletions(ROUND).await?;
        let is_full = [&expired, &asked].iter().any(|due| due.len() == ROUND as usize);
        if is_full {
            sweep.due = Instant::now() + SOON;
        }
        let deletions = expired.iter().chain(&asked).filter_map(deletion);
        let mut records: Vec<_> = deletions.map(|record| (None, record)).collect();
        let due = leader.take_due(now, ROUND).await?;
        for due in due {
            let id = due.scheduled.id;
            match due::record(due, now) {
                Some(record) => records.push((Some(id), record)),
                // It becomes no message either.
                None => sweep.sent.push(id),
            }
        }
        if !records.is_empty() {
            tracing::debug!(events = records.len(), "their time has come");
            sweep.round = Some(self.put(records).await);
        }
        Ok(())
    }

    /// What was sent came back through the log. What did not become a message went to the dead letters.
    async fn settle(
        &self,
        leader: &Leader,
        sweep: &mut Sweep,
        now: Timestamp,
    ) -> Result<(), Fault> {
        if !sweep.sent.is_empty() {
            let failed = leader.fail_refused(&sweep.sent, now).await?;
            sweep.sent.clear();
            if failed > 0 {
                tracing::error!(messages = failed, "scheduled messages are in the dead letters");
            }
        }
        if Instant::now() >= sweep.forget {
            sweep.forget = Instant::now() + FORGET_EVERY;
            leader.forget_scheduled(now - REMEMBERED).await?;
        }
        Ok(())
    }

    async fn put(&self, records: Vec<(Option<MessageId>, Record)>) -> Arc<Round> {
        let outcome =
            Outcome { unanswered: records.len(), failed: 0, last: 0, messages: Vec::new() };
        let outcome = Mutex::new(outcome);
        let round = Arc::new(Round { outcome });
        for (message, record) in records {
            let round = round.clone();
            let done = Box::new(move |stored| round.answered(message, stored));
            self.publisher.submit(record, done).await;
        }
        round
    }
}

fn deletion(expired: &Expired) -> Option<Record> {
    let deleted = MessageDeleted {
        message_id: expired.message_id,
        conversation_id: expired.conversation_id,
        seq: expired.seq,
    };
    let payload = serde_json::to_vec(&deleted)
        .inspect_err(|cause| tracing::error!(%cause, "a deletion cannot be written"));
    Some(Record {
        conversation: expired.conversation_id,
        kind: EventKind::MessageDeleted,
        msg_id: format!("expire:{}", expired.message_id),
        payload: payload.ok()?.into(),
        ttl: None,
        trace: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(unanswered: usize) -> Arc<Round> {
        let outcome = Outcome { unanswered, failed: 0, last: 0, messages: Vec::new() };
        Arc::new(Round { outcome: Mutex::new(outcome) })
    }

    fn stored(seq: Seq) -> Result<Stored, BusError> {
        Ok(Stored { seq, duplicate: false, repeated: false })
    }

    #[test]
    fn a_leader_looks_when_what_it_found_in_the_log_was_applied() {
        let mut sweep = Sweep::behind(7);
        sweep.applied(6, false);
        assert!(!sweep.is_settled());
        sweep.applied(7, false);
        assert!(sweep.is_settled());
        let mut sweep = Sweep::behind(7);
        sweep.applied(6, true);
        assert!(sweep.is_settled(), "7 was erased");
    }

    #[test]
    fn and_again_when_what_it_put_there_came_back() {
        let mut sweep = Sweep::behind(0);
        sweep.applied(0, false);
        let round = round(2);
        sweep.round = Some(round.clone());
        let message = MessageId::from_u128(1);
        round.answered(Some(message), stored(9));
        sweep.applied(9, true);
        assert!(!sweep.is_settled(), "one is on its way");
        round.answered(Some(MessageId::from_u128(2)), Err(BusError::Overloaded));
        sweep.applied(8, true);
        assert!(!sweep.is_settled(), "9 is not applied");
        sweep.applied(9, false);
        assert!(sweep.is_settled());
        assert_eq!(sweep.sent, [message]);
    }
}
