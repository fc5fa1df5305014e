//! What became of jobs, many in one transaction.

use deadpool_postgres::Transaction;
use jiff::Timestamp;

use crate::domain::ids::Seq;
use crate::store::{Store, StoreError, execute, signed};

use super::DeviceId;
use super::claims::{Job, JobKind, Keys};

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The device shows the message of that place now.
    Shown(Seq),
    /// The device shows nothing of the conversation any more.
    Withdrawn,
    /// There was nothing to do.
    Needless,
    /// It was given up: the alert does not come again.
    GivenUp,
    /// The device is no more.
    DeviceGone,
    /// It is to be tried again then, and what follows on the same device and conversation waits for it.
    Again(Timestamp),
    /// It was not tried: to be tried then, as if it had not been claimed.
    Untried(Timestamp),
}

/// A job and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    pub job: Job,
    pub ending: Ending,
}

/// Whoever sends knows what a device shows, and nobody else sends for the same device and conversation meanwhile.
const SHOWN: &str = "
INSERT INTO push_slots AS s (conversation_id, user_id, device_id, done_seq, shown_seq, changed_at)
SELECT i.conversation_id, i.user_id, i.device_id, i.done_seq, i.shown_seq, $6::timestamptz
FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[])
    AS i(conversation_id, user_id, device_id, done_seq, shown_seq)
ON CONFLICT (conversation_id, user_id, device_id) DO UPDATE
SET done_seq = GREATEST(s.done_seq, EXCLUDED.done_seq), changed_at = EXCLUDED.changed_at,
    shown_seq = CASE EXCLUDED.shown_seq WHEN 0 THEN s.shown_seq ELSE EXCLUDED.shown_seq END";

const WITHDRAWN: &str = "
DELETE FROM push_slots s
USING UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[])
    AS i(conversation_id, user_id, device_id, seq, kind)
WHERE s.conversation_id = i.conversation_id AND s.user_id = i.user_id AND s.device_id = i.device_id";

const DONE: &str = "
DELETE FROM push_jobs j
USING UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[])
    AS i(conversation_id, user_id, device_id, seq, kind)
WHERE j.conversation_id = i.conversation_id AND j.user_id = i.user_id AND j.device_id = i.device_id
  AND j.seq = i.seq AND j.kind = i.kind";

/// `$7` is what an attempt counts: 1 takes it back.
const LATER: &str = "
UPDATE push_jobs j
SET due_at = i.due_at, is_claimed = false, attempts = GREATEST(j.attempts - $7, 0)
FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::timestamptz[])
    AS i(conversation_id, user_id, device_id, seq, kind, due_at)
WHERE j.conversation_id = i.conversation_id AND j.user_id = i.user_id AND j.device_id = i.device_id
  AND j.seq = i.seq AND j.kind = i.kind";

/// They cannot be sent before it, and nobody has to find that out again and again.
const FOLLOWERS: &str = "
UPDATE push_jobs j SET due_at = i.due_at
FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::timestamptz[])
    AS i(conversation_id, user_id, device_id, seq, kind, due_at)
WHERE j.conversation_id = i.conversation_id AND j.user_id = i.user_id AND j.device_id = i.device_id
  AND j.due_at < i.due_at AND NOT j.is_claimed";

impl Store {
    /// Notes what became of jobs, all of it or nothing.
    ///
    /// # Errors
    /// As every statement; to be repeated until it succeeds, or what was sent is sent again.
    pub async fn finish_jobs(
        &self,
        finished: &[Finished],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // In one order for everybody who writes many of these rows.
        let mut finished = finished.to_vec();
        finished.sort_unstable_by_key(|finished| finished.job);
        self.within(async {
            let mut client = self.client().await?;
            let tx = client.transaction().await?;
            write(&tx, &finished, now).await?;
            Ok(tx.commit().await?)
        })
        .await
    }
}

async fn write(
    tx: &Transaction<'_>,
    finished: &[Finished],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut shown: Vec<(Job, i64)> = Vec::new();
    let (mut withdrawn, mut done): (Vec<Job>, Vec<Job>) = (Vec::new(), Vec::new());
    let (mut again, mut untried) = (Vec::new(), Vec::new());
    let mut gone: Vec<DeviceId> = Vec::new();
    for Finished { job, ending } in finished {
        match *ending {
            Ending::Shown(seq) => shown.push((*job, signed(seq))),
            Ending::GivenUp if job.kind == JobKind::Alert => shown.push((*job, 0)),
            Ending::GivenUp | Ending::Needless => {}
            Ending::Withdrawn => withdrawn.push(*job),
            Ending::DeviceGone => gone.push(job.device_id),
            Ending::Again(at) => again.push((*job, at)),
            Ending::Untried(at) => untried.push((*job, at)),
        }
        if !matches!(ending, Ending::Again(_) | Ending::Untried(_)) {
            done.push(*job);
        }
    }
    slots(tx, &shown, now).await?;
    if !withdrawn.is_empty() {
        execute(tx, WITHDRAWN, &Keys::of(&withdrawn).params()).await?;
    }
    if !gone.is_empty() {
        execute(tx, "DELETE FROM devices WHERE id = ANY($1)", &[&gone]).await?;
    }
    if !done.is_empty() {
        execute(tx, DONE, &Keys::of(&done).params()).await?;
    }
    later(tx, &again, false).await?;
    later(tx, &untried, true).await
}

async fn slots(
    tx: &Transaction<'_>,
    shown: &[(Job, i64)],
    now: Timestamp,
) -> Result<(), StoreError> {
    if shown.is_empty() {
        return Ok(());
    }
    let jobs: Vec<Job> = shown.iter().map(|(job, _)| *job).collect();
    let done = |job: &Job| if job.kind == JobKind::Alert { signed(job.seq) } else { 0 };
    let done: Vec<i64> = jobs.iter().map(done).collect();
    let places: Vec<i64> = shown.iter().map(|(_, place)| *place).collect();
    let keys = Keys::of(&jobs);
    let [conversations, users, devices, _, _] = keys.params();
    execute(tx, SHOWN, &[conversations, users, devices, &done, &places, &now]).await?;
    Ok(())
}

async fn later(
    tx: &Transaction<'_>,
    jobs: &[(Job, Timestamp)],
    untried: bool,
) -> Result<(), StoreError> {
    if jobs.is_empty() {
        return Ok(());
    }
    let (jobs, times): (Vec<Job>, Vec<Timestamp>) = jobs.iter().copied().unzip();
    let keys = Keys::of(&jobs);
    let [conversations, users, devices, seqs, kinds] = keys.params();
    let back = i32::from(untried);
    let params = [conversations, users, devices, seqs, kinds, &times];
    execute(tx, LATER, &[conversations, users, devices, seqs, kinds, &times, &back]).await?;
    if !untried {
        execute(tx, FOLLOWERS, &params).await?;
    }
    Ok(())
}
