//! Telling conversations that what they are about has changed.
//!
//! What is still to be told stands in the context's row, so that a process that dies leaves it to the others. There may be
//! thousands of conversations about one event, so it goes page by page beside everything else.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::conversation::Conversation;
use crate::domain::ids::UserId;
use crate::outbox;
use crate::wire::event::Change;

use super::{Fault, Ingest, pause};

/// Conversations told in one transaction, which holds their rows: the persister waits for them some 10 ms.
const PAGE: u32 = 100;
/// How often to look for what another process has left behind.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs until cancelled.
pub async fn run(ingest: Arc<Ingest>, stop: CancellationToken) {
    let mut failures = 0;
    loop {
        match all(&ingest, &stop).await {
            Ok(()) => failures = 0,
            Err(cause) => {
                failures += 1;
                ingest.metrics.ingest.failures.inc();
                tracing::warn!(%cause, failures, "news of a context have to wait");
                if !pause(failures, &stop).await {
                    return;
                }
                continue;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = ingest.told.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn all(ingest: &Ingest, stop: &CancellationToken) -> Result<(), Fault> {
    let announced = |after: &Conversation, by: UserId| {
        outbox::announcement_by(by, Change::Context, Vec::new(), after)
    };
    while !stop.is_cancelled() {
        let now = ingest.clock.now();
        let page = ingest.store.announce_contexts(PAGE, now, announced).await?;
        for conversation in page.conversations {
            ingest.outbox.drain(conversation).await?;
        }
        if !page.more {
            return Ok(());
        }
    }
    Ok(())
}
