//! Streams as a whole, out of the server and back: what `nats stream backup` and `restore` do, by the same requests
//! (<https://docs.nats.io/reference/reference-protocols/nats_api_reference>). Sequences, times, headers and gaps stay as
//! they are, which publishing anew could not give.

use std::time::Duration;

use async_nats::jetstream::{self, context::DeleteStreamErrorKind};
use async_nats::{Client, StatusCode};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use uuid::Uuid;

use crate::domain::ids::Seq;

use super::BusError;
use super::log::EPOCH_KEY;

/// Bytes of one chunk: the server's own choice, below the largest payload of any sensible server (1 MB).
const CHUNK: usize = 128 << 10;
/// The longest silence: before the first chunk the server looks through the stream and compresses it.
const SILENCE: Duration = Duration::from_secs(60);

/// The longest that a server may take to write a chunk to its disk and say so. One that is lost says nothing.
const RECEIPT: Duration = Duration::from_secs(5);
/// What a second copies of a restored stream to the servers that replicate it, at the least: a tenth of a slow network.
const COPIED_A_SECOND: u64 = 10 << 20;
/// Between two looks whether they have it.
const LOOK: Duration = Duration::from_millis(250);

/// A stream as it was, but for its messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    /// As the server has it, so that whatever a later version adds comes along.
    config: Value,
    state: Value,
}

impl Snapshot {
    /// The last sequence that was given.
    pub fn last_seq(&self) -> Seq {
        self.state["last_seq"].as_u64().unwrap_or(0)
    }

    /// How many messages it has.
    pub fn messages(&self) -> u64 {
        self.state["messages"].as_u64().unwrap_or(0)
    }

    /// The epoch, of a log.
    pub fn epoch(&self) -> Option<&str> {
        self.config["metadata"][EPOCH_KEY].as_str()
    }

    /// The same with an epoch of its own, if it is a log: what it is from now on, no cursor of before knows.
    pub fn renewed(mut self, replicas: usize) -> Self {
        self.config["num_replicas"] = json!(replicas);
        if self.epoch().is_some() {
            let epoch = Uuid::new_v4().simple().to_string()[..12].to_owned();
            self.config["metadata"][EPOCH_KEY] = json!(epoch);
        }
        self
    }
}

/// Writes a stream with its durable consumers.
///
/// # Errors
/// [`BusError::Refused`] when there is no such stream or it may not be read so, [`BusError::Unavailable`] when the
/// server falls silent or the chunks cannot be written.
pub async fn take(
    client: &Client,
    stream: &str,
    into: &mut (impl AsyncWrite + Unpin),
) -> Result<Snapshot, BusError> {
    let inbox = client.new_inbox();
    let mut chunks = client.subscribe(inbox.clone()).await.map_err(BusError::unavailable)?;
    let request = json!({"deliver_subject": inbox, "chunk_size": CHUNK, "jsck": true});
    let snapshot: Snapshot = ask(client, "SNAPSHOT", stream, &request).await?;
    loop {
        let chunk = tokio::time::timeout(SILENCE, chunks.next()).await.ok().flatten();
        let chunk = chunk.ok_or_else(|| BusError::unavailable("a snapshot broke off"))?;
        if let Some(status) =
            chunk.status.filter(|status| *status != StatusCode::from_u16(204).unwrap_or_default())
        {
            return Err(BusError::unavailable(format!("a snapshot broke off: {status}")));
        }
        if chunk.payload.is_empty() {
            break;
        }
        into.write_all(&chunk.payload).await.map_err(BusError::unavailable)?;
        if let Some(reply) = chunk.reply {
            client.publish(reply, "".into()).await.map_err(BusError::unavailable)?;
        }
    }
    into.flush().await.map_err(BusError::unavailable)?;
    Ok(snapshot)
}

/// Makes a stream of what was written. There must be none of that name.
///
/// # Errors
/// [`BusError::Refused`] when there is one, or what was written is no snapshot of it; [`BusError::Unavailable`] when the
/// server falls silent.
pub async fn restore(
    client: &Client,
    stream: &str,
    snapshot: &Snapshot,
    from: &mut (impl AsyncRead + Unpin),
) -> Result<(), BusError> {
    #[derive(Deserialize)]
    struct Begun {
        deliver_subject: String,
    }
    let begun: Begun = ask(client, "RESTORE", stream, snapshot).await?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk).await.map_err(BusError::unavailable)?;
        let bytes = bytes::Bytes::copy_from_slice(&chunk[..count]);
        let patience = if count == 0 { SILENCE } else { RECEIPT };
        let answer = request(client, begun.deliver_subject.clone(), bytes, patience).await?;
        if count == 0 {
            // The answer to the end is that of a stream that was created.
            return parse::<Value>(stream, &answer.payload).map(|_| ());
        }
        if !answer.payload.is_empty() {
            parse::<Value>(stream, &answer.payload)?;
        }
    }
}

