//! The end of users' data, worked on by the leader beside the batches: small steps, each of which commits and says where the
//! next one begins. A step that was taken and not noted is taken again, which changes nothing.
//!
//! **Messages** become tombstones by events of the log, like those that somebody deletes: so clients, rings, quotes and the
//! search learn of it, in order. This asks for them (`due_deletions`), and passes through all conversations again until it finds
//! none that is not a tombstone.
//!
//! **The log** is read conversation by conversation behind that, and what still names the user is erased from it. What
//! others said there still stands in Postgres; a node that begins later fills its memory from behind such holes.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::bus::log::Log;
use crate::bus::presence::Bucket;
use crate::bus::{BusError, dead_letter, direct, erase, reads};
use crate::domain::clock::SharedClock;
use crate::domain::conversation::Conversation;
use crate::outbox;
use crate::store::outbox::OutboxEvent;
use crate::store::own_data::erasures::{BEGINNING, Erasure, Stage};
use crate::store::own_data::steps::Ground;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::wire::erasure::{Naming, names, naming, without_profile};
use crate::wire::event::{Change, EventKind, ReactionUpdated};

use super::Health;
use super::rounds::Rounds;

/// Between two looks: an index that is nearly always empty.
const EVERY: Duration = Duration::from_millis(500);
/// Erasures that are worked on in turn; the others wait for these.
const AT_ONCE: u32 = 8;
/// Steps of one user before the next one's turn.
const STEPS: usize = 50;
/// Nodes look every two seconds who is to go, and say goodbye to those who have no connection any more after some five.
const CLOSING: SignedDuration = SignedDuration::from_secs(12);
/// Rows and events of a step: a MB or so in memory. Where somebody is in large communities all that others said there is looked
/// through as well.
const PAGE: u32 = 1_000;

/// The leader's task. One that does not know yet that it was replaced takes steps that the next one takes too, which is
/// harmless.
pub struct Eraser {
    pub store: Store,
    pub log: Log,
    pub presence: Bucket,
    pub clock: SharedClock,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("an event cannot be written: {0}")]
    Event(#[from] serde_json::Error),
}

/// What a step has done.
#[derive(PartialEq, Eq)]
enum Step {
    Done,
    /// There is nothing to do before something has come through the log.
    Waits,
}

