//! Sending what is due. Any number of workers do.
//!
//! A worker claims jobs for as many requests as may be under way, so that a slow answer keeps one place busy and delays
//! nobody else; what became of them is written many at a time. A job that was claimed by somebody who is gone comes again
//! when its lease is over. It may have been sent, so it is sent without a sound: at worst a notification that nobody
//! has heard, never one that is heard twice.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bus::dead_letter::{self, DeadLetter};
use crate::store::push::claims::{Claim, Job, JobKind};
use crate::store::push::finish::{Ending, Finished};
use crate::telemetry::metrics::Sent;
use crate::wire::subjects;

use super::memory::{Note, Step};
use super::notification::{Kind, Sound};
use super::plan::{Plan, Sending, later, plan};
use super::{NAME, Outcome, Push};

/// While a sender claims, or writes what became of its jobs, none of its requests gets on. With three there are always others that
/// send: 1,400 notifications a second with one on two cores. Three times a connection to the database at most.
const SENDERS: usize = 3;
/// Jobs claimed at once: the statements for so many take some 15 ms, in which nothing is sent by this worker.
const CLAIM: usize = 256;
/// How often it is looked for what has become due, or what another worker has decided. A query of a tenth of a
/// millisecond when there is nothing.
const LOOK: Duration = Duration::from_millis(250);
/// How long results wait for others to be written with them, and how many do at most. What is not written when the
/// worker dies is sent again, without a sound.
const GATHER: Duration = Duration::from_millis(10);
const GATHERED: usize = 128;
/// Pause after Postgres has failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is tried whether the credentials are accepted again.
const PROBE: Duration = Duration::from_secs(5);
/// The first pause before another attempt; each is twice the one before.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// After this many attempts a notification is given up: with the pauses above 38 minutes.
pub const MAX_ATTEMPTS: u32 = 16;

/// The state of one sender.
struct Sender {
    /// When to look for jobs.
    next: Instant,
    finished: Vec<Finished>,
    /// When to write what became of them.
    write: Instant,
    /// FCM has refused who we are; one job at a time finds out when that is over.
    refused: bool,
    failing: bool,
}

impl Sender {
    fn note(&mut self, finished: Finished) {
        if self.finished.is_empty() && !self.failing {
            self.write = Instant::now() + GATHER;
        }
        self.finished.push(finished);
    }

    /// Is what became of jobs to be written now?
    fn is_due(&self, idle: bool) -> bool {
        let many = idle || self.finished.len() >= GATHERED;
        !self.finished.is_empty() && (Instant::now() >= self.write || (many && !self.failing))
    }
}

impl Push {
    /// How many senders share what may be under way.
    pub fn senders(&self) -> usize {
        SENDERS.min(self.settings.concurrency)
    }

    /// Sends until cancelled; what is under way then is finished. To be started [`Self::senders`] times.
    pub async fn send(self: Arc<Self>, stop: CancellationToken) {
        let mut under_way = FuturesUnordered::new();
        let share = self.settings.concurrency / self.senders();
        let mut told = 0;
        let now = Instant::now();
        let mut sender =
            Sender { next: now, finished: Vec::new(), write: now, refused: false, failing: false };
        self.check_credentials(&mut sender).await;
        loop {
            let stopping = stop.is_cancelled();
            if stopping && under_way.is_empty() {
                if !sender.finished.is_empty() {
                    tracing::warn!(
                        notifications = sender.finished.len(),
                        "they will be repeated without a sound"
                    );
                }
                return;
            }
            let room = share.saturating_sub(under_way.len());
            let limit = if sender.refused { room.min(1) } else { room.min(CLAIM) };
            // Few large claims rather than many small ones.
            let enough = 2 * limit >= CLAIM.min(share);
            let may_claim = !stopping
                && (!sender.failing || sender.finished.is_empty())
                && (under_way.is_empty() || (enough && !sender.refused));
            tokio::select! {
                () = stop.cancelled(), if !stopping => {}
                Some(finished) = under_way.next(), if !under_way.is_empty() => {
                    sender.note(finished);
                }
                () = self.wake.notified(), if may_claim && !sender.refused => sender.next = Instant::now(),
                () = tokio::time::sleep_until(sender.next), if may_claim => {
                    let claims = self.claim(&mut sender, limit).await;
                    if claims.is_empty() && sender.refused {
                        self.probe(&mut sender).await;
                    }
                    under_way.extend(claims.into_iter().map(|claim| self.work(claim)));
                }
                () = tokio::time::sleep_until(sender.write), if !sender.finished.is_empty() => {}
            }
            while let Some(Some(finished)) = under_way.next().now_or_never() {
                sender.note(finished);
            }
            let now_under_way = under_way.len() as i64;
            self.metrics
                .push
                .under_way
                .inc_by(now_under_way - std::mem::replace(&mut told, now_under_way));
            if sender.is_due(under_way.is_empty()) {
                self.settle(&mut sender).await;
            }
        }
    }

