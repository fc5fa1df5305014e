//! Who is online where: the bucket `PRESENCE`.
//!
//! `u.<edge>.<user>` stands for a user with a connection on that edge. `e.<edge>` says that the edge lives; it
//! expires unless it is renewed, and the server then leaves a notice in its place that every reader gets. Readers
//! take the bucket as it is and then every change, all in the same order.
//!
//! Writes are not confirmed one by one: the writer reads the bucket too and sees what has arrived.

use std::time::Duration;

use async_nats::header::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::{self, stream};
use async_nats::{Client, HeaderValue};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::ReadyChunks;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::ids::UserId;
use crate::domain::presence::EdgeId;
use crate::wire::subjects::{self, PRESENCE_BUCKET};

use super::{BusError, topology};

/// Silence of the server after which reading is given up is twice this.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long one pull request stands; the client renews it.
const EXPIRES: Duration = Duration::from_secs(30);
/// A reader whose process died disappears after this.
const INACTIVE: Duration = Duration::from_secs(60);
/// Entries on the way from the server: at 200 bytes each they are 400 KiB.
const BATCH: usize = 2_048;
/// Entries handed over at once.
const CHUNK: usize = 256;

const OPERATION: &str = "KV-Operation";
const MARKER_REASON: &str = "Nats-Marker-Reason";
const TTL: &str = "Nats-TTL";
const ROLLUP: &str = "Nats-Rollup";

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// An edge that does not renew its key for so long counts as dead. The server counts whole seconds.
    pub edge_ttl: Duration,
    /// The replicas of a bucket that has to be made anew; `None` leaves that to the operator.
    pub create: Option<usize>,
}

/// A change of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The edge has renewed its key.
    Lives(EdgeId),
    /// The edge has not renewed it in time.
    Expired(EdgeId),
    /// Everything that a dead edge had written was removed.
    Forgotten(EdgeId),
    Came(EdgeId, UserId),
    /// With the end of the user's last connection.
    Went(EdgeId, UserId, Timestamp),
}

/// A change, and when the server stored it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub change: Change,
    pub at: Timestamp,
}

/// A handle on the bucket.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
    context: jetstream::Context,
    settings: Settings,
}

impl Bucket {
    pub fn new(client: Client, settings: Settings) -> Self {
        Self { context: jetstream::new(client.clone()), client, settings }
    }

    /// The bucket as it is, and then what changes.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] without an answer; [`BusError::Refused`] when there is no such bucket and it may
    /// not be created.
    pub async fn read(&self) -> Result<Reader, BusError> {
        let stream = self.stream().await?;
        let config = pull::Config {
            name: Some(super::pull::passing_name()),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ack_policy: AckPolicy::None,
            filter_subject: subjects::bucket_all(PRESENCE_BUCKET),
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: INACTIVE,
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(BusError::unavailable)?;
        let complete = consumer.cached_info().num_pending == 0;
        let messages = consumer
            .stream()
            .max_messages_per_batch(BATCH)
            .expires(EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(BusError::unavailable)?;
        Ok(Reader { chunks: messages.ready_chunks(CHUNK), delivered: 0, complete })
    }

    async fn stream(&self) -> Result<stream::Stream, BusError> {
        let name = subjects::bucket_stream(PRESENCE_BUCKET);
        match self.context.get_stream(&name).await {
            Ok(stream) => return Ok(stream),
            Err(cause) => match (cause.kind(), self.settings.create) {
                (GetStreamErrorKind::JetStream(refusal), Some(replicas))
                    if refusal.code() == 404 =>
                {
                    topology::create_bucket(&self.context, PRESENCE_BUCKET, replicas).await?;
                }
                (GetStreamErrorKind::JetStream(refusal), _) if refusal.code() < 500 => {
                    return Err(BusError::refused(format!("stream {name}: {refusal}")));
                }
                _ => return Err(BusError::unavailable(cause)),
            },
        }
        self.context.get_stream(&name).await.map_err(BusError::unavailable)
    }

    /// Says that the edge lives.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] while disconnected, as with every write: it would arrive when it is no longer true.
    pub async fn renew(&self, edge: EdgeId) -> Result<(), BusError> {
        let mut headers = HeaderMap::new();
        headers.insert(TTL, HeaderValue::from(self.settings.edge_ttl.as_secs().max(1)));
        self.write(&edge_key(edge), headers, Bytes::new()).await
    }

    /// Says that the user has a connection on the edge.
    ///
    /// # Errors
    /// As [`Bucket::renew`].
    pub async fn put(&self, edge: EdgeId, user: UserId) -> Result<(), BusError> {
        self.write(&user_key(edge, user), HeaderMap::new(), Bytes::new()).await
    }

    /// Says that the user has no connection on the edge any more, since `last_seen`.
    ///
    /// # Errors
    /// As [`Bucket::renew`].
    pub async fn remove(
        &self,
        edge: EdgeId,
        user: UserId,
        last_seen: Timestamp,
    ) -> Result<(), BusError> {
        let value = last_seen.as_millisecond().to_string();
        self.write(&user_key(edge, user), gone(), value.into()).await
    }

    /// Removes everything that a dead edge has written, and tells the readers so.
    ///
    /// # Errors
    /// As [`Bucket::renew`]; some of it may have been removed.
    pub async fn forget(&self, edge: EdgeId) -> Result<(), BusError> {
        let name = subjects::bucket_stream(PRESENCE_BUCKET);
        let stream = self.context.get_stream(name).await.map_err(BusError::unavailable)?;
        let users = subjects::bucket_key(PRESENCE_BUCKET, &format!("u.{edge}.>"));
        // Silently: readers know of the death already, and a notice for each of its users would tell them nothing.
        stream.purge().filter(users).await.map_err(BusError::unavailable)?;
        self.write(&edge_key(edge), gone(), Bytes::new()).await
    }

    /// Removes what is there of a user without telling anybody: neither that they are here nor that they were.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] without an answer.
    pub async fn forget_user(&self, user: UserId) -> Result<(), BusError> {
        let name = subjects::bucket_stream(PRESENCE_BUCKET);
        let stream = match self.context.get_stream(name).await {
            Ok(stream) => stream,
            // The bucket is memory: without one there is nothing to remove.
            Err(cause) => match cause.kind() {
                GetStreamErrorKind::JetStream(refusal) if refusal.code() == 404 => return Ok(()),
                _ => return Err(BusError::unavailable(cause)),
            },
        };
        let keys = subjects::bucket_key(PRESENCE_BUCKET, &format!("u.*.{}", user.as_hyphenated()));
        stream.purge().filter(keys).await.map_err(BusError::unavailable)?;
        Ok(())
    }

    async fn write(&self, key: &str, headers: HeaderMap, value: Bytes) -> Result<(), BusError> {
        if !super::connect::is_connected(&self.client) {
            return Err(BusError::unavailable("disconnected"));
        }
        let subject = subjects::bucket_key(PRESENCE_BUCKET, key);
        let sent = match headers.is_empty() {
            true => self.client.publish(subject, value).await,
            false => self.client.publish_with_headers(subject, headers, value).await,
        };
        sent.map_err(BusError::unavailable)
    }
}

/// How many keys of a user the bucket holds, those of goodbyes included.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn keys_of(context: &jetstream::Context, user: UserId) -> Result<u64, BusError> {
    let name = subjects::bucket_stream(PRESENCE_BUCKET);
    let stream = context.get_stream_no_info(name).await.map_err(BusError::unavailable)?;
    let keys = subjects::bucket_key(PRESENCE_BUCKET, &format!("u.*.{}", user.as_hyphenated()));
    let mut subjects = stream.info_with_subjects(keys).await.map_err(BusError::unavailable)?;
    let mut found = 0;
    while let Some(subject) = subjects.next().await {
        subject.map_err(BusError::unavailable)?;
        found += 1;
    }
    Ok(found)
}

fn edge_key(edge: EdgeId) -> String {
    format!("e.{edge}")
}

fn user_key(edge: EdgeId, user: UserId) -> String {
    format!("u.{edge}.{}", user.as_hyphenated())
}

/// The headers of a removal. It stays for a second: those who begin to read later need no word of it.
fn gone() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(OPERATION, "PURGE");
    headers.insert(ROLLUP, "sub");
    headers.insert(TTL, "1");
    headers
}