impl Eraser {
    /// Erases while this process leads, until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let rounds = Rounds {
            every: EVERY,
            health: &self.health,
            failures: &self.metrics.own_data.erasure_failures,
            meaning: "the erasure of users' data waits",
        };
        let stands_by = || _ = self.metrics.own_data.erasing.set(0);
        rounds.while_leading(&stop, || self.round(), stands_by).await;
    }

    async fn round(&self) -> Result<(), Fault> {
        let open = self.store.open_erasures(AT_ONCE).await?;
        self.metrics.own_data.erasing.set(i64::try_from(open.len()).unwrap_or(0));
        let mut outcome = Ok(());
        for erasure in open {
            // One that cannot go on does not keep the others.
            if let Err(fault) = self.work_on(erasure).await {
                outcome = Err(fault);
            }
        }
        outcome
    }

    async fn work_on(&self, mut erasure: Erasure) -> Result<(), Fault> {
        for _ in 0..STEPS {
            let step = self.step(&mut erasure).await?;
            self.store.note_erasure(&erasure).await?;
            if step == Step::Waits || erasure.stage == Stage::Done {
                break;
            }
        }
        Ok(())
    }

    async fn step(&self, erasure: &mut Erasure) -> Result<Step, Fault> {
        match erasure.stage {
            Stage::Closing => self.close(erasure).await,
            Stage::Done => Ok(Step::Waits),
            Stage::Messages | Stage::Rows | Stage::Log => {
                match self.store.next_ground(erasure.user, erasure.conversation).await? {
                    Some(ground) if ground.is_held => {
                        erasure.held += 1;
                        next(erasure, &ground);
                        Ok(Step::Done)
                    }
                    Some(ground) => match erasure.stage {
                        Stage::Messages => self.messages(erasure, &ground).await,
                        Stage::Rows => self.rows(erasure, &ground).await,
                        _ => self.events(erasure, &ground).await,
                    },
                    None => self.passed(erasure).await,
                }
            }
        }
    }

    /// Waits until nobody can write in the user's name.
    async fn close(&self, erasure: &mut Erasure) -> Result<Step, Fault> {
        if self.clock.now() < erasure.requested_at + CLOSING {
            return Ok(Step::Waits);
        }
        if erasure.through == 0 {
            erasure.through = reads::extent(&self.log).await?.last;
        }
        if self.store.progress().await?.last_seq < erasure.through {
            return Ok(Step::Waits);
        }
        begin(erasure, Stage::Messages);
        Ok(Step::Done)
    }

    async fn messages(&self, erasure: &mut Erasure, ground: &Ground) -> Result<Step, Fault> {
        if self.store.deletions_are_waiting().await? {
            return Ok(Step::Waits);
        }
        let looked = self.store.ask_for_deletions(erasure.user, ground, erasure.place).await?;
        erasure.found += looked.found;
        erasure.messages += looked.asked;
        match looked.next {
            Some(place) => erasure.place = place,
            None => next(erasure, ground),
        }
        Ok(Step::Done)
    }

    async fn rows(&self, erasure: &mut Erasure, ground: &Ground) -> Result<Step, Fault> {
        let (user, id) = (erasure.user, ground.conversation);
        let reactions = self.store.some_reactions(user, id).await?;
        // Looked for again in the next pass: what is under way comes first.
        erasure.found += reactions.len() as u64;
        if !reactions.is_empty() && !self.store.is_announcing(id).await? {
            let events = reactions.iter().map(|own| {
                event(
                    EventKind::ReactionUpdated,
                    &ReactionUpdated {
                        message_id: own.message,
                        conversation_id: id,
                        seq: own.message_seq,
                        emoji: own.emoji.clone(),
                        user_id: user,
                        added: false,
                    },
                )
            });
            let events = events.collect::<Result<Vec<_>, _>>()?;
            self.store.announce_taken_back(id, &events, self.clock.now()).await?;
        }
        let looked = self.store.take_names_off(user, id, erasure.place).await?;
        erasure.found += looked.found;
        if let Some(place) = looked.next {
            erasure.place = place;
            return Ok(Step::Done);
        }
        let removed = Change::ParticipantsRemoved;
        let left = |after: &Conversation| outbox::announcement_by(user, removed, vec![user], after);
        self.store.leave_for_good(user, ground, self.clock.now(), left).await?;
        next(erasure, ground);
        Ok(Step::Done)
    }

    /// What the log says of one conversation, and what is kept of it for those who come back.
    async fn events(&self, erasure: &mut Erasure, ground: &Ground) -> Result<Step, Fault> {
        let (user, id) = (erasure.user, ground.conversation);
        if self.store.is_announcing(id).await? {
            return Ok(Step::Waits);
        }
        let changes = self.store.changes_naming(user, id, erasure.place, PAGE).await?;
        let rewritten: Vec<_> = changes
            .iter()
            .filter_map(|(seq, text)| Some((*seq, without_profile(text, user)?)))
            .collect();
        self.store.rewrite_changes(&rewritten).await?;
        // Nothing is taken from the log before Postgres has it.
        let until = self.store.progress().await?.last_seq;
        let from = erasure.place + 1;
        let page = direct::page(&self.log, Some(id), from, until, PAGE as usize).await?;
        let (mut gone, mut holes) = (Vec::new(), Vec::new());
        for entry in &page.entries {
            match entry {
                Ok(event) => match naming(event.kind, &event.payload, user) {
                    Naming::Not => {}
                    Naming::Own => gone.push(event.seq),
                    Naming::OfOthers => holes.push(event.seq),
                },
                // What could not be understood went to the dead letters.
                Err(malformed) if names(&malformed.payload, user) => gone.push(malformed.seq),
                Err(_) => {}
            }
        }
        self.store.note_holes(&holes).await?;
        gone.append(&mut holes);
        erase::all(&self.log, &gone).await?;
        let rows = changes.last().map(|(seq, _)| *seq).filter(|_| changes.len() == PAGE as usize);
        let read = Some(page.through).filter(|through| *through < until);
        // Both are in the order of the log: on from where the first one ended.
        match [read, rows].into_iter().flatten().min() {
            Some(place) => erasure.place = place,
            None => next(erasure, ground),
        }
        Ok(Step::Done)
    }

    /// A pass through all conversations is at its end.
    async fn passed(&self, erasure: &mut Erasure) -> Result<Step, Fault> {
        let (user, now) = (erasure.user, self.clock.now());
        match erasure.stage {
            // Once more, until nothing is found: deletions take their way.
            Stage::Messages | Stage::Rows if erasure.found > 0 => {
                begin(erasure, erasure.stage);
                Ok(Step::Waits)
            }
            Stage::Messages => {
                begin(erasure, Stage::Rows);
                Ok(Step::Done)
            }
            Stage::Rows => {
                self.store.forget_user(user, now).await?;
                begin(erasure, Stage::Log);
                Ok(Step::Done)
            }
            _ => {
                // The collector is slower where the object store is away.
                if erasure.held == 0 && self.store.has_files(user).await? {
                    return Ok(Step::Waits);
                }
                dead_letter::erase_naming(self.log.context(), user).await?;
                self.presence.forget_user(user).await?;
                if erasure.held > 0 {
                    tracing::info!(held = erasure.held, "an erasure waits for a legal hold to end");
                    begin(erasure, Stage::Closing);
                    return Ok(Step::Waits);
                }
                self.store.finish_erasure(user, now).await?;
                // Whatever events up to here have told of the user is gone, and no difference to who compares.
                erasure.through = self.store.progress().await?.last_seq;
                begin(erasure, Stage::Done);
                erasure.finished_at = Some(now);
                self.metrics.own_data.erased.inc();
                tracing::info!(messages = erasure.messages, "a user's data is erased");
                Ok(Step::Done)
            }
        }
    }
}

/// The next conversation.
fn next(erasure: &mut Erasure, ground: &Ground) {
    erasure.conversation = ground.conversation;
    erasure.place = 0;
}

/// A stage, from the first conversation on.
fn begin(erasure: &mut Erasure, stage: Stage) {
    erasure.stage = stage;
    erasure.conversation = BEGINNING;
    erasure.place = 0;
    erasure.found = 0;
    // Counted in each pass; while it waits for them the last count stands.
    if stage != Stage::Closing {
        erasure.held = 0;
    }
}

fn event(kind: EventKind, data: &impl serde::Serialize) -> Result<OutboxEvent, serde_json::Error> {
    Ok(OutboxEvent { event: kind.as_str(), payload: serde_json::to_string(data)? })
}
