//! The two looks at each message. Everybody who is known to have no connection is alerted at once. The others are looked
//! at again after a grace, when the delivery markers have moved (`window.rs`).
//!
//! While nobody knows who has a connection everybody waits for the grace. As soon as it is known again, what waits is looked
//! at before anything new: a device that was shown a newer message is shown no older one.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::domain::ids::{ConversationId, Seq};
use crate::store::leadership::Leader;
use crate::store::push::decide::Place;
use crate::wire::event::EventKind;

use super::candidates::{LARGE, Pass};
use super::decide::{GRACE, Heard, Turn};
use super::memory::{Note, Step};
use super::plan::{is_older, later};
use super::{Fault, NAME, Push};

/// Events that are decided together. The query for 1,000 direct messages takes some 15 ms.
pub(super) const BATCH: usize = 1_000;
/// People whom a batch may be about: as many may be alerted by it, at 40 bytes each before they are written.
const PEOPLE: u64 = 100_000;
/// Pause between two batches: what comes meanwhile shares one. Nobody notices a fiftieth of a second in an alert, and
/// fifty queries a second are what a busy log costs while nobody has a device.
const PACE: Duration = Duration::from_millis(20);

impl Push {
    /// Decides about what Postgres has by now. Returns how many events that were.
    pub(super) async fn first_look(
        &self,
        leader: &mut Leader,
        turn: &mut Turn,
        through: Seq,
    ) -> Result<u64, Fault> {
        self.look_again(leader, turn).await?;
        // Told once for the whole look: when it becomes known in the middle of it, what is new must not overtake what waits.
        let knows = self.is_presence_known() && turn.window.unsure().is_none();
        let through = through.min(apart(&turn.pending, turn.decided));
        let ready = turn.pending.iter().take(BATCH).take_while(|(seq, _)| *seq <= through);
        let mut ready: Vec<(Seq, Option<Heard>)> = ready.copied().collect();
        let conversations = conversations(&ready);
        let reachable = match conversations.is_empty() {
            true => HashMap::new(),
            false => leader.reachable(&conversations, LARGE).await?,
        };
        ready.truncate(as_many_as_fit(&ready, &reachable));
        let Some((through, _)) = ready.last().copied() else { return Ok(0) };
        let heard: Vec<Heard> = ready.iter().filter_map(|(_, heard)| *heard).collect();
        let now = self.clock.now();
        let matters = |heard: &&Heard| reachable.contains_key(&heard.place.conversation_id);
        let heard: Vec<Heard> = heard.iter().filter(matters).copied().collect();
        let messages = self.recent(&heard, now);
        let fresh = |seq: Seq| seq > turn.decided;
        let new: Vec<Place> =
            messages.iter().map(|heard| heard.place).filter(|at| fresh(at.seq)).collect();
        let is_change =
            |kind| matches!(kind, EventKind::MessageUpdated | EventKind::MessageDeleted);
        let changes: Vec<Seq> =
            heard.iter().filter(|h| is_change(h.kind)).map(|h| h.place.seq).collect();
        let changes: Vec<Seq> = changes.into_iter().filter(|seq| fresh(*seq)).collect();
        if !new.is_empty() || !changes.is_empty() {
            let pass = Pass { places: &new, reachable: &reachable, second: false, knows };
            let alerts = self.candidates(leader, &pass, now).await?;
            let deciding = leader.deciding().await?;
            let mut jobs = deciding.alert(&alerts, turn.window.passed(), now).await?;
            if !changes.is_empty() {
                jobs += deciding.changed(&changes, now).await?;
            }
            jobs += deciding.senders_have_read(&new, now).await?;
            deciding.commit(NAME, through).await?;
            self.planned(jobs);
        }
        let due = messages.last().map_or(now, |last| later(last.stored_at, self.settings.grace));
        let places: Vec<Place> = messages.iter().map(|heard| heard.place).collect();
        // What was read before may have been looked at by somebody who knew less.
        let is_sure =
            knows && self.is_presence_known() && places.iter().all(|place| fresh(place.seq));
        turn.window.wait(places, through, due, is_sure);
        turn.decided = turn.decided.max(through);
        turn.pending.drain(..ready.len());
        turn.next_batch = Instant::now() + PACE;
        if turn.pending.is_empty()
            && let Some(chunk) = turn.last.take()
        {
            chunk.acknowledge().await?;
            self.metrics.push.lag.set(i64::try_from(chunk.pending()).unwrap_or(i64::MAX));
        }
        Ok(ready.len() as u64)
    }

