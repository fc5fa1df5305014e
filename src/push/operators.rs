//! What operators ask this process.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::bus::BusError;
use crate::bus::control::{Call, Calls};
use crate::wire::control::{Decision, NOTIFIED, Notified, OfEvent};

use super::Push;
use super::memory::{Note, Recalled, Step};

/// Notes of an answer: 180 bytes each, 220 KB.
const TOLD: usize = 1_200;

impl Push {
    /// Answers until cancelled.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when the subscription ends.
    pub async fn answer_operators(
        self: Arc<Self>,
        stop: CancellationToken,
    ) -> Result<(), BusError> {
        let answering = async {
            let mut calls = Calls::listen(&self.client).await?;
            loop {
                let call = calls.next().await?;
                // Other roles answer others, and so do later versions.
                if call.verb == NOTIFIED {
                    self.answer(&call).await;
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = answering => ended,
        }
    }

    async fn answer(&self, call: &Call) {
        let event: OfEvent = match serde_json::from_slice(&call.payload) {
            Ok(event) => event,
            // Only operators may call, so it is another version's.
            Err(cause) => return tracing::warn!(verb = call.verb, %cause, "a call cannot be read"),
        };
        let Recalled { notes, is_forgotten } = self.memory.of(event.seq);
        let is_cut = notes.len() > TOLD;
        let answer = Notified {
            process: self.process.clone(),
            is_forgotten: is_forgotten || is_cut,
            decisions: notes.into_iter().take(TOLD).map(decision).collect(),
        };
        match serde_json::to_vec(&answer) {
            Ok(body) => call.answer(body.into()).await,
            Err(cause) => tracing::error!(%cause, "an answer cannot be written"),
        }
    }
}

fn decision(note: Note) -> Decision {
    let (step, device_id) = match note.step {
        Step::First => ("first", None),
        Step::Second => ("second", None),
        Step::Sending(device) => ("sending", Some(device)),
    };
    let Note { user, at, what, .. } = note;
    Decision { user_id: user, device_id, at, step: step.to_owned(), what: what.to_owned() }
}