    /// Says at the start, and not at the first notification, that nothing can be sent.
    async fn check_credentials(&self, sender: &mut Sender) {
        if let Err(Outcome::Credentials { reason }) = self.fcm.check().await {
            self.refused(sender, &reason);
        }
    }

    /// With nothing to send, a node that is refused would never learn that it is accepted again.
    async fn probe(&self, sender: &mut Sender) {
        sender.next = Instant::now() + PROBE;
        let is_idle = matches!(self.store.has_push_jobs().await, Ok(false));
        if is_idle && self.fcm.check().await.is_ok() {
            self.accepted(sender);
        }
    }

    fn accepted(&self, sender: &mut Sender) {
        if std::mem::take(&mut sender.refused) {
            self.health.refused.store(false, Ordering::Relaxed);
            self.metrics.push.refused.set(0);
            tracing::info!("FCM accepts the credentials again");
        }
    }

    async fn claim(&self, sender: &mut Sender, limit: usize) -> Vec<Claim> {
        let now = self.clock.now();
        let until = later(now, self.settings.lease);
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        match self.store.claim_jobs(now, until, limit).await {
            Ok(claims) => {
                if std::mem::take(&mut sender.failing) {
                    tracing::info!("notifications are sent again");
                }
                let pause = match claims.len() {
                    0 => LOOK,
                    // There may be more, once there is room.
                    _ => Duration::ZERO,
                };
                sender.next = Instant::now() + pause;
                claims
            }
            Err(cause) => {
                if !std::mem::replace(&mut sender.failing, true) {
                    tracing::warn!(%cause, "notifications wait for the database");
                }
                sender.next = Instant::now() + PAUSE;
                Vec::new()
            }
        }
    }

    /// Writes what became of jobs. While that fails nothing new is claimed.
    async fn settle(&self, sender: &mut Sender) {
        let any = |is: fn(&Ending) -> bool| sender.finished.iter().any(|f| is(&f.ending));
        let refused = any(|ending| matches!(ending, Ending::Untried(_)));
        let accepted = any(|ending| {
            matches!(ending, Ending::Shown(_) | Ending::Withdrawn | Ending::DeviceGone)
        });
        match self.store.finish_jobs(&sender.finished, self.clock.now()).await {
            Ok(()) => {
                sender.finished.clear();
                sender.failing = false;
            }
            Err(cause) => {
                if !std::mem::replace(&mut sender.failing, true) {
                    tracing::warn!(%cause, "what was sent waits to be noted");
                }
                sender.write = Instant::now() + PAUSE;
            }
        }
        if refused {
            sender.refused = true;
            sender.next = Instant::now() + PROBE;
        } else if accepted {
            self.accepted(sender);
        }
    }

    fn refused(&self, sender: &mut Sender, reason: &str) {
        self.say_refused(reason);
        sender.refused = true;
    }

    fn say_refused(&self, reason: &str) {
        if !self.health.refused.swap(true, Ordering::Relaxed) {
            tracing::error!(reason, "FCM refuses the credentials; notifications wait");
        }
        self.metrics.push.refused.set(1);
    }

    /// Does one job.
    async fn work(&self, claim: Claim) -> Finished {
        let job = claim.job;
        let ending = match plan(&claim, self.settings.rules, self.clock.now()) {
            Plan::Nothing(reason) => {
                tracing::debug!(seq = job.seq, user = %job.user_id, reason, "nothing to send");
                self.metrics.push.dropped(reason);
                self.remember(&job, reason);
                Ending::Needless
            }
            Plan::Send(sending) => self.deliver(&claim, &sending).await,
        };
        Finished { job, ending }
    }

