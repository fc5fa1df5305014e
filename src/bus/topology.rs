//! The streams and buckets that must exist, from `nats/topology.toml`, reconciled without ever destroying data.
//!
//! A bucket is a stream with a name and settings of its own, laid out as every client of NATS expects it.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::{self, context::GetStreamErrorKind, stream};
use serde::Deserialize;
use uuid::Uuid;

use crate::domain::ids::Seq;
use crate::wire::subjects;

use super::BusError;
use super::log::EPOCH_KEY;

mod readers;

/// The file, compiled in.
const TOPOLOGY: &str = include_str!("../../nats/topology.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Topology {
    stream: Vec<StreamSpec>,
    bucket: Vec<BucketSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamSpec {
    name: String,
    description: String,
    subjects: Vec<String>,
    max_age_days: u64,
    duplicate_window_seconds: f64,
    max_message_bytes: i32,
    allow_direct: bool,
    allow_message_ttl: bool,
    epoch: bool,
    #[serde(default)]
    retention: Retention,
    /// How many may be stored; more are refused. Without it, any number.
    max_messages: Option<i64>,
}

/// When a message leaves a stream.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Retention {
    /// When it is old.
    #[default]
    Limits,
    /// When it was dealt with.
    WorkQueue,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BucketSpec {
    name: String,
    description: String,
    max_entry_bytes: i32,
    marker_seconds: u64,
}

/// A stream as it should be.
struct Wanted {
    config: stream::Config,
    /// Each creation is an epoch of its own.
    epoch: bool,
}

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
    let bucket = topology().bucket.into_iter().find(|bucket| bucket.name == name);
    let bucket = bucket.ok_or_else(|| BusError::refused(format!("no bucket {name} is planned")))?;
    let config = bucket.config(replicas);
    match find(context, &config.name).await? {
        Some(_) => Ok(()),
        None => create(context, Wanted { config, epoch: false }, 0).await.map(|_| ()),
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
            GetStreamErrorKind::JetStream(refusal) if refusal.code() < 500 => {
                Err(BusError::refused(refusal))
            }
            _ => Err(BusError::unavailable(cause)),
        },
    }
}

fn topology() -> Topology {
    toml::from_str(TOPOLOGY).expect("the compiled-in topology is valid")
}

fn wanted(replicas: usize) -> Vec<Wanted> {
    let Topology { stream, bucket } = topology();
    let streams =
        stream.into_iter().map(|spec| Wanted { config: spec.config(replicas), epoch: spec.epoch });
    let buckets =
        bucket.into_iter().map(|spec| Wanted { config: spec.config(replicas), epoch: false });
    streams.chain(buckets).collect()
}

impl StreamSpec {
    fn config(&self, replicas: usize) -> stream::Config {
        stream::Config {
            name: self.name.clone(),
            description: Some(self.description.clone()),
            subjects: self.subjects.clone(),
            max_age: Duration::from_secs(self.max_age_days * 24 * 3600),
            duplicate_window: Duration::from_secs_f64(self.duplicate_window_seconds),
            max_message_size: self.max_message_bytes,
            allow_direct: self.allow_direct,
            allow_message_ttl: self.allow_message_ttl,
            num_replicas: replicas,
            retention: match self.retention {
                Retention::Limits => stream::RetentionPolicy::Limits,
                Retention::WorkQueue => stream::RetentionPolicy::WorkQueue,
            },
            max_messages: self.max_messages.unwrap_or(-1),
            // To drop the oldest would lose what somebody was told is stored.
            discard: match self.max_messages {
                Some(_) => stream::DiscardPolicy::New,
                None => stream::DiscardPolicy::Old,
            },
            storage: stream::StorageType::File,
            metadata: HashMap::new(),
            ..Default::default()
        }
    }
}

/// The window in which a bucket recognises a repeated write. Nothing in ours is sent with an id, and the server
/// wants a number.
const BUCKET_WINDOW: Duration = Duration::from_secs(120);

impl BucketSpec {
    fn config(&self, replicas: usize) -> stream::Config {
        stream::Config {
            name: subjects::bucket_stream(&self.name),
            description: Some(self.description.clone()),
            subjects: vec![subjects::bucket_all(&self.name)],
            max_messages_per_subject: 1,
            max_message_size: self.max_entry_bytes,
            duplicate_window: BUCKET_WINDOW,
            discard: stream::DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            allow_message_ttl: true,
            subject_delete_marker_ttl: Some(Duration::from_secs(self.marker_seconds)),
            num_replicas: replicas,
            storage: stream::StorageType::Memory,
            ..Default::default()
        }
    }
}

