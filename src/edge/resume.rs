//! Making up for an absence: everything that a user missed since a cursor, in order, once.
//!
//! Three sources, each for the stretch that the one before it does not reach: the ring in memory; Postgres, where
//! changes are coalesced; the log itself, for what has left the ring while the persister is behind. A stretch at a
//! time, until the ring's end is reached; from there a connection is live.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::ids::{ConversationId, Seq};
use crate::store::StoreError;
use crate::wire::error::ApiError;
use crate::wire::event::Cursor;

use super::hub::event::Event;
use super::hub::replay::Returning;
use super::{Edge, error, freshness};

mod bound;
pub mod frames;
mod sources;

pub use bound::{Limited, Limits};

/// How long somebody who comes back waits for a turn with the database: eight at a time (`max_replays`) take some
/// 10 ms each, so ten seconds are for 8,000 of them.
const TURN: Duration = Duration::from_secs(10);

/// Where a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Fresh,
    /// With what was missed since.
    Since(Seq),
    /// With what happens from now on, although a cursor was given; the reason why.
    Reset(&'static str),
}

/// Reads a cursor.
///
/// # Errors
/// `unavailable` when it cannot be found out whether it can be resumed from.
pub async fn start(edge: &Edge, cursor: Option<&str>) -> Result<Start, ApiError> {
    let Some(cursor) = cursor else { return Ok(Start::Fresh) };
    let Some(cursor) = Cursor::parse(cursor) else {
        return Ok(Start::Reset("the cursor is not one of this service"));
    };
    if cursor.epoch != edge.hub.epoch() {
        return Ok(Start::Reset("the cursor is of another epoch of the log"));
    }
    let seq = cursor.seq;
    if edge.hub.covers(seq) && seq <= edge.hub.last_seq() {
        return Ok(Start::Since(seq));
    }
    let extent = freshness::extent(edge).await.map_err(|cause| error::bus(&cause))?;
    if seq > extent.last {
        return Ok(Start::Reset("the cursor is ahead of the log"));
    }
    if seq + 1 < extent.first {
        return Ok(Start::Reset("the cursor is older than what the log keeps"));
    }
    // Another node may be ahead of this one. If this one does not get there in time, what is missing comes live.
    freshness::routed(edge, seq, freshness::ROUTED_FOR_REPLAY).await;
    Ok(Start::Since(seq))
}

/// A stretch of what was missed.
pub struct Page {
    /// Conversations of which too much was missed. Known before the events, and to be told before them.
    pub limited: Vec<Limited>,
    /// In order.
    pub events: Vec<Event>,
    /// With this, everything up to here is made up for.
    pub through: Seq,
    /// It is the last: a connection is live from here on.
    pub end: bool,
}

/// An absence that is being made up for.
pub struct Replay<'a> {
    edge: &'a Edge,
    returning: Returning<'a>,
    at: Seq,
    /// Arrivals in conversations that are certain to be the first there.
    joined: HashMap<ConversationId, Seq>,
    /// Arrivals up to here were looked at.
    checked: Seq,
}

impl<'a> Replay<'a> {
    /// For somebody who has everything up to `at`, which counts as delivered from now on.
    pub fn new(edge: &'a Edge, returning: Returning<'a>, at: Seq) -> Self {
        let found_room = edge.deliveries.returned(returning.user(), at, edge.clock.now());
        edge.metrics.deliveries_dropped.inc_by(u64::from(!found_room));
        Self { edge, returning, at, joined: HashMap::new(), checked: at }
    }

    /// The next stretch.
    ///
    /// # Errors
    /// `unavailable` when a source that is needed cannot be reached in time.
    pub async fn next(&mut self) -> Result<Page, ApiError> {
        self.check_arrivals().await?;
        let recent = self.edge.hub.replay(self.returning, self.at, &self.joined);
        let mut page = match recent {
            Some(recent) => {
                self.edge.metrics.replayed("ring");
                sources::from_ring(self.edge, self.at, recent).await
            }
            None => self.distant().await?,
        };
        self.at = page.through;
        let now = self.edge.clock.now();
        page.events = page.events.into_iter().filter_map(|event| event.shown_at(now)).collect();
        Ok(page)
    }

    /// What has left the ring.
    async fn distant(&self) -> Result<Page, ApiError> {
        let turn = tokio::time::timeout(TURN, self.edge.replays.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(ApiError::unavailable()) };
        match sources::from_store(self.edge, self.returning, self.at).await {
            Ok(Some(page)) => {
                self.edge.metrics.replayed("postgres");
                return Ok(page);
            }
            // The persister is behind what has left the ring.
            Ok(None) => {}
            Err(cause @ StoreError::Unavailable(_)) => {
                tracing::warn!(%cause, "replaying from the log without the database");
            }
            Err(cause) => return Err(error::store(cause)),
        }
        self.edge.metrics.replayed("log");
        sources::from_log(self.edge, self.returning, self.at).await
    }

    /// The announcement of an arrival can be in the log twice. Only where Postgres knows no earlier one is it
    /// certain that nothing was missed before it.
    async fn check_arrivals(&mut self) -> Result<(), ApiError> {
        let moves = self.edge.hub.moves_of(self.returning.user(), self.checked);
        let Some(last) = moves.last() else { return Ok(()) };
        self.checked = last.seq;
        let mut first: HashMap<ConversationId, Seq> = HashMap::new();
        for arrival in moves.iter().filter(|one| one.gained) {
            first.entry(arrival.conversation).or_insert(arrival.seq);
        }
        let conversations: Vec<ConversationId> = first.keys().copied().collect();
        let known = match self.edge.store.joined(self.returning.user(), &conversations).await {
            Ok(known) => known,
            // Too much rather than too little: participants may read what came before them.
            Err(StoreError::Unavailable(_)) => return Ok(()),
            Err(cause) => return Err(error::store(cause)),
        };
        let certain = |conversation: &ConversationId, seq: Seq| {
            known.get(conversation).is_none_or(|known| *known == 0 || *known == seq)
        };
        self.joined.extend(first.into_iter().filter(|(c, seq)| certain(c, *seq)));
        Ok(())
    }
}
