//! One batch: set aside what is poison, commit the rest, erase what was deleted.

use std::collections::HashSet;

use crate::bus::erase;
use crate::bus::log::{Entry, LogEvent};
use crate::bus::tail::seq_of;
use crate::domain::ids::ConversationId;
use crate::store::leadership::{Leader, Position};
use crate::store::projection::ProjectionError;

use super::batch;
use super::dead::Poison;
use super::{Fault, NAME, Persister};

/// Erasures of one round: what the log removes within some 200 ms.
const ERASURES: u32 = 1_000;

impl Persister {
    /// Commits entries and moves the position behind them.
    ///
    /// A statement that refuses the data of a batch is tried again with each half, so that in the end only what
    /// is at fault is parked; the batches of one go on in the order of the log.
    pub(super) async fn persist(
        &self,
        leader: &mut Leader,
        position: &mut Position,
        entries: Vec<Entry>,
    ) -> Result<(), Fault> {
        let Some(through) = entries.last().map(seq_of) else { return Ok(()) };
        let mut stretches = vec![entries];
        while let Some(mut entries) = stretches.pop() {
            if entries.is_empty() {
                continue;
            }
            let (batch, poison) = batch::read(&entries);
            // Out of the way of what may be tried again: parked once, counted once.
            entries.retain(|entry| poison.binary_search_by_key(&seq_of(entry), |p| p.seq).is_err());
            self.park(poison).await?;
            match leader.apply(NAME, position.last_seq, &batch).await {
                Ok(()) => {
                    position.last_seq = batch.through;
                    if !(batch.deletions.is_empty() && batch.edits.is_empty()) {
                        self.erase(leader).await?;
                    }
                }
                Err(ProjectionError::UnknownConversations(unknown)) => {
                    let poison = take_out(&mut entries, &unknown);
                    self.park(poison).await?;
                    stretches.push(entries);
                }
                Err(ProjectionError::Store(cause)) if cause.is_refused_data() => {
                    match split(entries) {
                        Split::Halves(first, second) => stretches.extend([second, first]),
                        Split::One(event) => {
                            self.park(vec![Poison::of(&event, cause.to_string())]).await?;
                        }
                        Split::Nothing => return Err(cause.into()),
                    }
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        if position.last_seq < through {
            // What came last was parked.
            leader.skip_to(NAME, through).await?;
            position.last_seq = through;
        }
        Ok(())
    }

    /// Erases deleted content from the log; what a crash or an outage interrupts is found again next time.
    pub(super) async fn erase(&self, leader: &Leader) -> Result<(), Fault> {
        loop {
            let seqs = leader.erasures(ERASURES).await?;
            erase::all(&self.log, &seqs).await?;
            leader.erased(&seqs).await?;
            if seqs.len() < ERASURES as usize {
                return Ok(());
            }
        }
    }
}

/// Takes the events of unknown conversations out.
fn take_out(entries: &mut Vec<Entry>, unknown: &HashSet<ConversationId>) -> Vec<Poison> {
    let astray =
        |entry: &mut Entry| entry.as_ref().is_ok_and(|event| unknown.contains(&event.conversation));
    let taken = entries.extract_if(.., astray).flatten();
    taken.map(|event| Poison::of(&event, "the conversation does not exist".to_owned())).collect()
}

enum Split {
    Halves(Vec<Entry>, Vec<Entry>),
    One(LogEvent),
    Nothing,
}

fn split(mut entries: Vec<Entry>) -> Split {
    match entries.len() {
        0 => Split::Nothing,
        1 => match entries.remove(0) {
            Ok(event) => Split::One(event),
            Err(_) => Split::Nothing,
        },
        count => {
            let second = entries.split_off(count / 2);
            Split::Halves(entries, second)
        }
    }
}
