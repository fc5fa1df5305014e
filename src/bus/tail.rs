//! The tail: everything that enters the log, in order, to one receiver in this process.
//!
//! One consumer an edge, whatever the number of conversations. It begins some way back, so the same mechanism
//! fills the ring at boot, delivers live, and repairs after an outage: it is made again behind the last sequence
//! that was delivered.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::domain::ids::Seq;

use super::BusError;
use super::log::{Entry, Log};
use super::pull::{Kind, Pull};

/// Entries that may be on the way from the server: at 1 KiB each they are 4 MiB, and at 25,000 a second they
/// bridge a stall of 160 ms without the server having to wait for the next request.
const BATCH: usize = 4_096;
/// Pauses between attempts to attach again.
const BACKOFF: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

/// How the tail is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// It is attached and hears the server's heartbeat.
    pub attached: bool,
    /// The last sequence that was delivered.
    pub seq: Seq,
}

/// Receives what enters the log.
pub trait Receiver: Send {
    /// Entries in ascending `seq`, each exactly once.
    fn deliver(&mut self, entries: Vec<Entry>) -> impl Future<Output = ()> + Send;
    /// The tail had to attach again.
    fn reattached(&mut self);
}

/// Delivers from `from` on until cancelled.
///
/// # Errors
/// [`BusError::EpochChanged`] when the log was recreated: cursors and rings are void, the process must start
/// anew. Everything else is waited out.
pub async fn run(
    log: Log,
    from: Seq,
    mut receiver: impl Receiver,
    status: watch::Sender<Status>,
    stop: CancellationToken,
) -> Result<(), BusError> {
    let mut next = from.max(1);
    let mut failures = 0_usize;
    loop {
        let before = next;
        let session = follow(&log, &mut next, &mut receiver, &status);
        let fault = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            fault = session => fault,
        };
        status.send_modify(|s| s.attached = false);
        if let BusError::EpochChanged { .. } = fault {
            return Err(fault);
        }
        receiver.reattached();
        failures = if next > before { 0 } else { failures + 1 };
        warn!(cause = %fault, from = next, "the tail lost its place; attaching again");
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(BACKOFF[failures.min(BACKOFF.len() - 1)]) => {}
        }
    }
}

async fn follow(
    log: &Log,
    next: &mut Seq,
    receiver: &mut impl Receiver,
    status: &watch::Sender<Status>,
) -> BusError {
    let (mut pull, end) = match attach(log, *next).await {
        Ok(attached) => attached,
        Err(fault) => return fault,
    };
    info!(from = *next, "tail attached");
    // What the log ends with may have been erased or have expired: having everything that is left counts as
    // having come to the end.
    let caught_up = |pending: u64, last: Seq| if pending == 0 { last.max(end) } else { last };
    status.send_modify(|s| *s = Status { attached: true, seq: caught_up(pull.pending(), s.seq) });
    loop {
        let chunk = match pull.next().await {
            Ok(chunk) => chunk,
            Err(fault) => return fault,
        };
        let Some(last) = chunk.entries.last().map(seq_of) else { continue };
        let reached = if last < end { caught_up(chunk.pending(), last) } else { last };
        receiver.deliver(chunk.entries).await;
        *next = last + 1;
        status.send_modify(|s| s.seq = reached);
    }
}

/// A pull, and the last sequence of the log before it began.
async fn attach(log: &Log, from: Seq) -> Result<(Pull, Seq), BusError> {
    // The stream's identity is looked at each time: after an outage it may be another one.
    let end = log.check_epoch().await?;
    Ok((Pull::begin(log, &Kind::Ephemeral, from, BATCH).await?, end))
}

/// The sequence of an entry.
pub fn seq_of(entry: &Entry) -> Seq {
    match entry {
        Ok(event) => event.seq,
        Err(malformed) => malformed.seq,
    }
}