/// Waits until most of the servers that replicate a restored stream have all of it: until then the loss of the one that
/// received it would be the loss of the stream.
///
/// # Errors
/// [`BusError::Refused`], [`BusError::Unavailable`] when that takes too long.
pub async fn settled(client: &Client, stream: &str, snapshot: &Snapshot) -> Result<(), BusError> {
    let bytes = snapshot.state["bytes"].as_u64().unwrap_or(0);
    let patience = SILENCE + Duration::from_secs(bytes / COPIED_A_SECOND);
    let context = jetstream::new(client.clone());
    let there = async {
        // While a leader is being chosen nobody answers.
        while !matches!(context.get_stream(stream).await, Ok(found) if is_there(found.cached_info(), snapshot))
        {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(patience, there).await.map_err(|_| {
        BusError::unavailable(format!("most servers do not have all of the stream {stream}"))
    })
}

fn is_there(info: &jetstream::stream::Info, snapshot: &Snapshot) -> bool {
    let replicas = info.cluster.iter().flat_map(|cluster| &cluster.replicas);
    let following =
        replicas.filter(|peer| peer.current && !peer.offline && peer.lag.unwrap_or(0) == 0);
    let have = 1 + following.count();
    info.state.last_sequence >= snapshot.last_seq() && 2 * have > info.config.num_replicas
}

/// Deletes a stream; one that is not there is no failure.
///
/// # Errors
/// [`BusError::Refused`], [`BusError::Unavailable`].
pub async fn delete(client: &Client, stream: &str) -> Result<(), BusError> {
    match jetstream::new(client.clone()).delete_stream(stream).await {
        Ok(_) => Ok(()),
        Err(cause) => match cause.kind() {
            DeleteStreamErrorKind::JetStream(refusal) if refusal.code() == 404 => Ok(()),
            DeleteStreamErrorKind::JetStream(refusal) => Err(BusError::refused(refusal)),
            _ => Err(BusError::unavailable(cause)),
        },
    }
}

/// How many messages a stream has; `None` when it is not there.
///
/// # Errors
/// [`BusError::Refused`], [`BusError::Unavailable`].
pub async fn messages(client: &Client, stream: &str) -> Result<Option<u64>, BusError> {
    use async_nats::jetstream::context::GetStreamErrorKind as Kind;
    match jetstream::new(client.clone()).get_stream(stream).await {
        Ok(stream) => Ok(Some(stream.cached_info().state.messages)),
        Err(cause) => match cause.kind() {
            Kind::JetStream(refusal) if refusal.code() == 404 => Ok(None),
            Kind::JetStream(refusal) => Err(BusError::refused(refusal)),
            _ => Err(BusError::unavailable(cause)),
        },
    }
}

/// The version of the server.
pub fn server_version(client: &Client) -> String {
    client.server_info().version
}

async fn ask<T: DeserializeOwned>(
    client: &Client,
    verb: &str,
    stream: &str,
    body: &impl Serialize,
) -> Result<T, BusError> {
    let body = serde_json::to_vec(body).map_err(BusError::refused)?;
    let subject = format!("$JS.API.STREAM.{verb}.{stream}");
    let answer = request(client, subject, body.into(), SILENCE).await?;
    parse(stream, &answer.payload)
}

async fn request(
    client: &Client,
    subject: String,
    body: bytes::Bytes,
    patience: Duration,
) -> Result<async_nats::Message, BusError> {
    let request = async_nats::Request::new().payload(body).timeout(Some(patience));
    client.send_request(subject, request).await.map_err(BusError::unavailable)
}

/// An answer of the API: what was asked for, or `error`.
fn parse<T: DeserializeOwned>(stream: &str, payload: &[u8]) -> Result<T, BusError> {
    let answer: Value = serde_json::from_slice(payload).map_err(BusError::unavailable)?;
    if let Some(error) = answer.get("error") {
        let why = error["description"].as_str().unwrap_or("it does not say why");
        return Err(BusError::refused(format!("stream {stream}: {why}")));
    }
    serde_json::from_value(answer).map_err(BusError::unavailable)
}
