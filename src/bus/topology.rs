//! The streams and buckets that must exist, from `nats/topology.toml`, reconciled without ever destroying data.
//!
//! A bucket is a stream with a name and settings of its own, laid out as every client of NATS expects it.

use async_nats::Client;
use async_nats::jetstream::{self, context::GetStreamErrorKind, stream};
use uuid::Uuid;

use crate::domain::ids::Seq;
use crate::wire::subjects;

use super::BusError;
use super::log::EPOCH_KEY;

mod compare;
mod plan;
mod readers;

use compare::{differences, would_destroy};
use plan::{Wanted, wanted};

/// How a stream compares with what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Missing,
    AsWanted,
    /// What differs, a sentence each.
    Differs(Vec<String>),
}

/// A stream and how it stands.
#[derive(Debug, Clone)]
pub struct Row {
    pub stream: String,
    pub standing: Standing,
    /// Events stored, bytes on disk and last sequence, where it exists.
    pub state: Option<(u64, u64, Seq)>,
}

/// What [`apply`] did to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    Created,
    Updated,
    Unchanged,
}

/// Compares NATS with the file.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer.
pub async fn show(client: &Client, replicas: usize) -> Result<Vec<Row>, BusError> {
    let context = jetstream::new(client.clone());
    let mut rows = Vec::new();
    for wanted in wanted(replicas) {
        let stream = wanted.config.name.clone();
        rows.push(match find(&context, &stream).await? {
            None => Row { stream, standing: Standing::Missing, state: None },
            Some(info) => {
                let differences = differences(&info.config, &wanted.config);
                Row {
                    stream,
                    standing: match differences.is_empty() {
                        true => Standing::AsWanted,
                        false => Standing::Differs(differences),
                    },
                    state: Some((info.state.messages, info.state.bytes, info.state.last_sequence)),
                }
            }
        });
    }
    Ok(rows)
}

/// Makes NATS agree with the file.
///
/// A new log begins above `persisted`, the last sequence that Postgres holds, so that sequences never go back
/// even when the stream was lost. `log_readers` are services that read the log through a consumer of that name.
///
/// # Errors
/// [`BusError::Refused`] when agreeing would destroy data (a shorter retention, a subject dropped): change the
/// stream by hand if that is meant. [`BusError::Unavailable`] without an answer.
pub async fn apply(
    client: &Client,
    replicas: usize,
    persisted: Seq,
    log_readers: &[String],
) -> Result<Vec<(String, Applied)>, BusError> {
    let context = jetstream::new(client.clone());
    let mut done = Vec::new();
    for wanted in wanted(replicas) {
        let stream = wanted.config.name.clone();
        let applied = match find(&context, &stream).await? {
            None => create(&context, wanted, persisted).await?,
            Some(info) => update(&context, wanted.config, info.config).await?,
        };
        done.push((stream, applied));
    }
    for reader in log_readers {
        let applied = readers::make(&context, reader).await?;
        done.push((format!("{} for {reader}", subjects::CHAT_STREAM), applied));
    }
    Ok(done)
}

/// Makes the bucket of that name if it is not there: what is kept in memory goes with the servers.
///
/// # Errors
/// [`BusError::Unavailable`] without an answer, [`BusError::Refused`] when it may not be created.
pub(super) async fn create_bucket(
    context: &jetstream::Context,
    name: &str,
    replicas: usize,
) -> Result<(), BusError> {
    let bucket = plan::bucket(name, replicas);
    let bucket = bucket.ok_or_else(|| BusError::refused(format!("no bucket {name} is planned")))?;
    match find(context, &bucket.config.name).await? {
        Some(_) => Ok(()),
        None => create(context, bucket, 0).await.map(|_| ()),
    }
}

async fn create(
    context: &jetstream::Context,
    wanted: Wanted,
    persisted: Seq,
) -> Result<Applied, BusError> {
    let Wanted { mut config, epoch } = wanted;
    let name = config.name.clone();
    if epoch {
        // Twelve hex digits: 48 random bits are enough to tell the few epochs of one installation apart.
        let epoch = Uuid::new_v4().simple().to_string()[..12].to_owned();
        config.metadata.insert(EPOCH_KEY.to_owned(), epoch);
        config.first_sequence = (persisted > 0).then_some(persisted + 1);
    }
    match context.create_stream(config).await {
        Ok(_) => Ok(Applied::Created),
        // Another node was faster; what it made is compared at its own start and at our next one.
        Err(_) if find(context, &name).await?.is_some() => Ok(Applied::Unchanged),
        Err(cause) => Err(BusError::refused(format!("creating {name}: {cause}"))),
    }
}

async fn update(
    context: &jetstream::Context,
    wanted: stream::Config,
    current: stream::Config,
) -> Result<Applied, BusError> {
    if differences(&current, &wanted).is_empty() {
        return Ok(Applied::Unchanged);
    }
    let name = wanted.name.clone();
    if let Some(loss) = would_destroy(&current, &wanted) {
        return Err(BusError::refused(format!(
            "{name}: {loss}; this would destroy data, so change the stream by hand if you mean it",
        )));
    }
    // Only what the file names is changed; what an operator added (placement, metadata) stays.
    let merged = stream::Config {
        description: wanted.description,
        subjects: wanted.subjects,
        max_age: wanted.max_age,
        duplicate_window: wanted.duplicate_window,
        max_message_size: wanted.max_message_size,
        allow_direct: wanted.allow_direct,
        allow_message_ttl: wanted.allow_message_ttl,
        max_messages: wanted.max_messages,
        discard: wanted.discard,
        num_replicas: wanted.num_replicas,
        ..current
    };
    context
        .update_stream(merged)
        .await
        .map_err(|cause| BusError::refused(format!("updating {name}: {cause}")))?;
    Ok(Applied::Updated)
}

async fn find(context: &jetstream::Context, name: &str) -> Result<Option<stream::Info>, BusError> {
    match context.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().clone())),
        Err(cause) => match cause.kind() {
            GetStreamErrorKind::JetStream(refusal) if refusal.code() == 404 => Ok(None),
            _ => Err(cause.into()),
        },
    }
}
