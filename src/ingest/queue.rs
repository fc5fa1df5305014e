//! The work queue: batches of what services published, dealt with, parked where that cannot be, and acknowledged.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::bus::BusError;
use crate::bus::dead_letter::DeadLetter;
use crate::bus::dead_letter::services::{self, Origin};
use crate::bus::work::{self, Delivery, Work};
use crate::wire::error::{ApiError, Code};
use crate::wire::ingest::{Address, service_of};

use super::deliver::Outcome;
use super::item::{Item, named_key, placed_key};
use super::{Fault, Ingest, NAME, pause};

/// A message that was handed out so often and never dealt with brings down whoever takes it. While Postgres or the log
/// is away its holder keeps it, so that outages count as one.
const MAX_ATTEMPTS: u64 = 8;

/// Takes from the queue until cancelled.
///
/// # Errors
/// [`BusError::EpochChanged`] when the log was made anew: the process must start anew as well.
pub async fn run(ingest: Arc<Ingest>, stop: CancellationToken) -> Result<(), BusError> {
    let mut failures = 0;
    while !stop.is_cancelled() {
        let mut done = 0;
        match follow(&ingest, &stop, &mut done).await {
            Ok(()) => return Ok(()),
            Err(fault @ BusError::EpochChanged { .. }) => return Err(fault),
            Err(fault) => {
                failures = if done > 0 { 0 } else { failures + 1 };
                ingest.health.failed(&fault.clone().into());
                ingest.metrics.ingest.failures.inc();
                warn!(cause = %fault, failures, "the queue has to be taken up anew");
            }
        }
        pause(failures, &stop).await;
    }
    Ok(())
}

async fn follow(
    ingest: &Ingest,
    stop: &CancellationToken,
    done: &mut usize,
) -> Result<(), BusError> {
    let mut work = Work::begin(&ingest.client, ingest.settings.batch_size).await?;
    info!("taking what services publish");
    ingest.health.succeeded();
    loop {
        let batch = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            batch = work.next() => batch?,
        };
        let pending = batch.last().map_or(0, |last| last.pending);
        ingest.metrics.ingest.waiting.set(i64::try_from(pending).unwrap_or(i64::MAX));
        *done += batch.len();
        if !ingest.batch(batch, stop).await? {
            return Ok(());
        }
    }
}

impl Ingest {
    /// Deals with a batch, for as long as that takes; `false` when cancelled before its end.
    async fn batch(
        &self,
        batch: Vec<Delivery>,
        stop: &CancellationToken,
    ) -> Result<bool, BusError> {
        let mut items = Vec::with_capacity(batch.len());
        let mut taken = Vec::with_capacity(batch.len());
        let mut refused = Vec::new();
        for (at, delivery) in batch.iter().enumerate() {
            match self.read(delivery) {
                Ok(item) => {
                    items.push(item);
                    taken.push(at);
                }
                Err(refusal) => refused.push((at, refusal)),
            }
        }
        let outcomes = tokio::select! {
            outcomes = self.patiently(&items, stop) => outcomes?,
            cause = word(&batch) => return Err(cause),
        };
        let Some(outcomes) = outcomes else { return Ok(false) };
        let found = taken.into_iter().zip(outcomes);
        refused.extend(found.filter_map(|(at, outcome)| Some((at, outcome.err()?))));
        refused.sort_by_key(|(at, _)| *at);
        // In front of the acknowledgement: after a crash between the two they are parked again, under the same id.
        for (at, refusal) in &refused {
            while let Err(cause) = self.park(&batch[*at], refusal).await {
                self.failed(&cause.into());
                if !pause(usize::MAX, stop).await {
                    return Ok(false);
                }
            }
        }
        for delivery in &batch {
            delivery.done().await?;
        }
        Ok(true)
    }

    fn read(&self, delivery: &Delivery) -> Result<Item, ApiError> {
        if delivery.attempts > MAX_ATTEMPTS {
            let detail = format!("it was taken {MAX_ATTEMPTS} times and never dealt with");
            return Err(ApiError::new(Code::Internal, detail));
        }
        let address = Address::parse(delivery.subject())?;
        let max = self.settings.max_content_chars;
        Item::read(address, key(delivery)?, delivery.published_at, delivery.payload(), max)
    }

