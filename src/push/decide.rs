//! Deciding whom a message alerts. One worker decides at a time; the others stand by, and send.
//!
//! The decider follows the log without its payloads and lets Postgres have what it reads first, so that everything that
//! counts (content, markers, settings, deletions) is in one place, and the badge is true. Its places in the log are
//! committed together with the jobs that follow from what was read: nothing is decided twice, and nothing is left out.
//!
//! What it decides is in `looks.rs`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::bus::log::Entry;
use crate::bus::pull::{Chunk, Kind, Pull};
use crate::domain::ids::Seq;
use crate::store::leadership::{Leader, Office, Position};
use crate::store::push::SlotKey;
use crate::store::push::decide::Place;
use crate::wire::event::EventKind;

use super::looks::BATCH;
use super::window::Window;
use super::{Fault, NAME, Push};

/// The row in `progress` of the second look.
pub(super) const GRACE: &str = "push-grace";
/// The row of the persister, which is ahead of this.
const PERSIST: &str = "persist";

/// Events that are read ahead of Postgres: at 15,000 a second a third of a second, some 100 bytes each.
const READ_AHEAD: usize = 5_000;
/// Jobs that may wait to be sent. Beyond it nothing is decided: the log is the better place to wait, and at 2,000 a
/// second these are a minute's work.
const MAX_JOBS: u64 = 100_000;
/// How often the decider shows the database that it lives (it has 30 s for that), looks how far the persister is in case
/// nobody said so, and notes its places.
const BEAT: Duration = Duration::from_secs(1);
/// How often a page of what is shown is looked through for what was read without a word.
const SWEEP: Duration = Duration::from_secs(10);
/// Rows of a page: some 10 ms. A million notifications are looked through in half an hour.
const SWEEP_PAGE: u32 = 5_000;
/// What is shown for longer is forgotten: as long as the log remembers.
const SHOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// See the persister: longer than the longest outage that should pass without beginning anew.
const ACK_WAIT: Duration = Duration::from_secs(300);

/// What the log says that matters here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) place: Place,
    pub(super) kind: EventKind,
    pub(super) stored_at: Timestamp,
}

/// What a turn as decider has in hand.
pub(super) struct Turn {
    pull: Pull,
    pub(super) window: Window,
    /// Read and not decided: Postgres does not have it yet. With the places of events that matter to nobody.
    pub(super) pending: VecDeque<(Seq, Option<Heard>)>,
    pub(super) last: Option<Chunk>,
    /// Everything up to here was decided once.
    pub(super) decided: Seq,
    noted: (Seq, Seq),
    /// Too much waits to be sent.
    is_full: bool,
    pub(super) next_batch: Instant,
    next_sweep: Instant,
    sweep_behind: Option<SlotKey>,
}