/// Reads the bucket.
pub struct Reader {
    chunks: ReadyChunks<pull::Stream>,
    delivered: u64,
    complete: bool,
}

impl Reader {
    /// Was everything that the bucket held at the start handed over?
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Waits for the next changes, in the order that all readers see.
    ///
    /// # Errors
    /// When something is missing or the server is silent; read from the start then.
    pub async fn next(&mut self) -> Result<Vec<Entry>, BusError> {
        let messages =
            self.chunks.next().await.ok_or_else(|| BusError::unavailable("reading ended"))?;
        let mut entries = Vec::with_capacity(messages.len());
        for message in messages {
            let message = message.map_err(BusError::unavailable)?;
            let info = message.info().map_err(BusError::unavailable)?;
            self.delivered += 1;
            if info.consumer_sequence != self.delivered {
                return Err(BusError::unavailable(format!(
                    "delivery {} where {} was due",
                    info.consumer_sequence, self.delivered
                )));
            }
            self.complete |= info.pending == 0;
            let at = Timestamp::from_nanosecond(info.published.unix_timestamp_nanos());
            match at.ok().and_then(|at| Some(Entry { change: decode(&message, at)?, at })) {
                Some(entry) => entries.push(entry),
                None => tracing::warn!("a key of the presence bucket is not ours; ignored"),
            }
        }
        Ok(entries)
    }
}

/// The change that an entry stored at `at` stands for.
fn decode(message: &async_nats::Message, at: Timestamp) -> Option<Change> {
    let header = |name: &str| message.headers.as_ref().and_then(|headers| headers.get(name));
    let expired = header(MARKER_REASON).is_some();
    let removed = header(OPERATION).is_some();
    let key = message.subject.strip_prefix("$KV.")?.split_once('.')?.1;
    let mut parts = key.split('.');
    let (kind, edge, user) = (parts.next()?, EdgeId::parse(parts.next()?)?, parts.next());
    match (kind, user) {
        ("e", None) if expired => Some(Change::Expired(edge)),
        ("e", None) if removed => Some(Change::Forgotten(edge)),
        ("e", None) => Some(Change::Lives(edge)),
        ("u", Some(user)) => {
            let user = Uuid::try_parse(user).ok()?;
            let value = || std::str::from_utf8(&message.payload).ok()?.parse().ok();
            let last_seen = || Timestamp::from_millisecond(value()?).ok();
            Some(match expired || removed {
                true => Change::Went(edge, user, last_seen().unwrap_or(at)),
                false => Change::Came(edge, user),
            })
        }
        _ => None,
    }
}
