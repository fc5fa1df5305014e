//! An edge from its parts: its connections to NATS, what it holds of Postgres in memory, and what joins the two.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::log::Log;
use crate::bus::presence::Bucket;
use crate::bus::publish::{self, Publisher};
use crate::bus::{self, tail};
use crate::domain::ids::Seq;
use crate::edge::blocks::Blocks;
use crate::edge::erased::Erased;
use crate::edge::hub::Hub;
use crate::edge::hub::ring::Ring;
use crate::edge::newcomers::Newcomers;
use crate::edge::presence::Presence;
use crate::edge::presence::keeper::Keeper;
use crate::edge::standing::Standings;
use crate::edge::ws::admission::Gate;
use crate::edge::{
    Edge, arrivals, auth, delivery, export, freshness, limits, media, posting, reads, search,
    signals,
};
use crate::outbox::Outbox;
use crate::store::StoreError;

use super::Parts;
use super::work::Work;

/// Three connections: a read blocks its connection's loop while the server fetches from disk, and neither acknowledgements
/// nor the tail may wait for that.
struct Lines {
    reading: bus::Client,
    log: Log,
    tailing: bus::Client,
    tail_log: Log,
    publisher: Publisher,
    driver: publish::Driver,
}

impl Lines {
    async fn open(parts: &Parts) -> anyhow::Result<Self> {
        let tailing = bus::connect::connect(&parts.nats, "edge-tail").await?;
        let reading = bus::connect::connect(&parts.nats, "edge-read").await?;
        let log = Log::open(&reading).await?;
        let tail_log = Log::open(&tailing).await?;
        let (nats, settings, metrics) = (parts.nats.clone(), parts.publish, parts.metrics.clone());
        let (publisher, driver) = Publisher::start(nats, "edge-publish", settings, metrics).await?;
        Ok(Self { reading, log, tailing, tail_log, publisher, driver })
    }
}

/// What is read of Postgres before anything is served, and kept up from then on.
struct Held {
    /// How far the persister was.
    persisted: Seq,
    standings: Standings,
    erased: Erased,
    blocks: Arc<Blocks>,
    newcomers: Newcomers,
}

impl Held {
    async fn load(parts: &Parts) -> Result<Self, StoreError> {
        let (store, now) = (&parts.store, parts.clock.now());
        Ok(Self {
            persisted: store.progress().await?.last_seq,
            standings: Standings::load(store).await?,
            erased: Erased::load(store).await?,
            blocks: Arc::new(Blocks::load(store).await?),
            newcomers: Newcomers::new(parts.settings.new_for, store, now).await?,
        })
    }
}

/// The edge, which serves nobody yet, and what has to run for it.
///
/// # Errors
/// When NATS or Postgres does not answer, or a setting cannot be used.
pub(super) async fn build(parts: Parts) -> anyhow::Result<(Arc<Edge>, Work)> {
    let lines = Lines::open(&parts).await?;
    let tail_from = beginning(&parts, &lines.log).await?;
    let before = tail::Status { attached: false, seq: tail_from - 1 };
    let (tail_status, tail_seen) = watch::channel(before);
    let held = Held::load(&parts).await.context("Postgres cannot be read")?;
    let (persisted, persisted_seen) = watch::channel(held.persisted);
    let (arrivals, loader) =
        arrivals::arrivals(parts.store.clone(), parts.settings.max_conversations_per_user);
    let (heads, asker) = freshness::heads(lines.log.clone());
    let (reads, committer) = reads::reads(parts.store.clone(), parts.clock.clone());
    let presence = Presence::new(&parts.presence, held.blocks.clone(), parts.clock.clone());
    let presence = Arc::new(presence);
    let keeper = keeper(&parts, presence.clone(), lines.reading.clone());
    let ring = Ring::new(parts.ring, tail_from);
    let hub = Hub::new(lines.log.epoch(), ring, parts.clock.clone(), parts.metrics.clone());
    posting::load(&parts.store, &hub).await.context("Postgres cannot be read")?;
    let outbox = Outbox::new(parts.store.clone(), lines.publisher.clone(), parts.clock.clone());
    let edge = Arc::new(Edge {
        replays: Semaphore::new(parts.settings.max_replays),
        gate: Gate::new(parts.settings.connects_per_second),
        searches: search::Turns::default(),
        auth: auth::Authenticator::new(&parts.auth).await?,
        limits: limits::Limits::new(parts.limits),
        newcomers: held.newcomers,
        standings: held.standings,
        hub: Arc::new(hub),
        blocks: held.blocks,
        settings: parts.settings,
        store: parts.store,
        publisher: lines.publisher,
        log: lines.log,
        signals: lines.reading,
        heads,
        arrivals,
        reads,
        deliveries: delivery::Deliveries::default(),
        typing: signals::Typing::default(),
        media: media::Media::new(parts.media)?,
        exports: export::Exports::default(),
        erased: held.erased,
        presence,
        persisted: persisted_seen,
        tail: tail_seen,
        clock: parts.clock,
        metrics: parts.metrics,
        outbox,
        sampler: parts.sampler,
        sessions: TaskTracker::new(),
        draining: AtomicBool::new(false),
        leaving: CancellationToken::new(),
        finished: CancellationToken::new(),
    });
    let work = Work {
        driver: lines.driver,
        tail_log: lines.tail_log,
        tail_client: lines.tailing,
        tail_from,
        tail_status,
        persisted,
        asker,
        loader,
        committer,
        keeper,
    };
    Ok((edge, work))
}

/// Where the tail begins: back by what the ring can hold; without a limit of events, by a default ring.
async fn beginning(parts: &Parts, log: &Log) -> anyhow::Result<Seq> {
    let back = if parts.ring.events == 0 { 100_000 } else { parts.ring.events as u64 };
    // What was erased although it still stands would be missing from the ring: whoever asks for it gets it from Postgres.
    let hole = parts.store.newest_hole().await.context("Postgres cannot be read")?;
    Ok(log.last_seq().saturating_sub(back).max(hole.min(log.last_seq())) + 1)
}

fn keeper(parts: &Parts, presence: Arc<Presence>, client: bus::Client) -> Keeper {
    let edge_ttl = parts.presence.timing.edge_ttl;
    let settings = bus::presence::Settings { edge_ttl, create: parts.presence.create };
    let metrics = parts.metrics.clone();
    Keeper { presence, bucket: Bucket::new(client, settings), edge_ttl, metrics }
}