    /// Tries until it succeeds: what a service was told is stored is not given up because of an outage. `None` when
    /// cancelled.
    async fn patiently(
        &self,
        items: &[Item],
        stop: &CancellationToken,
    ) -> Result<Option<Vec<Outcome>>, BusError> {
        let mut failures = 0;
        loop {
            let fault = match self.process(items).await {
                Ok(outcomes) => {
                    self.health.succeeded();
                    return Ok(Some(outcomes));
                }
                Err(Fault::Bus(fault @ BusError::EpochChanged { .. })) => return Err(fault),
                Err(Fault::Store(cause)) if cause.is_refused_data() && items.len() > 1 => {
                    return Box::pin(self.one_by_one(items, stop)).await;
                }
                Err(Fault::Store(cause)) if cause.is_refused_data() => {
                    tracing::error!(%cause, "the database refuses what a service said");
                    let refusal = ApiError::new(Code::Invalid, "the database refuses it");
                    return Ok(Some(vec![Err(refusal)]));
                }
                Err(fault) => fault,
            };
            failures += 1;
            self.failed(&fault);
            if !pause(failures, stop).await {
                return Ok(None);
            }
        }
    }

    /// After the database refused something of a batch: only what is at fault is parked.
    async fn one_by_one(
        &self,
        items: &[Item],
        stop: &CancellationToken,
    ) -> Result<Option<Vec<Outcome>>, BusError> {
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            match self.patiently(std::slice::from_ref(item), stop).await? {
                Some(outcome) => outcomes.extend(outcome),
                None => return Ok(None),
            }
        }
        Ok(Some(outcomes))
    }

    fn failed(&self, fault: &Fault) {
        self.health.failed(fault);
        self.metrics.ingest.failures.inc();
        warn!(cause = %fault, "what services publish has to wait");
    }

    /// Sets a message aside for its service.
    async fn park(&self, delivery: &Delivery, refusal: &ApiError) -> Result<(), BusError> {
        // The reason may quote what somebody wrote; it is in the letter.
        warn!(
            seq = delivery.seq,
            code = refusal.code.as_str(),
            "a message goes to the dead letters"
        );
        let place = delivery.place();
        let key = key(delivery).unwrap_or_else(|_| placed_key(&place));
        let letter = DeadLetter {
            consumer: work::NAME,
            subject: delivery.subject().to_owned(),
            seq: delivery.seq,
            event: None,
            reason: &reason(refusal),
            attempts: u32::try_from(delivery.attempts).unwrap_or(u32::MAX),
            payload: delivery.payload().clone(),
        };
        let origin = Origin {
            service: service_of(delivery.subject()),
            msg_id: delivery.msg_id(),
            key: &key,
            place: &place,
            published_at: delivery.published_at,
        };
        services::park(self.letters.context(), letter, origin).await?;
        self.metrics.ingest.refused(refusal.code.as_str());
        self.metrics.dead_lettered(NAME);
        Ok(())
    }
}

/// Tells the server now and then that somebody is at it; ends only when it cannot.
async fn word(batch: &[Delivery]) -> BusError {
    loop {
        tokio::time::sleep(work::WORD_EVERY).await;
        for delivery in batch {
            if let Err(cause) = delivery.still_at_it().await {
                return cause;
            }
        }
    }
}

fn key(delivery: &Delivery) -> Result<String, ApiError> {
    match delivery.msg_id() {
        Some(id) => named_key(id),
        None => Ok(placed_key(&delivery.place())),
    }
}

/// The code and what is wrong, field by field, in one line.
fn reason(refusal: &ApiError) -> String {
    let mut text = format!("{}: {}", refusal.code.as_str(), refusal.detail);
    if refusal.errors.len() > 1 {
        for error in &refusal.errors {
            text.push_str(&format!("; {} {}", error.field, error.message));
        }
    }
    text
}
