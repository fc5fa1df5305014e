//! Files: who may send which, who gets them, and which of them a message may name.
//!
//! Uploads are let in a few at a time ([`Service::admit`]) and go through the steps of [`upload`]; [`direct`] is for
//! clients that put their file into the store themselves. [`named`] looks at the links of a message before it is sent.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::ids::UserId;
use crate::domain::media::MediaKey;
use crate::media::accept::Rules;
use crate::media::links::Signer;
use crate::media::objects::{Location, ObjectError, Objects};
use crate::media::spool::Spool;
use crate::media::workshop::Workshop;
use crate::telemetry::metrics;
use crate::wire::error::{ApiError, Code};

use super::Edge;

pub mod direct;
pub mod download;
pub mod named;
mod pace;
pub mod upload;

use pace::Pace;

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What links begin with: scheme and host, or nothing for links that begin with a slash.
    pub public_url: String,
    /// Hosts of others that messages may link to.
    pub allowed_hosts: Vec<String>,
    /// Folder for files on their way.
    pub spool: PathBuf,
    /// Without a place to keep files there are none.
    pub store: Option<StoreSettings>,
}

/// For a service that keeps files.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    pub location: Location,
    pub rules: Rules,
    /// What links are signed with.
    pub secret: Vec<u8>,
    /// How long a signed link is good.
    pub link_lifetime: Duration,
    /// How long a file stays that no message names.
    pub orphans_after: Duration,
    /// Uploads of this node at a time; 0 for no limit.
    pub uploads: usize,
    /// Of one user.
    pub uploads_per_user: usize,
    /// All uploads of this node together; 0 for no limit.
    pub upload_bytes_per_second: u64,
}

/// How long an upload waits for its turn: the others have 20 MB each, which takes seconds.
const TURN: Duration = Duration::from_secs(60);
/// Uploads that wait for their turn: some 20 KiB each, 20 MiB.
const LINE: usize = 1024;
/// Downloads at a time: a window of 128 KiB each, 32 MiB.
const DOWNLOADS: usize = 256;

/// Everything for files.
pub struct Media {
    pub public_url: String,
    pub spool: Spool,
    allowed_hosts: Vec<String>,
    service: Option<Arc<Service>>,
}

/// The part that needs a place to keep them.
pub struct Service {
    pub objects: Arc<Objects>,
    pub spool: Spool,
    pub workshop: Workshop,
    pub rules: Arc<Rules>,
    pub signer: Signer,
    pub link_lifetime: Duration,
    pub orphans_after: Duration,
    uploads: Arc<Semaphore>,
    uploads_per_user: usize,
    /// Users with an upload under way or waiting: at most as many as there are of those.
    users: DashMap<UserId, Arc<Semaphore>>,
    line: Semaphore,
    pub pace: Pace,
    downloads: Arc<Semaphore>,
}

impl Media {
    /// # Errors
    /// A sentence when the settings cannot be used.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let Settings { public_url, allowed_hosts, spool, store } = settings;
        let spool = Spool::open(&spool).map_err(|cause| {
            anyhow::anyhow!("Files cannot be spooled in {}: {cause}.", spool.display())
        })?;
        let service = store.map(|store| Service::new(store, spool.clone())).transpose()?;
        Ok(Self { public_url, spool, allowed_hosts, service: service.map(Arc::new) })
    }

    /// Is there a place to keep files?
    pub fn keeps_files(&self) -> bool {
        self.service.is_some()
    }

    /// The service, if there is one here.
    ///
    /// # Errors
    /// `unavailable` if there is not.
    pub fn service(&self) -> Result<&Arc<Service>, ApiError> {
        self.service
            .as_ref()
            .ok_or_else(|| ApiError::new(Code::Unavailable, "this service has no place for files"))
    }
}