impl Push {
    /// Waits for the lock and decides until something fails. It may be dropped at any moment: what was not committed is
    /// decided by the next one.
    pub(super) async fn decide(
        &self,
        progress: &watch::Sender<Seq>,
        done: &mut u64,
    ) -> Result<Infallible, Fault> {
        let mut leader = self.store.leader().await?;
        tracing::info!("push standing by");
        leader.lead(Office::Push, || self.is_well()).await?;
        let mut turn = self.begin(&leader).await?;
        tracing::info!(from = turn.window.passed() + 1, "push deciding");
        self.metrics.push.deciding.set(1);
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut persisted = progress.subscribe();
        loop {
            let first = turn.pending.front().map(|(seq, _)| *seq);
            let due = self.due_in(&turn.window);
            tokio::select! {
                chunk = turn.pull.next(), if turn.pending.len() < READ_AHEAD && turn.window.has_room() => {
                    turn.take(chunk?);
                }
                () = reached(&mut persisted, first, turn.next_batch), if !turn.is_full => {
                    let through = *persisted.borrow();
                    *done += self.first_look(&mut leader, &mut turn, through).await?;
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)),
                    if due.is_some() && !turn.is_full => {
                    self.second_look(&mut leader, &mut turn).await?;
                }
                _ = beat.tick() => self.beat(&leader, &mut turn, progress).await?,
            }
        }
    }

    async fn begin(&self, leader: &Leader) -> Result<Turn, Fault> {
        // After an outage it may be another one, whose sequences mean something else.
        let end = self.log.check_epoch().await?;
        let first = self.adopt_epoch(leader, leader.position(NAME).await?, NAME, end).await?;
        let second = self.adopt_epoch(leader, leader.position(GRACE).await?, GRACE, end).await?;
        let second = second.min(first);
        let kind = Kind::Durable {
            name: NAME,
            // Two batches may be on the way while others wait for Postgres.
            max_ack_pending: (READ_AHEAD + 4 * BATCH) as i64,
            ack_wait: ACK_WAIT,
            headers_only: true,
        };
        let pull = Pull::begin(&self.log, &kind, second + 1, BATCH).await?;
        let now = Instant::now();
        Ok(Turn {
            pull,
            window: Window::behind(second),
            pending: VecDeque::new(),
            last: None,
            decided: first,
            noted: (first, second),
            is_full: false,
            next_batch: now,
            next_sweep: now + SWEEP,
            sweep_behind: None,
        })
    }

    /// Where to go on. The very first start begins at the end of the log: what was said before there was push alerts
    /// nobody. A log that was made anew is read from its beginning.
    async fn adopt_epoch(
        &self,
        leader: &Leader,
        position: Position,
        name: &str,
        end: Seq,
    ) -> Result<Seq, Fault> {
        let epoch = self.log.epoch();
        let begin = match position.epoch.as_deref() {
            Some(known) if known == epoch => return Ok(position.last_seq),
            Some(_) => self.log.first_seq().saturating_sub(1).max(position.last_seq),
            None => end,
        };
        tracing::info!(epoch, from = begin + 1, reader = name, "following a new epoch of the log");
        leader.skip_to(name, begin).await?;
        leader.adopt_epoch(name, epoch).await?;
        Ok(begin)
    }

    fn due_in(&self, window: &Window) -> Option<Instant> {
        let left = window.next_due()?.duration_since(self.clock.now());
        Some(Instant::now() + Duration::try_from(left).unwrap_or_default())
    }

    pub(super) fn planned(&self, jobs: u64) {
        if jobs > 0 {
            self.metrics.push.jobs.inc_by(jobs);
            self.wake.notify_one();
        }
    }

    async fn beat(
        &self,
        leader: &Leader,
        turn: &mut Turn,
        progress: &watch::Sender<Seq>,
    ) -> Result<(), Fault> {
        match turn.pending.is_empty() {
            true => leader.heartbeat().await?,
            // A notice of the persister may have been lost.
            false => {
                let position = leader.position(PERSIST).await?;
                progress.send_if_modified(|known| {
                    let ahead = position.last_seq > *known;
                    *known = position.last_seq.max(*known);
                    ahead
                });
            }
        }
        self.note(leader, turn).await?;
        self.is_well();
        let known = self.online.look(Instant::now()).is_known();
        self.metrics.push.presence_known.set(known.into());
        let now = self.clock.now();
        let (oldest, waiting) = leader.push_backlog(now, MAX_JOBS).await?;
        self.metrics.push.waiting(waiting, oldest);
        turn.is_full = waiting >= MAX_JOBS;
        if Instant::now() >= turn.next_sweep {
            let before = now.checked_sub(SHOWN_FOR).unwrap_or(Timestamp::MIN);
            let swept = leader.sweep_slots(turn.sweep_behind, SWEEP_PAGE, before, now).await?;
            turn.sweep_behind = swept.next;
            turn.next_sweep = Instant::now() + SWEEP;
            self.planned(swept.refreshed);
        }
        Ok(())
    }

    /// Notes how far this is, where nothing followed from what was read.
    async fn note(&self, leader: &Leader, turn: &mut Turn) -> Result<(), Fault> {
        let places = (turn.decided, turn.window.passed());
        if turn.noted != places {
            leader.skip_to(NAME, places.0).await?;
            leader.skip_to(GRACE, places.1).await?;
            turn.noted = places;
        }
        Ok(())
    }
}

impl Turn {
    fn take(&mut self, chunk: Chunk) {
        self.pending.extend(chunk.entries.iter().map(heard));
        self.last = Some(chunk);
    }
}

/// What an entry says. One that nobody understands concerns the persister, which parks it.
fn heard(entry: &Entry) -> (Seq, Option<Heard>) {
    match entry {
        Ok(event) => {
            let matters = matches!(
                event.kind,
                EventKind::NewMessage | EventKind::MessageUpdated | EventKind::MessageDeleted
            );
            let place = Place { conversation_id: event.conversation, seq: event.seq };
            let stored_at =
                Timestamp::from_nanosecond(event.stored_at.into()).unwrap_or(Timestamp::UNIX_EPOCH);
            let heard = Heard { place, kind: event.kind, stored_at };
            (event.seq, matters.then_some(heard))
        }
        Err(malformed) => (malformed.seq, None),
    }
}

/// Waits until Postgres has the event `first`, and for the time of the next batch.
async fn reached(persisted: &mut watch::Receiver<Seq>, first: Option<Seq>, next_batch: Instant) {
    let Some(first) = first else { return std::future::pending().await };
    if persisted.wait_for(|seq| *seq >= first).await.is_err() {
        // Nobody will ever say so any more; the decider is about to be dropped with the sender.
        return std::future::pending().await;
    }
    tokio::time::sleep_until(next_batch).await;
}
