//! A copy of a user's own data.
//!
//! It is made once, into a file on this node's disk, and kept in the object store for a day, where any node finds it: its
//! bytes never change, so a download that was cut off goes on where it was. Where there is no object store the node
//! that made it keeps it, for an hour.
//!
//! The one who asks waits for a moment, in which most copies are ready; whoever has much is told to come back. A node
//! that dies leaves a copy without a sign of life, and the next request begins another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::ids::UserId;
use crate::domain::media::{Facts, MediaKey};
use crate::media::objects::Object;
use crate::media::spool::Spooled;
use crate::store::media::NewMedia;
use crate::store::own_data::exports::{Export, Over, State};
use crate::store::own_data::pages::OF_NOBODY;
use crate::wire::error::{ApiError, Code};

use super::{Edge, error, freshness};
use build::{Build, Fault, Sources};

pub mod archive;
pub mod build;
mod pages;

/// Copies that a node makes at a time: a page of messages each, 16 MB at worst, and a processor that packs.
const AT_ONCE: usize = 2;
/// How long the one who asks waits: clients give up after 15 s and more.
const PATIENCE: Duration = Duration::from_secs(8);
/// Without a sign of life for so long, 15 of them, a copy is given up.
const SILENT: SignedDuration = SignedDuration::from_secs(30);
/// Whoever asks anew gets the same copy for so long: this is also how often somebody can make the service work for it.
const FRESH: SignedDuration = SignedDuration::from_mins(10);
/// How long a copy stays, to be downloaded by a slow network.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// How long storing one may take, after which it is collected.
const STORING: SignedDuration = SignedDuration::from_hours(2);
/// How long a node keeps one itself, and how many.
const HELD: SignedDuration = SignedDuration::from_hours(1);
const MAX_HELD: usize = 16;

/// Copies of this node.
pub struct Exports {
    places: Arc<Semaphore>,
    /// Those that it keeps itself.
    held: Mutex<HashMap<UserId, Held>>,
}

struct Held {
    key: MediaKey,
    file: Spooled,
    since: Timestamp,
}

/// What there is.
pub enum Copy {
    Ready(Ready),
    /// Come back.
    Preparing(Export),
}

/// A copy that can be had.
pub struct Ready {
    pub key: MediaKey,
    pub made_at: Timestamp,
    pub size: u64,
    /// Where it is, if not in the object store.
    pub held: Option<Spooled>,
}

impl Default for Exports {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), held: Mutex::default() }
    }
}

impl Exports {
    fn held(&self, user: UserId, key: MediaKey) -> Option<Spooled> {
        let held = self.held.lock();
        held.get(&user).filter(|held| held.key == key).map(|held| held.file.clone())
    }

    fn hold(&self, user: UserId, held: Held) {
        let mut all = self.held.lock();
        let over = held.since - HELD;
        all.retain(|_, other| other.since > over);
        while all.len() >= MAX_HELD {
            let oldest = all.iter().min_by_key(|(_, held)| held.since).map(|(user, _)| *user);
            let Some(oldest) = oldest else { break };
            all.remove(&oldest);
        }
        all.insert(user, held);
    }

    /// Keeps nothing of this user's any more.
    pub fn forget(&self, user: UserId) {
        self.held.lock().remove(&user);
    }
}

/// The user's copy, made if need be. `resuming`: somebody goes on with a download, so an older one is as good.
///
/// # Errors
/// `unavailable`, also where the node has enough to do.
pub async fn get(edge: &Arc<Edge>, user: UserId, resuming: bool) -> Result<Copy, ApiError> {
    let now = edge.clock.now();
    let latest = edge.store.export_of(user).await.map_err(error::store)?;
    if let Some(export) = latest {
        let is_good = resuming || export.changed_at > now - FRESH;
        if export.state == State::Ready
            && is_good
            && let Some(ready) = ready(edge, user, &export).await?
        {
            return Ok(Copy::Ready(ready));
        }
        if export.state == State::Building && export.changed_at > now - SILENT {
            return Ok(Copy::Preparing(export));
        }
    }
    let Ok(place) = edge.exports.places.clone().try_acquire_owned() else { return Err(busy()) };
    let key = MediaKey::new_v4();
    // One that was kept by a node that is gone counts for nothing, however fresh.
    let lost = latest.filter(|export| export.state == State::Ready).map(|_| now);
    let over = Over { silent_since: now - SILENT, ready_before: lost.unwrap_or(now - FRESH) };
    let begun = edge.store.begin_export(user, key, over, now).await.map_err(error::store)?;
    if !begun {
        // Another request was faster.
        let export = edge.store.export_of(user).await.map_err(error::store)?;
        return export.map(Copy::Preparing).ok_or_else(ApiError::unavailable);
    }
    let export = Export {
        key,
        state: State::Building,
        messages: 0,
        files: 0,
        started_at: now,
        changed_at: now,
    };
    let making = edge.sessions.spawn(make(edge.clone(), user, export, place));
    match tokio::time::timeout(PATIENCE, making).await {
        Err(_) => Ok(Copy::Preparing(export)),
        Ok(Ok(Some(export))) => match ready(edge, user, &export).await? {
            Some(ready) => Ok(Copy::Ready(ready)),
            None => Err(ApiError::unavailable()),
        },
        // Logged where it failed.
        Ok(Ok(None) | Err(_)) => Err(ApiError::unavailable()),
    }
}