    async fn deliver(&self, claim: &Claim, sending: &Sending) -> Ending {
        let began = Instant::now();
        let outcome = self.fcm.send(&sending.device, &sending.notification).await;
        self.metrics.push.request_seconds.observe(began.elapsed());
        let now = self.clock.now();
        self.remember(&claim.job, became(&outcome, sending, claim.attempts));
        match outcome {
            Outcome::Sent => {
                self.metrics.push.sent(match (claim.job.kind, sending.shows) {
                    (_, None) => Sent::Dismissal,
                    (JobKind::Alert, Some(_)) => Sent::Alert,
                    (JobKind::Refresh, Some(_)) => Sent::Update,
                });
                sending.shows.map_or(Ending::Withdrawn, Ending::Shown)
            }
            Outcome::TokenGone => {
                self.metrics.push.failed("token_gone");
                Ending::DeviceGone
            }
            Outcome::Credentials { reason } => {
                self.metrics.push.failed("credentials");
                self.say_refused(&reason);
                Ending::Untried(later(now, PROBE))
            }
            Outcome::Retry { after, reason } if claim.attempts < MAX_ATTEMPTS => {
                self.metrics.push.failed("retry");
                tracing::debug!(
                    seq = claim.job.seq,
                    reason,
                    attempts = claim.attempts,
                    "to be tried again"
                );
                Ending::Again(later(now, after.unwrap_or_else(|| pause(claim.attempts))))
            }
            Outcome::Retry { reason, .. } => self.give_up(claim, sending, &reason, now).await,
            Outcome::Rejected { reason } => self.give_up(claim, sending, &reason, now).await,
        }
    }

    /// For operators who ask what became of a message. What replaces a notification, or takes it away, is not about one.
    fn remember(&self, job: &Job, what: &'static str) {
        if job.kind == JobKind::Alert {
            let (step, at) = (Step::Sending(job.device_id), self.clock.now());
            self.memory.note([Note { seq: job.seq, user: Some(job.user_id), at, step, what }]);
        }
    }

    /// Parks it. A letter that cannot be parked is no reason to forget it: it is tried once more.
    async fn give_up(
        &self,
        claim: &Claim,
        sending: &Sending,
        reason: &str,
        now: Timestamp,
    ) -> Ending {
        self.metrics.push.failed("given_up");
        let job = claim.job;
        let payload = letter(&job, sending);
        let letter = DeadLetter {
            consumer: NAME,
            subject: subjects::chat(job.conversation_id),
            seq: job.seq,
            event: None,
            reason,
            attempts: claim.attempts,
            payload: payload.into(),
        };
        let id = format!("{NAME}:{}:{}:{}", job.seq, job.device_id, kind(job.kind));
        match dead_letter::park_as(self.log.context(), &id, letter).await {
            Ok(()) => {
                tracing::warn!(seq = job.seq, reason, "a notification goes to the dead letters");
                self.metrics.dead_lettered(NAME);
                Ending::GivenUp
            }
            Err(cause) => {
                tracing::warn!(%cause, "a notification cannot be parked; it is tried once more");
                Ending::Again(later(now, LAST_RETRY))
            }
        }
    }
}

/// What became of a request, by the names of the metrics.
fn became(outcome: &Outcome, sending: &Sending, attempts: u32) -> &'static str {
    match (outcome, &sending.notification.kind) {
        (Outcome::Sent, Kind::Show { sound: Sound::Quiet, .. }) => "sent_quietly",
        (Outcome::Sent, _) => "sent",
        (Outcome::TokenGone, _) => "token_gone",
        (Outcome::Credentials { .. }, _) => "credentials",
        (Outcome::Retry { .. }, _) if attempts < MAX_ATTEMPTS => "retry",
        (Outcome::Retry { .. } | Outcome::Rejected { .. }, _) => "given_up",
    }
}

/// What an operator needs to know of a notification, which is not what it said, nor the token.
fn letter(job: &Job, sending: &Sending) -> String {
    serde_json::json!({
        "conversationId": job.conversation_id,
        "messageId": sending.notification.message,
        "userId": job.user_id,
        "deviceId": job.device_id,
        "platform": sending.device.platform.as_str(),
        "kind": kind(job.kind),
    })
    .to_string()
}

fn kind(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Alert => "alert",
        JobKind::Refresh => "refresh",
    }
}

/// The pause behind so many attempts.
fn pause(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    (FIRST_RETRY * 2_u32.pow(doublings)).min(LAST_RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_given_up_after_38_minutes() {
        let pauses: Vec<u64> = (1..MAX_ATTEMPTS).map(|n| pause(n).as_secs()).collect();
        assert_eq!(pauses[..4], [1, 2, 4, 8]);
        assert_eq!(pauses.last(), Some(&300));
        let minutes = pauses.iter().sum::<u64>() / 60;
        assert_eq!(minutes, 38);
    }
}
