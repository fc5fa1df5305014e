//! How the servers are, as they say themselves; for whoever looks from outside.

use std::collections::HashMap;

use async_nats::Client;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::ids::Seq;

use super::BusError;
use super::log::EPOCH_KEY;

/// A stream.
#[derive(Debug, Clone, Deserialize)]
pub struct Stream {
    pub config: StreamConfig,
    pub state: StreamState,
    /// Absent where there is one server.
    pub cluster: Option<Cluster>,
    /// The server's clock.
    pub ts: Option<Timestamp>,
}

/// What of a stream's configuration says how safe it is.
#[derive(Debug, Clone, Deserialize)]
pub struct StreamConfig {
    #[serde(default)]
    pub num_replicas: usize,
    #[serde(default)]
    pub max_bytes: i64,
    #[serde(default)]
    metadata: HashMap<String, String>,
}

impl StreamConfig {
    /// The epoch, of a log.
    pub fn epoch(&self) -> Option<&str> {
        self.metadata.get(EPOCH_KEY).map(String::as_str)
    }
}

/// What a stream holds.
#[derive(Debug, Clone, Deserialize)]
pub struct StreamState {
    pub messages: u64,
    pub bytes: u64,
    pub last_seq: Seq,
}

/// Who has a stream.
#[derive(Debug, Clone, Deserialize)]
pub struct Cluster {
    pub leader: Option<String>,
    #[serde(default)]
    pub replicas: Vec<Replica>,
}

/// A follower.
#[derive(Debug, Clone, Deserialize)]
pub struct Replica {
    pub name: String,
    #[serde(default)]
    pub current: bool,
    #[serde(default)]
    pub offline: bool,
}

/// A consumer.
#[derive(Debug, Clone, Deserialize)]
pub struct Consumer {
    /// Events that it has not been given yet.
    #[serde(default)]
    pub num_pending: u64,
}

/// What the account may store, in bytes; less than one: no limit of its own.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    #[serde(default)]
    pub storage: u64,
    pub limits: AccountLimits,
}

/// The limits of [`Account`].
#[derive(Debug, Clone, Deserialize)]
pub struct AccountLimits {
    #[serde(default)]
    pub max_storage: i64,
}

/// The server of a connection.
#[derive(Debug, Clone)]
pub struct Server {
    pub name: String,
    pub version: String,
    pub max_payload: usize,
    pub is_encrypted: bool,
}

/// Who answers on this connection.
pub fn server(client: &Client) -> Server {
    let info = client.server_info();
    Server {
        name: info.server_name,
        version: info.version,
        max_payload: info.max_payload,
        is_encrypted: info.tls_required,
    }
}

/// A stream; `None` when there is none.
///
/// # Errors
/// [`BusError::Refused`], [`BusError::Unavailable`]: also when it may not be asked, which is not answered.
pub async fn stream(client: &Client, name: &str) -> Result<Option<Stream>, BusError> {
    ask(client, format!("$JS.API.STREAM.INFO.{name}")).await
}

/// A consumer; `None` when there is none.
///
/// # Errors
/// As [`stream`].
pub async fn consumer(
    client: &Client,
    stream: &str,
    name: &str,
) -> Result<Option<Consumer>, BusError> {
    ask(client, format!("$JS.API.CONSUMER.INFO.{stream}.{name}")).await
}

/// The account; `None` where JetStream is off.
///
/// # Errors
/// As [`stream`].
pub async fn account(client: &Client) -> Result<Option<Account>, BusError> {
    ask(client, "$JS.API.INFO".to_owned()).await
}

async fn ask<T: DeserializeOwned>(client: &Client, subject: String) -> Result<Option<T>, BusError> {
    let answer = client.request(subject, "".into()).await.map_err(BusError::unavailable)?;
    let answer: Value = serde_json::from_slice(&answer.payload).map_err(BusError::unavailable)?;
    match answer.get("error") {
        Some(error) if error["code"] == 404 => Ok(None),
        Some(error) => Err(BusError::refused(error["description"].as_str().unwrap_or("refused"))),
        None => serde_json::from_value(answer).map(Some).map_err(BusError::unavailable),
    }
}