async fn ready(edge: &Edge, user: UserId, export: &Export) -> Result<Option<Ready>, ApiError> {
    let (key, made_at) = (export.key, export.changed_at);
    if !edge.media.keeps_files() {
        let held = edge.exports.held(user, key);
        return Ok(held.map(|file| Ready { key, made_at, size: file.size(), held: Some(file) }));
    }
    let media = edge.store.media(key).await.map_err(error::store)?;
    let own = media.filter(|media| media.owner_id == user);
    Ok(own.map(|media| Ready { key, made_at, size: media.facts.size, held: None }))
}

fn busy() -> ApiError {
    let mut error = ApiError::new(Code::Unavailable, "too many copies are being made; try again");
    error.retry_after = Some(Duration::from_secs(30));
    error
}

/// Makes it, and says what has become of it.
async fn make(
    edge: Arc<Edge>,
    user: UserId,
    export: Export,
    _place: OwnedSemaphorePermit,
) -> Option<Export> {
    let made = async {
        // What was acknowledged before somebody asked for the copy is in it.
        freshness::everything(&edge).await;
        let objects = edge.media.service().ok().map(|service| service.objects.clone());
        let sources = Sources {
            store: edge.store.clone(),
            objects,
            clock: edge.clock.clone(),
            stop: edge.leaving.clone(),
            is_noted: true,
        };
        let file = edge.media.spool.file().await?;
        let (file, export) = Build::begin(file, sources, user, export).run().await?;
        keep(&edge, user, export, file).await
    };
    match made.await {
        Ok(export) => {
            edge.metrics.own_data.exports.inc();
            Some(export)
        }
        Err(fault) => {
            edge.metrics.own_data.export_failures.inc();
            tracing::warn!(cause = %fault, "a copy of a user's data was not made");
            let failed = Export { state: State::Failed, ..export };
            if let Err(cause) = edge.store.beat_export(user, failed, edge.clock.now()).await {
                tracing::debug!(%cause, "the next request finds it silent");
            }
            None
        }
    }
}

/// Puts it where it can be had.
async fn keep(edge: &Edge, user: UserId, export: Export, file: Spooled) -> Result<Export, Fault> {
    let now = edge.clock.now();
    if edge.media.keeps_files() {
        store(edge, user, export, &file, now).await?;
    } else {
        edge.exports.hold(user, Held { key: export.key, file, since: now });
    }
    let done = Export { state: State::Ready, changed_at: edge.clock.now(), ..export };
    if !edge.store.beat_export(user, done, done.changed_at).await? {
        edge.exports.forget(user);
        edge.store.drop_earlier_exports(user, MediaKey::nil(), now).await?;
        return Err(Fault::Unwanted);
    }
    edge.store.drop_earlier_exports(user, done.key, now).await?;
    Ok(done)
}

/// A file like any other, of a conversation that nobody is in: the row first, as always.
async fn store(
    edge: &Edge,
    user: UserId,
    export: Export,
    file: &Spooled,
    now: Timestamp,
) -> Result<(), Fault> {
    let Ok(service) = edge.media.service() else { return Ok(()) };
    let mime_type = "application/zip".to_owned();
    let new = NewMedia {
        key: export.key,
        owner_id: user,
        conversation_id: Some(OF_NOBODY),
        mime_type: mime_type.clone(),
        size: file.size(),
        file_name: None,
        created_at: now,
        keep_until: now + STORING,
    };
    edge.store.begin_media(&new).await?;
    let place = Object::Original(export.key);
    let storing = service.objects.put(place, file, &mime_type);
    let alive = async {
        // A large one takes minutes, and must not look as if it were given up.
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        loop {
            ticks.tick().await;
            match edge.store.beat_export(user, export, edge.clock.now()).await {
                Ok(true) => {}
                Ok(false) => return Fault::Unwanted,
                Err(cause) => return cause.into(),
            }
        }
    };
    let stored = tokio::select! {
        stored = storing => stored.map_err(Fault::from),
        fault = alive => Err(fault),
        () = edge.leaving.cancelled() => Err(Fault::Leaving),
    };
    if let Err(fault) = stored {
        edge.store.abandon_media(export.key, now).await?;
        return Err(fault);
    }
    let facts = Facts {
        mime_type,
        size: file.size(),
        width: None,
        height: None,
        duration: None,
        blurhash: None,
        thumbnail_type: None,
    };
    let kept = edge.store.finish_media(export.key, &facts, edge.clock.now() + KEPT).await?;
    if kept.is_none() {
        // It was given up while its bytes arrived; whoever collects it may have come before them.
        service.objects.delete(export.key).await?;
        return Err(Fault::Unwanted);
    }
    Ok(())
}