/// A turn; the next one waiting gets it when this is dropped.
pub struct Turn {
    service: Arc<Service>,
    user: UserId,
    of_user: Option<OwnedSemaphorePermit>,
    of_node: Option<OwnedSemaphorePermit>,
    metrics: Arc<metrics::Metrics>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.of_node.take().is_some() {
            self.metrics.media.uploading.dec();
        }
        self.of_user = None;
        self.service.users.remove_if(&self.user, |_, places| Arc::strong_count(places) == 1);
    }
}

impl Service {
    fn new(settings: StoreSettings, spool: Spool) -> anyhow::Result<Self> {
        Ok(Self {
            objects: Arc::new(Objects::open(&settings.location).map_err(anyhow::Error::msg)?),
            spool,
            workshop: Workshop::start()?,
            rules: Arc::new(settings.rules),
            signer: Signer::new(&settings.secret),
            link_lifetime: settings.link_lifetime,
            orphans_after: settings.orphans_after,
            uploads: Arc::new(Semaphore::new(or_endless(settings.uploads))),
            uploads_per_user: or_endless(settings.uploads_per_user),
            users: DashMap::new(),
            line: Semaphore::new(LINE),
            pace: Pace::new(settings.upload_bytes_per_second),
            downloads: Arc::new(Semaphore::new(DOWNLOADS)),
        })
    }

    /// Waits for a turn. While a client waits its file stays where it is: nothing of it is read.
    ///
    /// # Errors
    /// `rate_limited` when the user's own uploads take all of the time, `unavailable` when everybody's do.
    pub async fn admit(self: &Arc<Self>, edge: &Edge, user: UserId) -> Result<Turn, ApiError> {
        let busy = || {
            let mut error = ApiError::new(Code::Unavailable, "too many files are being uploaded");
            error.retry_after = Some(Duration::from_secs(5));
            error
        };
        let _waiting = self.line.try_acquire().map_err(|_| busy())?;
        let mut turn = Turn {
            service: self.clone(),
            user,
            of_user: None,
            of_node: None,
            metrics: edge.metrics.clone(),
        };
        let own = || Arc::new(Semaphore::new(self.uploads_per_user));
        let own = self.users.entry(user).or_insert_with(own).clone();
        let deadline = tokio::time::Instant::now() + TURN;
        turn.of_user = match tokio::time::timeout_at(deadline, own.acquire_owned()).await {
            Ok(place) => place.ok(),
            Err(_) => return Err(ApiError::rate_limited(Duration::from_secs(5))),
        };
        let places = self.uploads.clone();
        turn.of_node = match tokio::time::timeout_at(deadline, places.acquire_owned()).await {
            Ok(place) => place.ok(),
            Err(_) => return Err(busy()),
        };
        edge.metrics.media.uploading.inc();
        Ok(turn)
    }
}

fn or_endless(limit: usize) -> usize {
    if limit == 0 { Semaphore::MAX_PERMITS } else { limit.min(Semaphore::MAX_PERMITS) }
}

/// What a failure of the object store means to a client; logged and counted here.
pub fn store_failed(edge: &Edge, cause: &ObjectError) -> ApiError {
    edge.metrics.media.failures.inc();
    match cause {
        ObjectError::Unavailable(_) => tracing::warn!(%cause, "the object store fails"),
        // A row says that it is there.
        ObjectError::NotFound => tracing::error!("a file is not in the object store"),
        ObjectError::Disk(_) => tracing::error!(%cause, "an upload cannot be spooled"),
    }
    away()
}

/// The place for files cannot be reached.
pub fn away() -> ApiError {
    let detail = "files cannot be stored or read now; try again";
    let mut error = ApiError::new(Code::Unavailable, detail);
    error.retry_after = Some(Duration::from_secs(5));
    error
}

/// A file that is not there for this user.
pub fn not_found() -> ApiError {
    ApiError::new(Code::NotFound, "there is no such file for you")
}

/// A fresh key.
fn fresh_key() -> MediaKey {
    MediaKey::new_v4()
}