    /// New messages that are not too old to alert anybody.
    fn recent(&self, heard: &[Heard], now: Timestamp) -> Vec<Heard> {
        let messages = heard.iter().filter(|heard| heard.kind == EventKind::NewMessage);
        let (old, recent): (Vec<Heard>, Vec<Heard>) = messages
            .copied()
            .partition(|heard| is_older(heard.stored_at, self.settings.rules.max_age, now));
        self.metrics.push.decided("too_old", old.len() as u64);
        let note = |heard: &Heard| {
            let seq = heard.place.seq;
            Note { seq, user: None, at: now, step: Step::First, what: "too_old" }
        };
        self.memory.note(old.iter().map(note));
        recent
    }

    /// Asked behind a look, this tells whether it was known all along: what was lost is not known again at once.
    fn is_presence_known(&self) -> bool {
        self.online.look(Instant::now()).is_known()
    }

    /// Alerts those who turn out to have had no connection all the while.
    async fn look_again(&self, leader: &mut Leader, turn: &mut Turn) -> Result<(), Fault> {
        while self.is_presence_known()
            && let Some(places) = turn.window.unsure()
        {
            let now = self.clock.now();
            let reachable = leader.reachable(&distinct(places), LARGE).await?;
            let pass = Pass { places, reachable: &reachable, second: false, knows: true };
            let alerts = self.candidates(leader, &pass, now).await?;
            if !alerts.is_empty() {
                let deciding = leader.deciding().await?;
                let jobs = deciding.alert(&alerts, turn.window.passed(), now).await?;
                deciding.commit(NAME, turn.decided).await?;
                self.planned(jobs);
            }
            // Else it was lost in between.
            if self.is_presence_known() {
                turn.window.now_sure();
            }
        }
        Ok(())
    }

    /// Looks again at those who had, or may have had, a connection.
    pub(super) async fn second_look(
        &self,
        leader: &mut Leader,
        turn: &mut Turn,
    ) -> Result<(), Fault> {
        let now = self.clock.now();
        let Some((places, through)) = turn.window.due(now) else { return Ok(()) };
        let conversations: Vec<ConversationId> = distinct(places);
        let reachable = leader.reachable(&conversations, LARGE).await?;
        let pass = Pass { places, reachable: &reachable, second: true, knows: true };
        let alerts = self.candidates(leader, &pass, now).await?;
        if !alerts.is_empty() {
            let deciding = leader.deciding().await?;
            let jobs = deciding.alert(&alerts, turn.window.passed(), now).await?;
            deciding.commit(GRACE, through).await?;
            self.planned(jobs);
        }
        turn.window.done();
        Ok(())
    }
}

fn conversations(ready: &[(Seq, Option<Heard>)]) -> Vec<ConversationId> {
    let places: Vec<Place> =
        ready.iter().filter_map(|(_, heard)| heard.map(|heard| heard.place)).collect();
    distinct(&places)
}

/// How far a look may reach. What another process has looked at before is looked at again first, and by itself: together with it
/// what is new would alert at once and overtake it.
fn apart(pending: &VecDeque<(Seq, Option<Heard>)>, decided: Seq) -> Seq {
    match pending.front() {
        Some((first, _)) if *first <= decided => decided,
        _ => Seq::MAX,
    }
}

/// How many of the first events are about [`PEOPLE`] people together; one at least.
fn as_many_as_fit(
    ready: &[(Seq, Option<Heard>)],
    reachable: &HashMap<ConversationId, u64>,
) -> usize {
    let mut people = 0;
    let fits = ready.iter().take_while(|(_, heard)| {
        let first = people == 0;
        let place = heard.map(|heard| heard.place.conversation_id);
        people += place.and_then(|id| reachable.get(&id)).copied().unwrap_or(0);
        first || people <= PEOPLE
    });
    fits.count()
}

fn distinct(places: &[Place]) -> Vec<ConversationId> {
    let mut ids: Vec<ConversationId> = places.iter().map(|place| place.conversation_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_at_before_is_looked_at_apart_from_what_is_new() {
        let pending = |seqs: &[Seq]| seqs.iter().map(|seq| (*seq, None)).collect();
        assert_eq!(apart(&pending(&[3, 4, 9]), 4), 4);
        assert_eq!(apart(&pending(&[5, 9]), 4), Seq::MAX);
        assert_eq!(apart(&pending(&[]), 4), Seq::MAX);
    }
}
