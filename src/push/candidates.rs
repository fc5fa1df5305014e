//! Whom messages alert, a bounded number of people at a time.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::domain::ids::{ConversationId, UserId};
use crate::domain::receipt::MAX_FOLLOWED;
use crate::store::leadership::Leader;
use crate::store::push::decide::{Candidate, Place, Verdict};

use super::memory::{Note, OF_MANY, Step};
use super::online::Look;
use super::{Fault, Push};

/// People that one query may be about: some 50 ms, and half a megabyte.
const PEOPLE: u32 = 5_000;
/// A conversation of more people than that is looked at message by message, and page by page.
pub const LARGE: u32 = 1_000;

/// Messages that are looked at together.
pub struct Pass<'a> {
    pub places: &'a [Place],
    /// How many people are in each conversation with a device in it; what is in no other is left out.
    pub reachable: &'a HashMap<ConversationId, u64>,
    /// Is it the look after the grace?
    pub second: bool,
    /// Whoever has no connection is alerted now; else everybody may have one.
    pub knows: bool,
}

impl Push {
    /// Whom the messages of a pass alert.
    pub(super) async fn candidates(
        &self,
        leader: &Leader,
        pass: &Pass<'_>,
        now: Timestamp,
    ) -> Result<Vec<(Place, UserId)>, Fault> {
        let mut alerts = Vec::new();
        if !pass.second && !pass.knows {
            return Ok(alerts);
        }
        let (mut group, mut people): (Vec<Place>, u64) = (Vec::new(), 0);
        for place in pass.places {
            let Some(count) = pass.reachable.get(&place.conversation_id) else { continue };
            if *count > u64::from(LARGE) {
                self.page(leader, *place, pass, now, &mut alerts).await?;
                continue;
            }
            if people + count > u64::from(PEOPLE) {
                self.together(leader, std::mem::take(&mut group), pass, now, &mut alerts).await?;
                people = 0;
            }
            group.push(*place);
            people += count;
        }
        self.together(leader, group, pass, now, &mut alerts).await?;
        Ok(alerts)
    }

    async fn together(
        &self,
        leader: &Leader,
        group: Vec<Place>,
        pass: &Pass<'_>,
        now: Timestamp,
        alerts: &mut Vec<(Place, UserId)>,
    ) -> Result<(), Fault> {
        if group.is_empty() {
            return Ok(());
        }
        // People may have come since they were counted.
        let limit = 2 * PEOPLE;
        let found = leader.candidates(&group, UserId::nil(), limit, now).await?;
        if found.len() < limit as usize {
            let noted = found.len();
            self.sift(found, (pass, now), noted, alerts);
            return Ok(());
        }
        for place in group {
            self.page(leader, place, pass, now, alerts).await?;
        }
        Ok(())
    }

    async fn page(
        &self,
        leader: &Leader,
        place: Place,
        pass: &Pass<'_>,
        now: Timestamp,
        alerts: &mut Vec<(Place, UserId)>,
    ) -> Result<(), Fault> {
        let mut after = UserId::nil();
        loop {
            let found = leader.candidates(&[place], after, PEOPLE, now).await?;
            let last = found.last().map(|candidate| candidate.user_id);
            let more = found.len() == PEOPLE as usize;
            let noted = if after.is_nil() { OF_MANY } else { 0 };
            self.sift(found, (pass, now), noted, alerts);
            match last {
                Some(last) if more => after = last,
                _ => return Ok(()),
            }
        }
    }

    /// Takes over those who are to be alerted now, and counts why others are not. Of the first `noted` it is remembered.
    fn sift(
        &self,
        found: Vec<Candidate>,
        (pass, now): (&Pass<'_>, Timestamp),
        noted: usize,
        alerts: &mut Vec<(Place, UserId)>,
    ) {
        let step = if pass.second { Step::Second } else { Step::First };
        let mut notes = Vec::with_capacity(noted.min(found.len()));
        let mut counts: HashMap<&'static str, u64> = HashMap::new();
        let look = self.online.look(Instant::now());
        for candidate in found {
            let participants =
                pass.reachable.get(&candidate.place.conversation_id).copied().unwrap_or(0);
            let reason = judge(&candidate, participants, pass.second, &look);
            if tracing::enabled!(tracing::Level::DEBUG) {
                let Candidate { place, user_id, .. } = candidate;
                tracing::debug!(seq = place.seq, user = %user_id, reason, second = pass.second, "decided");
            }
            if notes.len() < noted {
                let (seq, user) = (candidate.place.seq, Some(candidate.user_id));
                notes.push(Note { seq, user, at: now, step, what: reason });
            }
            *counts.entry(reason).or_default() += 1;
            if reason == Verdict::Alert.as_str() {
                alerts.push((candidate.place, candidate.user_id));
            }
        }
        drop(look);
        self.memory.note(notes);
        for (reason, count) in counts {
            self.metrics.push.decided(reason, count);
        }
    }
}

/// What is decided about one person and one message.
///
/// In conversations in which deliveries are not followed, whoever still has a connection after the grace counts as having
/// received: a connection that is cut without a word is noticed by its heartbeat only, and that person will be
/// shown the message when they come back.
fn judge(candidate: &Candidate, people: u64, second: bool, look: &Look<'_>) -> &'static str {
    let user = candidate.user_id;
    match candidate.verdict {
        Verdict::Alert if !second && !look.is_offline(user) => "connected",
        Verdict::Alert if second && people > u64::from(MAX_FOLLOWED) && look.is_online(user) => {
            Verdict::Delivered.as_str()
        }
        verdict => verdict.as_str(),
    }
}
