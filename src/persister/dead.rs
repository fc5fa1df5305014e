//! Parking what cannot be persisted.

use bytes::Bytes;

use crate::bus::dead_letter::{self, DeadLetter};
use crate::bus::log::LogEvent;
use crate::domain::ids::Seq;
use crate::wire::event::EventKind;
use crate::wire::subjects;

use super::{Fault, NAME, Persister};

/// An event that cannot be persisted, and why.
#[derive(Debug)]
pub struct Poison {
    pub seq: Seq,
    pub subject: String,
    /// Absent for what was no event.
    pub event: Option<EventKind>,
    pub reason: String,
    pub payload: Bytes,
}

impl Poison {
    pub fn of(event: &LogEvent, reason: String) -> Self {
        Self {
            seq: event.seq,
            subject: subjects::chat(event.conversation),
            event: Some(event.kind),
            reason,
            payload: event.payload.clone(),
        }
    }
}

impl Persister {
    /// Parks events. It comes before the commit that passes them: after a crash between the two they are parked
    /// again, under the same id, and nothing is lost.
    pub(super) async fn park(&self, poison: Vec<Poison>) -> Result<(), Fault> {
        for event in poison {
            // The reason may quote what somebody wrote; it is in the letter.
            tracing::error!(seq = event.seq, "an event goes to the dead letters");
            tracing::debug!(seq = event.seq, reason = event.reason, "why");
            let letter = DeadLetter {
                consumer: NAME,
                subject: event.subject,
                seq: event.seq,
                event: event.event.map(EventKind::as_str),
                reason: &event.reason,
                attempts: 1,
                payload: event.payload,
            };
            dead_letter::park(self.log.context(), letter).await?;
            self.metrics.dead_lettered(NAME);
        }
        Ok(())
    }
}
