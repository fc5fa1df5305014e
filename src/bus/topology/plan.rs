//! Streams and buckets as the file wants them.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::stream;
use serde::Deserialize;

use crate::wire::subjects;

/// The file, compiled in.
const TOPOLOGY: &str = include_str!("../../../nats/topology.toml");

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
pub struct Wanted {
    pub config: stream::Config,
    /// Each creation is an epoch of its own.
    pub epoch: bool,
}

fn topology() -> Topology {
    toml::from_str(TOPOLOGY).expect("the compiled-in topology is valid")
}

/// Every stream, and what buckets are made of.
pub fn wanted(replicas: usize) -> Vec<Wanted> {
    let Topology { stream, bucket } = topology();
    let streams =
        stream.into_iter().map(|spec| Wanted { config: spec.config(replicas), epoch: spec.epoch });
    streams.chain(bucket.into_iter().map(|spec| spec.wanted(replicas))).collect()
}

/// The bucket of that name.
pub fn bucket(name: &str, replicas: usize) -> Option<Wanted> {
    let spec = topology().bucket.into_iter().find(|spec| spec.name == name)?;
    Some(spec.wanted(replicas))
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
    fn wanted(&self, replicas: usize) -> Wanted {
        Wanted { config: self.config(replicas), epoch: false }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_the_log_the_dead_letters_and_presence() {
        let names: Vec<_> = wanted(1).into_iter().map(|wanted| wanted.config.name).collect();
        assert_eq!(names, ["CHAT", "DEAD", "INGEST", "KV_PRESENCE"]);
    }
}