fn differences(current: &stream::Config, wanted: &stream::Config) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, is: String, should: String| {
        if is != should {
            found.push(format!("{what} is {is}, wanted {should}"));
        }
    };
    let days = |d: Duration| format!("{} s", d.as_secs_f64());
    let sorted = |subjects: &[String]| {
        let mut subjects = subjects.to_vec();
        subjects.sort();
        subjects.join(" ")
    };
    compare("subjects", sorted(&current.subjects), sorted(&wanted.subjects));
    compare("max_age", days(current.max_age), days(wanted.max_age));
    compare("duplicate_window", days(current.duplicate_window), days(wanted.duplicate_window));
    compare(
        "max_message_bytes",
        current.max_message_size.to_string(),
        wanted.max_message_size.to_string(),
    );
    compare("allow_direct", current.allow_direct.to_string(), wanted.allow_direct.to_string());
    compare(
        "allow_message_ttl",
        current.allow_message_ttl.to_string(),
        wanted.allow_message_ttl.to_string(),
    );
    // Zero and less: any number.
    let most = |config: &stream::Config| config.max_messages.max(0).to_string();
    compare("max_messages", most(current), most(wanted));
    compare("retention", format!("{:?}", current.retention), format!("{:?}", wanted.retention));
    compare("discard", format!("{:?}", current.discard), format!("{:?}", wanted.discard));
    compare("replicas", current.num_replicas.to_string(), wanted.num_replicas.to_string());
    compare(
        "description",
        current.description.clone().unwrap_or_default(),
        wanted.description.clone().unwrap_or_default(),
    );
    found
}

fn would_destroy(current: &stream::Config, wanted: &stream::Config) -> Option<String> {
    // A max_age of zero keeps everything.
    let shorter = !wanted.max_age.is_zero()
        && (current.max_age.is_zero() || wanted.max_age < current.max_age);
    if shorter {
        return Some("its retention would become shorter".to_owned());
    }
    if current.retention != wanted.retention {
        return Some("its retention policy would change".to_owned());
    }
    let fewer = wanted.max_messages > 0
        && (current.max_messages <= 0 || wanted.max_messages < current.max_messages);
    if fewer {
        return Some("it would hold fewer messages".to_owned());
    }
    let kept = |subject: &str| wanted.subjects.iter().any(|pattern| covers(pattern, subject));
    let dropped = current.subjects.iter().find(|subject| !kept(subject))?;
    Some(format!("the subject {dropped} would be dropped"))
}

/// Does a pattern of subjects take everything that another takes?
fn covers(pattern: &str, other: &str) -> bool {
    let mut others = other.split('.');
    for token in pattern.split('.') {
        match (token, others.next()) {
            (">", rest) => return rest.is_some(),
            ("*", Some(other)) if other != ">" => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    others.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_the_log_the_dead_letters_and_presence() {
        let names: Vec<_> = wanted(1).into_iter().map(|wanted| wanted.config.name).collect();
        assert_eq!(names, ["CHAT", "DEAD", "INGEST", "KV_PRESENCE"]);
    }

    #[test]
    fn a_subject_that_is_taken_by_a_wider_one_is_not_dropped() {
        for (pattern, other) in [("dead.>", "dead.*"), ("a.*", "a.b"), ("a.b", "a.b"), (">", "a")] {
            assert!(covers(pattern, other), "{pattern} {other}");
        }
        for (pattern, other) in
            [("dead.*", "dead.>"), ("a.*", "a.b.c"), ("a.b.*", "a.b"), ("a.>", "a"), ("a", "*")]
        {
            assert!(!covers(pattern, other), "{pattern} {other}");
        }
    }

    #[test]
    fn a_shorter_retention_counts_as_destruction_and_a_longer_one_does_not() {
        let wanted = wanted(1).remove(0).config;
        let mut current = wanted.clone();
        assert!(differences(&current, &wanted).is_empty());
        current.max_age += Duration::from_secs(1);
        assert!(would_destroy(&current, &wanted).is_some());
        current.max_age = Duration::from_secs(1);
        assert!(would_destroy(&current, &wanted).is_none());
        assert_eq!(differences(&current, &wanted).len(), 1);
        current.max_age = Duration::ZERO;
        assert!(would_destroy(&current, &wanted).is_some());
    }
}
